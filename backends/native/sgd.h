// One update of one blob on a CPU: spec/sgd.md. No framework in here; a binding brings the threads.
//
// What is read and written: w, g and v are read and w and v written once, 20 bytes an element of float32. As framework
// operations it is 68: each product, sum and difference goes to memory and comes back.
//
// Requirement: compile with -ffp-contract=off and without -ffast-math. Clause sgd-step.roundings counts roundings.
#pragma once

#include <cstdint>

namespace frcnn {

// Elements begin..end - 1. new_weights may be weights, and new_velocity velocity: each element depends on itself alone.
template <class Element>
void sgd_step(const Element* weights, const Element* gradients, const Element* velocity, Element rate, Element momentum,
              Element decay, Element* new_weights, Element* new_velocity, int64_t begin, int64_t end) {
  const bool decays = decay != 0;  // sgd-step.no-decay: 0 times infinity is not asked for
#pragma GCC ivdep  // in place or not, no element depends on another; without this, in place would not be vectorised
  for (int64_t i = begin; i < end; ++i) {
    const Element w = weights[i], g = decays ? gradients[i] + decay * w : gradients[i];
    const Element v = momentum * velocity[i] + rate * g;
    new_velocity[i] = v;
    new_weights[i] = w - v;
  }
}

}  // namespace frcnn
