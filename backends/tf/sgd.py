"""Stochastic gradient descent on tensors, as the original's solver has it: the rate is inside the velocity.

`tf.keras.optimizers.SGD` has the rate inside the velocity too, but the velocity negated, and its `weight_decay` is
decoupled: the weights shrink by rate * decay * w beside the update, not through the velocity, which fails clause
sgd-step.decay. `tf.keras.optimizers.schedules.ExponentialDecay(staircase=True)` computes in float32, rate and update
alike: the rate is off by float32's roundoff, and a step of 2^24 + 1 counts as 2^24, which fails clause
sgd-step.schedule. The op has a CPU kernel alone, as RoI pooling has.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import as_momentum, as_product, as_rounded, learning_rate
from frcnn.backends.tf import library
from frcnn.backends.tf.boxes import check_all
from frcnn.backends.tf.constants import fixed


@tf.autograph.experimental.do_not_convert
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
    """The new weights and the new velocity of one blob after one update; the arguments are not changed.

    weights, gradients, velocity: tensors of one shape and one type, float32 or float64; velocity is zeros at first.
    learning_rate, momentum, weight_decay, lr_mult, decay_mult: numbers, as in frcnn.reference.sgd_step.
    learning_rate may be a tensor too: in a tf.function one trace then serves every rate.
    Raises ValueError or TypeError naming the argument; for what a tensor holds as the rate in a tf.function,
    tf.errors.InvalidArgumentError.
    """
    w, g, v = _blobs(weights, gradients, velocity)
    kind = w.dtype.as_numpy_dtype
    mu = as_momentum(momentum, kind)
    if tf.is_tensor(learning_rate) and not tf.executing_eagerly():
        rate = _rate_in_graph(learning_rate, lr_mult, w.dtype)
    else:
        rate = as_product("learning_rate", learning_rate, "lr_mult", lr_mult, kind)
    decay = as_product("weight_decay", weight_decay, "decay_mult", decay_mult, kind)
    updated = library.load().frcnn_sgd_step(weights=w, gradients=g, velocity=v, rate=rate, momentum=mu, decay=decay)
    return updated.new_weights, updated.new_velocity


def _rate_in_graph(learning_rate, lr_mult, kind):
    """as_product for a tensor that only running tells. Clauses sgd-step.rates, sgd-step.error-number."""
    learning_rate, factor = tf.convert_to_tensor(learning_rate), as_rounded("lr_mult", lr_mult, kind.as_numpy_dtype)
    if not (learning_rate.dtype.is_floating or learning_rate.dtype.is_integer):
        raise TypeError(f"learning_rate must be a number, got a tensor of type {learning_rate.dtype.name}")
    if not learning_rate.shape.is_compatible_with(()):
        raise ValueError(f"learning_rate must be one number, got a tensor of shape {learning_rate.shape}")
    number = tf.cast(learning_rate, kind)
    rate = number * fixed(factor, kind)
    good = (number >= 0) & (number < np.inf) & (rate < np.inf)
    sentence = f"learning_rate, and lr_mult times it, must be at least 0 and finite in {kind.name}, got {{}} * {factor}"
    with tf.control_dependencies([check_all(good, sentence, learning_rate)]):
        return tf.identity(rate)


def _blobs(weights, gradients, velocity):
    blobs, shape = [], tf.TensorShape(None)
    for name, value in (("weights", weights), ("gradients", gradients), ("velocity", velocity)):
        blob = tf.convert_to_tensor(value)
        blobs.append(blob)
        if blob.dtype not in (tf.float32, tf.float64) or blob.dtype != blobs[0].dtype:
            raise TypeError(f"{name} must be float32 or float64 and all of one type, got {blob.dtype.name}")
        if not blob.shape.is_compatible_with(shape):
            raise ValueError(f"{name} must have the shape of weights, {shape}, got {blob.shape}")
        shape = shape.merge_with(blob.shape)
    return blobs


class SgdAdapter:
    """sgd_step and learning_rate for the suite: NumPy in and out."""

    def sgd_step(self, weights, gradients, velocity, learning_rate, **options):
        return tuple(blob.numpy() for blob in sgd_step(weights, gradients, velocity, learning_rate, **options))

    def learning_rate(self, iteration, base, gamma, step):
        return learning_rate(iteration, base, gamma, step)
