"""Normalised regression targets on tensors, as spec/targets.md says.

R targets, rows (t_x, t_y, t_w, t_h), each with a label; K1 classes, class 0 background. `tf.math.unsorted_segment_sum`,
`_min` and `_max` know classes, which `tf.math.reduce_variance` does not; their order of addition is free in clause
box-targets.type. Eagerly and in tf.function, R known or not.

What is known without running raises ValueError or TypeError; what is not, tf.errors.InvalidArgumentError. Both name the
argument. `validate=False` leaves out the second kind, but for shapes.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import EPSILON, LARGEST_TARGET, LEAST_SPREAD, MOST_CLASSES, as_whole, check_profile
from frcnn.backends.tf.boxes import as_boxes, check_rows, check_same_type, of_shape, rows_of
from frcnn.backends.tf.constants import fixed
from frcnn.backends.tf.sentences import bare_sentences


def target_statistics(targets, labels, class_count, *, profile="exact", validate=True):
    """Means and stds (K1, 4), float64, of the targets (R, 4) of each class; labels (R,), int32 or int64.

    class_count: K1, background counted. Clauses: box-targets.classes to box-targets.type.

    >>> means, stds = target_statistics(tf.constant([[1.0, 0, 0, 0], [3, 0, 0, 0]]), tf.constant([1, 1]), 2)
    >>> means[1].numpy().tolist(), stds[1].numpy().tolist()
    ([2.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    """
    check_profile(profile)
    K1 = as_whole("class_count", class_count, 1, MOST_CLASSES)
    targets, labels = _labelled(targets, labels, K1, validate)
    wide = tf.cast(targets, tf.float64)

    def per_class(how, values):
        return how(values, labels, K1)

    add = tf.math.unsorted_segment_sum
    n = per_class(add, tf.ones_like(wide))
    has = (n > 0) & tf.expand_dims(tf.range(K1) > 0, 1)  # box-targets.empty, box-targets.background
    zeros, ones = tf.zeros_like(n), tf.ones_like(n)
    n = tf.where(has, n, ones) if profile == "exact" else n + fixed(EPSILON, tf.float64)
    mean = per_class(add, wide) / n
    if profile == "exact":
        least, most = per_class(tf.math.unsorted_segment_min, wide), per_class(tf.math.unsorted_segment_max, wide)
        std = tf.sqrt(per_class(add, tf.square(wide - tf.gather(mean, labels))) / n)
        constant = most - least <= LEAST_SPREAD
        mean, std = tf.where(constant, least, mean), tf.where(constant, ones, std)
        return tf.where(has, mean, zeros), tf.where(has, std, ones)
    variance = per_class(add, tf.square(wide)) / n - tf.square(mean)
    std = tf.sqrt(tf.where(variance > 0, variance, zeros))
    return tf.where(has, mean, zeros), tf.where(has, std, zeros)


def normalise_targets(targets, labels, means, stds, *, validate=True):
    """Targets (R, 4) less their class's mean, divided by its std, in their own type; those labelled 0 as they are.

    means, stds: (K1, 4), float64. Clauses: box-targets.normalised, box-targets.kept.

    >>> means, stds = tf.constant([[0.0] * 4, [2] * 4], tf.float64), tf.constant([[1.0] * 4, [4] * 4], tf.float64)
    >>> normalise_targets(tf.constant([[8.0, 8, 8, 8]]), tf.constant([1]), means, stds).numpy().tolist()
    [[1.5, 1.5, 1.5, 1.5]]
    """
    means, stds = _statistics(means, stds, validate)
    targets, labels = _labelled(targets, labels, means.shape[0], validate)
    mean, std = tf.gather(means, labels), tf.gather(stds, labels)
    own = tf.expand_dims(labels > 0, 1)
    if validate:
        check_rows("targets", (std > 0) | ~own, "is of a class that has a 0 in stds")
    normalised = (tf.cast(targets, tf.float64) - mean) / tf.where(own, std, tf.ones_like(std))
    return tf.where(own, tf.cast(normalised, targets.dtype), targets)


def fold_statistics(weights, bias, means, stds, *, validate=True):
    """The weights (4 K1, D) and bias (4 K1,) that predict plain targets, from those trained on normalised ones.

    weights is the transpose of a Keras kernel. means, stds: (K1, 4), float64. Clauses: box-targets.folded,
    box-targets.inverse.

    >>> means, stds = tf.constant([[5.0, 0, 0, 0]], tf.float64), tf.constant([[2.0, 1, 1, 1]], tf.float64)
    >>> [tensor.numpy().tolist() for tensor in fold_statistics(tf.ones((4, 1)), tf.ones(4), means, stds)]
    [[[2.0], [1.0], [1.0], [1.0]], [7.0, 1.0, 1.0, 1.0]]
    """
    means, stds = _statistics(means, stds, validate)
    layer, rows = [], 4 * means.shape[0]
    for name, value, shape in (("weights", weights, (rows, None)), ("bias", bias, (rows,))):
        tensor = tf.convert_to_tensor(value)
        if not tensor.shape.is_compatible_with(shape):
            raise ValueError(f"{name} must have {rows} rows, four a class, got {tensor.shape}")
        if tensor.dtype not in (tf.float32, tf.float64):
            raise TypeError(f"{name} must be float32 or float64, got {tensor.dtype.name}")
        layer.append(of_shape(name, tensor, *shape))
    weights, bias = layer
    check_same_type("bias", bias, "weights", weights)
    m, s = tf.reshape(means, [-1]), tf.reshape(stds, [-1])
    folded = tf.cast(weights, tf.float64) * tf.expand_dims(s, 1), tf.cast(bias, tf.float64) * s + m
    return tuple(tf.cast(tensor, bias.dtype) for tensor in folded)


def _labelled(targets, labels, K1, validate):
    """Clauses box-targets.error-targets and box-targets.error-labels."""
    targets, labels = as_boxes("targets", targets), tf.convert_to_tensor(labels)
    if labels.shape.rank != 1 or not labels.shape.is_compatible_with(targets.shape[:1]):
        raise ValueError(f"labels must have shape {targets.shape[:1]}, one a target, got {labels.shape}")
    if labels.dtype not in (tf.int32, tf.int64):
        raise TypeError(f"labels must be int32 or int64, got {labels.dtype.name}")
    labels = of_shape("labels", labels, rows_of(targets))
    if validate:
        sized = tf.abs(tf.cast(targets, tf.float64)) <= LARGEST_TARGET
        check_rows("targets", sized, "holds a number that is not finite or beyond 2^128 in size")
        of_a_class = (labels >= 0) & (labels < K1)
        checked = check_rows(
            "labels", tf.expand_dims(of_a_class, 1), f"is none of the {K1} classes, background counted"
        )
        # In a graph tf.gather may else refuse them first, in words of its own.
        with tf.control_dependencies([checked]):
            labels = tf.identity(labels)
    return targets, labels


def _statistics(means, stds, validate):
    """Clause box-targets.error-statistics. K1 must be known."""
    arrays = [tf.convert_to_tensor(value) for value in (means, stds)]
    for name, tensor in zip(("means", "stds"), arrays, strict=True):
        if not tensor.shape.is_fully_defined() or tensor.shape != (*arrays[0].shape[:1], 4):
            raise ValueError(f"{name} must have shape (K1, 4), a row a class, got {tensor.shape}")
        if tensor.dtype != tf.float64:
            raise TypeError(f"{name} must be float64, got {tensor.dtype.name}")
        if validate:
            good = tf.math.is_finite(tensor)
            good = good & (tensor >= 0) if name == "stds" else good
            check_rows(name, good, "holds a number that is not finite, or a std below 0")
    return arrays


class TargetsAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    def target_statistics(self, targets, labels, class_count, **options):
        with bare_sentences():
            answer = target_statistics(np.asarray(targets), np.asarray(labels), class_count, **options)
            return tuple(tensor.numpy() for tensor in answer)

    def normalise_targets(self, *arrays):
        with bare_sentences():
            return normalise_targets(*map(np.asarray, arrays)).numpy()

    def fold_statistics(self, *arrays):
        with bare_sentences():
            return tuple(tensor.numpy() for tensor in fold_statistics(*map(np.asarray, arrays)))
