"""Sorting without losing small numbers."""

import tensorflow as tf


def in_order(numbers):
    """Whole numbers in the order of `numbers`, zeros alike, NaN apart; whole numbers stay as they are.

    TensorFlow's threads flush subnormal numbers, which would tie with 0 in tf.argsort; bits are not flushed.
    """
    if not numbers.dtype.is_floating:
        return numbers
    bits = tf.bitcast(numbers, tf.int32 if numbers.dtype == tf.float32 else tf.int64)
    return tf.where(bits >= 0, bits, bits.dtype.min - bits)
