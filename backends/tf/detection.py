"""The choice of a pyramid's scale on tensors, as spec/detection.md says, eagerly and in tf.function.

tf.argmin is not used: it says that which of equals it gives is not guaranteed, and detect-scale.tie wants the first.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.tf.boxes import LARGEST_COORDINATE, as_boxes, bare_sentences, check_places

AREA = 224 * 224


def select_scale(boxes, scales, *, validate=True):
    """The index (R,), int64, of the scale at which each box (R, 4) is closest to 224^2 pixels in area.

    boxes: float32 or float64; inclusive corners in image pixels. scales: a row (S,) of numbers, no tensor of a graph.
    validate: False does not look at the boxes' numbers.
    Raises ValueError or TypeError naming the argument, and for numbers in boxes tf.errors.InvalidArgumentError.
    Clauses: detect-scale.*.

    >>> select_scale(tf.constant([[0.0, 0, 223, 223], [0, 0, 49, 49]]), [1, 2, 4]).numpy().tolist()
    [0, 2]
    """
    boxes, s = as_boxes("boxes", boxes), tf.constant(_as_scales(scales))
    if validate:
        check_places("boxes", boxes)
    x1, y1, x2, y2 = tf.unstack(tf.cast(boxes, tf.float64), axis=1)
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    distances = tf.abs(areas[:, None] * (s * s) - AREA)
    nearest = distances == tf.reduce_min(distances, axis=1, keepdims=True)
    count = s.shape[0]
    return tf.reduce_min(tf.where(nearest, tf.range(count, dtype=tf.int64), count), axis=1)


def _as_scales(value):
    """Clause detect-scale.error-scales: (S,) float64."""
    try:
        scales = np.asarray(value)
    except (TypeError, ValueError, NotImplementedError):
        raise TypeError(f"scales must be a row of numbers, got {value!r}") from None
    if scales.ndim != 1 or not len(scales):
        raise ValueError(f"scales must have shape (S,) and hold one at least, got {scales.shape}")
    if scales.dtype.kind not in "fiu":
        raise TypeError(f"scales must hold numbers, got {scales.dtype}")
    scales = scales.astype(np.float64)
    good = (scales > 0) & (scales <= LARGEST_COORDINATE)
    if not good.all():
        row = np.argmin(good)
        raise ValueError(f"scales[{row}] must be positive and at most 2^24, got {scales[row]:g}")
    return scales


class DetectionAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    def select_scale(self, boxes, scales):
        with bare_sentences():
            return select_scale(np.asarray(boxes), scales).numpy()
