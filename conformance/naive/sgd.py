"""One update, one number at a time in Python's own floats, each result rounded to the blob's type.

A product, a sum or a difference of two float32 numbers that is first rounded to float64 and then to float32 is what one
rounding to float32 gives (Figueroa: 53 >= 2 * 24 + 2), so the double in between does no harm.
"""

from itertools import repeat

import numpy as np


def sgd_step(
    weights, gradients, velocity, learning_rate, *, momentum=0.9, weight_decay=0.0005, lr_mult=1.0, decay_mult=1.0
):
    """As frcnn.reference.sgd_step, for input that is known to be good."""

    def fl(number):
        with np.errstate(over="ignore"):
            return float(weights.dtype.type(number))

    rate = fl(fl(learning_rate) * fl(lr_mult))
    decay = fl(fl(weight_decay) * fl(decay_mult))
    moved, velocities = np.empty_like(weights), np.empty_like(weights)
    for place in np.ndindex(*weights.shape):
        w, g, v = (float(blob[place]) for blob in (weights, gradients, velocity))
        if decay > 0:
            g = fl(fl(decay * w) + g)
        v = fl(fl(rate * g) + fl(fl(momentum) * v))
        moved[place], velocities[place] = fl(w - v), v
    return moved, velocities


def learning_rate(iteration, base, gamma, step):
    """As frcnn.reference.learning_rate: the drops one after another, until nothing is left to drop."""
    rate = float(base)
    for _ in repeat(None, iteration // step):
        lower = rate * gamma
        if lower == rate:
            break
        rate = lower
    return rate
