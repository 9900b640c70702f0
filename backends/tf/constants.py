"""Numbers that stay where they stand in a formula, in a graph too."""

import tensorflow as tf


def fixed(value, kind):
    """A constant that TensorFlow's graph optimiser does not take for one.

    value: a number, or an array. kind: a floating-point type.

    In a tf.function the optimiser moves constants through sums and products as if these were associative (Grappler's
    constant folding, TensorFlow 2.21): x2 - x1 + 1 becomes x2 + (1 - x1), which at -2^24 is 0 in float32, not 1; and
    0.5 * (x * x) becomes (0.5 * x) * x, which at 2e19 is no infinity. A placeholder's default it leaves alone.

    >>> x = tf.constant(-(2.0**24))
    >>> [tf.function(f)(x, x).numpy().item() for f in (lambda a, b: a - b + 1, lambda a, b: a - b + fixed(1, a.dtype))]
    [0.0, 1.0]
    """
    constant = tf.constant(value, kind)
    return tf.raw_ops.PlaceholderWithDefault(input=constant, shape=constant.shape)
