"""Stochastic gradient descent as the original's solver has it: `spec/sgd.md`, executable.

w is a blob of weights, g its gradient, v its velocity (the momentum buffer); l and d are the blob's own rate and decay.
"""

import numpy as np

from frcnn.reference.arguments import as_array, as_rounded, as_whole


def sgd_step(
    weights,
    gradients,
    velocity,
    learning_rate,
    *,
    momentum=0.9,
    weight_decay=0.0005,
    lr_mult=1.0,
    decay_mult=1.0,
):
    """Update one blob of weights once, with the learning rate inside the velocity.

    weights: any shape, float32 or float64.
    gradients: as weights; of the loss alone, without decay.
    velocity: as weights; zeros before the first update, then what the last one returned.
    learning_rate: the solver's, at least 0; lr_mult: the blob's factor of it, in the original 1 and, for biases, 2.
    momentum: in [0, 1).
    weight_decay: the solver's, at least 0; decay_mult: the blob's factor of it, in the original 1 and, for biases, 0.

    Returns the new weights and the new velocity. The arguments are not changed.
    Raises ValueError or TypeError naming the argument: sgd-step.error-blob, sgd-step.error-number.
    Source: the paper, section 2.3, "SGD hyper-parameters". Clauses: sgd-step.elementwise and those named below.

    >>> blob = np.float64([1.0])
    >>> [array.tolist() for array in sgd_step(blob, blob, blob, 0.25, momentum=0.5, weight_decay=0)]
    [[0.25], [0.75]]
    """
    w, g, v = _blobs(weights, gradients, velocity)
    kind = w.dtype.type  # sgd-step.dtype
    mu = as_rounded("momentum", momentum, kind)  # sgd-step.rates
    if not mu < 1:
        raise ValueError(f"momentum must lie in [0, 1) in {kind.__name__}, got {momentum!r}")
    with np.errstate(all="ignore"):  # an overflow is an infinity, which is its own message
        l = _product("learning_rate", learning_rate, "lr_mult", lr_mult, kind)  # noqa: E741  sgd-step.rates
        d = _product("weight_decay", weight_decay, "decay_mult", decay_mult, kind)  # sgd-step.rates
        # sgd-step.roundings: every operation below is one NumPy call, so one rounding.
        if d != 0:  # sgd-step.no-decay
            g = g + d * w  # sgd-step.decay
        new_velocity = mu * v + l * g  # sgd-step.velocity
        return w - new_velocity, new_velocity  # sgd-step.update


def learning_rate(iteration, base, gamma, step):
    """The learning rate of one update under the policy "step": base, lowered by gamma every `step` updates.

    iteration: a whole number from 0, the updates made before this one.
    base: the first rate. gamma: in (0, 1]. step: a whole number of updates, at least 1.

    Returns a float.
    Raises ValueError or TypeError naming the argument: sgd-step.error-schedule.
    Source: the paper, section 2.3. Clause: sgd-step.schedule.

    >>> [learning_rate(i, 1.0, 0.5, 30000) for i in (0, 29999, 30000, 60000)]
    [1.0, 1.0, 0.5, 0.25]
    """
    # sgd-step.error-schedule
    iteration, step = as_whole("iteration", iteration, 0, 2**53), as_whole("step", step, 1, 2**53)
    base, gamma = as_rounded("base", base, np.float64), as_rounded("gamma", gamma, np.float64)
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma must lie in (0, 1], got {gamma!r}")
    return float(base) * float(gamma) ** float(iteration // step)  # sgd-step.schedule


def _blobs(weights, gradients, velocity):
    """Clause sgd-step.error-blob."""
    w = as_array("weights", weights)
    if w.dtype.name not in ("float32", "float64"):
        raise TypeError(f"weights must be float32 or float64, got {w.dtype}")
    others = []
    for name, value in (("gradients", gradients), ("velocity", velocity)):
        array = as_array(name, value)
        if array.dtype != w.dtype:
            raise TypeError(f"{name} must have the type of weights, {w.dtype}, got {array.dtype}")
        if array.shape != w.shape:
            raise ValueError(f"{name} must have the shape of weights, {w.shape}, got {array.shape}")
        others.append(array)
    return w, *others


def _product(name, value, factor_name, factor, kind):
    """The blob's own rate or decay: clause sgd-step.rates."""
    product = as_rounded(name, value, kind) * as_rounded(factor_name, factor, kind)
    if not np.isfinite(product):
        raise ValueError(f"{name} times {factor_name} must be finite in {kind.__name__}, got {value!r} * {factor!r}")
    return product
