"""A fully connected layer as two smaller ones, by truncated SVD, as spec/svd.md says; on tensors.

tf.linalg.svd passes the clauses. It gives V, not V^T, and the singular values first. Weights in float32 with no more
outputs than inputs take less time by the eigenvectors of W W^T, in float64; torch/svd.py says why that is near enough.

What is known without running raises ValueError or TypeError; what is not, tf.errors.InvalidArgumentError. Both name the
argument. `validate=False` leaves out the second kind, but for shapes; a solver may still refuse what is not finite.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import as_whole
from frcnn.backends.tf.boxes import check_all, of_shape, seen_to_be
from frcnn.backends.tf.sentences import bare_sentences

COLUMNS, ROWS = 2048, 512  # of W that are widened, and multiplied, at a time


def truncated_svd(weights, t, bias=None, *, validate=True):
    """The two layers that stand for one: first (t, v) without bias, second (u, t), and the second's bias (u,).

    weights: (u, v), float32 or float64; a Keras kernel is its transpose. t: a whole number in 1..min(u, v).
    bias: (u,) of the weights' type, or None for zeros. No gradient passes. Clauses: svd-layers.*.

    >>> first, second, bias = truncated_svd(tf.constant([[3.0, 0], [0, 2], [0, 0]]), 1)
    >>> tf.abs(second @ first).numpy().tolist()
    [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    weights = _as_weights(weights)
    t = as_whole("t", t, 1, min(weights.shape))
    bias = tf.zeros(weights.shape[:1], weights.dtype) if bias is None else _as_bias(bias, weights)
    if validate:
        _check_finite(weights)
    if weights.dtype == tf.float32 and weights.shape[0] <= weights.shape[1]:
        second, s_1 = _leading_vectors(weights, t)
        first = tf.matmul(second, weights, transpose_a=True)
    else:
        sigma, U, V = tf.linalg.svd(weights)
        first, second, s_1 = sigma[:t, None] * tf.transpose(V[:, :t]), U[:, :t], sigma[0]
    if validate:
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(found)) for found in (first, second, s_1)])
        largest = tf.reduce_max(tf.abs(weights))
        check_all(finite, "weights are too large, up to {}, for singular values in their type", largest)
    return first, second, tf.identity(bias)


def svd_approximation(weights, t, *, validate=True):
    """The weights (u, v) of the one layer that the two amount to. No gradient passes. Clause svd-layers.product.

    >>> svd_approximation(tf.constant([[3.0, 0], [0, 2], [0, 0]]), 1).numpy().tolist()
    [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    first, second, _ = truncated_svd(weights, t, validate=validate)
    return second @ first


def _check_finite(weights):
    """Clause svd-layers.error-weights."""
    flat = tf.reshape(weights, [-1])
    good = tf.math.is_finite(flat)
    if seen_to_be(good):
        return
    place = tf.argmin(tf.cast(good, tf.int32))
    row, column = place // weights.shape[1], place % weights.shape[1]
    check_all(good, "weights[{}, {}] is {}; weights must be finite", row, column, flat[place])


def _leading_vectors(weights, t):
    """The eigenvectors (u, t) of W W^T with the largest eigenvalues, by falling eigenvalue, and s_1; in W's type.

    By NumPy's solver: TensorFlow's has one thread, and takes many times as long for the paper's layers.
    """
    u, v = weights.shape
    bands: list[tf.Tensor] = [0.0] * -(-u // ROWS)
    for column in range(0, v, COLUMNS):
        wide = tf.cast(weights[:, column : column + COLUMNS], tf.float64)
        for i in range(len(bands)):  # eigh reads the lower triangle alone
            end = (i + 1) * ROWS
            bands[i] += tf.matmul(wide[end - ROWS : end], wide[:end], transpose_b=True)
    gram = tf.concat([tf.pad(band, [[0, 0], [0, u - band.shape[1]]]) for band in bands], 0)
    values, vectors = tf.numpy_function(np.linalg.eigh, [gram], [tf.float64, tf.float64])
    vectors = tf.ensure_shape(vectors, (u, u))[:, : -t - 1 : -1]
    return tf.cast(vectors, weights.dtype), tf.cast(tf.sqrt(values[-1]), weights.dtype)


def _as_weights(value):
    """Clause svd-layers.error-weights."""
    weights = tf.stop_gradient(tf.convert_to_tensor(value))  # a solver in NumPy would leave a part of it out
    if weights.shape.rank != 2 or 0 in weights.shape or None in weights.shape:
        raise ValueError(f"weights must have shape (u, v), known and each at least 1, got {weights.shape}")
    if weights.dtype not in (tf.float32, tf.float64):
        raise TypeError(f"weights must be float32 or float64, got {weights.dtype.name}")
    return weights


def _as_bias(value, weights):
    """Clause svd-layers.error-bias."""
    bias = tf.stop_gradient(tf.convert_to_tensor(value))
    if bias.shape.rank != 1 or not bias.shape.is_compatible_with(weights.shape[:1]):
        raise ValueError(f"bias must have shape ({weights.shape[0]},), got {bias.shape}")
    if bias.dtype != weights.dtype:
        raise TypeError(f"bias must have the type of weights, {weights.dtype.name}, got {bias.dtype.name}")
    return of_shape("bias", bias, weights.shape[0])


class SvdAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    def truncated_svd(self, weights, t, bias=None):
        bias = None if bias is None else np.asarray(bias)
        with bare_sentences():
            return tuple(layer.numpy() for layer in truncated_svd(np.asarray(weights), t, bias))

    def svd_approximation(self, weights, t):
        with bare_sentences():
            return svd_approximation(np.asarray(weights), t).numpy()
