"""The choice of a pyramid's scale, eagerly and in tf.function, and the steps from scores to detections, eagerly.

Both as spec/detection.md says.

tf.argmin is not used: it says that which of equals it gives is not guaranteed, and detect-scale.tie wants the first.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import MOST_ROIS, as_scales, as_threshold, as_whole, check_profile
from frcnn.backends.tf.boxes import as_boxes, check_places, check_rows
from frcnn.backends.tf.constants import fixed
from frcnn.backends.tf.greedy_nms import kept_of_groups
from frcnn.backends.tf.order import in_order
from frcnn.backends.tf.sentences import bare_sentences

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
    boxes, s = as_boxes("boxes", boxes), as_scales(scales)
    if validate:
        check_places("boxes", boxes)
    x1, y1, x2, y2 = tf.unstack(tf.cast(boxes, tf.float64), axis=1)
    pixel = fixed(1, tf.float64)
    areas = (x2 - x1 + pixel) * (y2 - y1 + pixel)
    distances = tf.abs(tf.expand_dims(areas, 1) * fixed(s * s, tf.float64) - fixed(AREA, tf.float64))
    nearest = distances == tf.reduce_min(distances, axis=1, keepdims=True)
    count = s.shape[0]
    return tf.reduce_min(tf.where(nearest, tf.range(count, dtype=tf.int64), count), axis=1)


def detect(scores, boxes, images, image_count, iou_threshold=0.3, *, per_image=100, per_class=40, profile="exact"):
    """The detections (D, 3), int64, among the scored boxes of a set of images: class, image, row. Eagerly only.

    scores: (R, K + 1), float32 or float64; class 0 is background. boxes: (R, 4 (K + 1)), float32 or float64; inclusive
    corners in image pixels. images: (R,) integers, the image of each row. image_count: how many images there are.
    iou_threshold, profile: as in nms. per_image, per_class: the limits, the second an image on average.
    Raises as select_scale does. Clauses: detect-steps.*.

    >>> boxes = tf.tile(tf.constant([[0.0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]]), (1, 2))
    >>> detect(tf.constant([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7]]), boxes, tf.constant([0, 0, 0]), 1).numpy().tolist()
    [[1, 0, 1], [1, 0, 2]]
    """
    if not tf.executing_eagerly():
        raise NotImplementedError("detect runs eagerly alone: call it outside tf.function")
    check_profile(profile)
    image_count, iou_threshold = as_whole("image_count", image_count, 0, MOST_ROIS), as_threshold(iou_threshold)
    per_image, per_class = (
        as_whole(name, value, 1, MOST_ROIS) for name, value in (("per_image", per_image), ("per_class", per_class))
    )
    scores, boxes, images = _as_rows(scores, boxes, images, image_count)
    R, K1 = scores.shape
    # Scores as whole numbers, which TensorFlow's threads compare without flushing the small ones.
    by_class = in_order(tf.transpose(scores[:, 1:]))
    least = in_order(tf.constant([-np.inf], scores.dtype))[0]
    # Class by class, image by image, by falling score, the first of equals first: rows (K, R), and what is theirs.
    rows = tf.argsort(by_class, direction="DESCENDING", stable=True)
    rows = tf.gather(rows, tf.argsort(tf.gather(images, rows), stable=True), axis=1, batch_dims=1)
    score, image = tf.gather(by_class, rows, axis=1, batch_dims=1), tf.gather(images, rows)

    ordered = tf.sort(images)  # each class's rows have them so
    rank = tf.range(R) - tf.searchsorted(ordered, ordered)
    taken = (score > least) & (rank < per_image)
    limit = per_class * image_count
    if R > limit:
        ranked = tf.sort(tf.where(taken, score, least), direction="DESCENDING")
        fall_short = tf.where(ranked[:, limit] > least, ranked[:, limit - 1], least)
        taken &= score > tf.expand_dims(fall_short, 1)

    place = tf.where(taken)
    found = tf.stack([place[:, 0] + 1, tf.gather_nd(image, place), tf.cast(tf.gather_nd(rows, place), tf.int64)], 1)
    begins = tf.where(tf.reduce_any(found[1:, :2] != found[:-1, :2], axis=1))[:, 0] + 1
    starts = tf.concat([[0], begins, [found.shape[0]]], 0)
    own = tf.gather_nd(tf.reshape(boxes, (R, K1, 4)), tf.stack([found[:, 2], found[:, 0]], 1))
    kept = kept_of_groups(own if profile == "exact" else tf.cast(own, tf.float32), starts, iou_threshold, profile)
    return tf.boolean_mask(found, kept)


def _as_rows(scores, boxes, images, image_count):
    """Clauses detect-steps.error-scores, detect-steps.error-boxes, detect-steps.error-images."""
    scores = tf.convert_to_tensor(scores)
    scores = as_boxes("scores", scores, scores.shape[1] if scores.shape.rank == 2 and scores.shape[1] else "K + 1")
    R, columns = scores.shape
    check_rows("scores", ~tf.math.is_nan(scores), "holds a NaN, which has no place in an order")
    boxes = as_boxes("boxes", boxes, 4 * columns)
    check_places("boxes", boxes)
    if boxes.shape[0] != R:
        raise ValueError(f"boxes must have {R} rows, one a row of scores, got {boxes.shape}")
    images = tf.convert_to_tensor(images)
    if images.shape != (R,) or not images.dtype.is_integer:
        raise ValueError(f"images must hold {R} integers, one a row of scores, got {images.dtype.name} {images.shape}")
    images = tf.cast(images, tf.int64)
    good = (images >= 0) & (images < image_count)
    check_rows("images", tf.expand_dims(good, 1), f"is not one of {image_count} images")
    return scores, boxes, images


class DetectionAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    def select_scale(self, boxes, scales):
        with bare_sentences():
            return select_scale(np.asarray(boxes), scales).numpy()

    def detect(self, scores, boxes, images, *arguments, **options):
        with bare_sentences():
            return detect(*map(np.asarray, (scores, boxes, images)), *arguments, **options).numpy()
