"""Greedy non-maximum suppression on tensors, as spec/nms.md says; eagerly and in tf.function, R known or not.

Not called nms.py: the module would stand where the package has its function.

tf.image.non_max_suppression is not used: it takes inclusive boxes for one pixel smaller and swaps the corners of
malformed ones (nms-greedy.overlap), has no float64 (nms-greedy.type) and no `>=` (nms-greedy.threshold, `caffe-2015`).
The order of the scores is tf.argsort's, which passes nms-greedy.tie on the CPU.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import as_threshold, check_profile
from frcnn.backends.tf import library
from frcnn.backends.tf.boxes import as_boxes, check_places, check_rows, of_shape, rows_of
from frcnn.backends.tf.order import in_order
from frcnn.backends.tf.sentences import bare_sentences


@tf.autograph.experimental.do_not_convert
def nms(boxes, scores, iou_threshold, *, profile="exact"):
    """The indices of the boxes that remain, int64, by falling score.

    boxes: (R, 4), float32 or float64; inclusive corners in image pixels. scores: (R,), float32 or float64.
    iou_threshold: a number in 0..1. profile: "exact", or "caffe-2015" for what the original code computes.
    Raises as the operators of boxes.py do. Clauses: nms-greedy.*.

    >>> boxes = tf.constant([[0.0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]])
    >>> nms(boxes, tf.constant([0.6, 0.9, 0.7]), 0.3).numpy().tolist()
    [1, 2]
    """
    check_profile(profile)
    boxes = as_boxes("boxes", boxes)
    check_places("boxes", boxes)
    scores = _as_scores(scores, boxes)
    threshold = as_threshold(iou_threshold)
    if profile != "exact":
        boxes, scores = tf.cast(boxes, tf.float32), tf.cast(scores, tf.float32)
    order = tf.argsort(in_order(scores), direction="DESCENDING", stable=True)
    starts = tf.stack([0, tf.size(order, tf.int64)])
    kept = kept_of_groups(tf.gather(boxes, order), starts, threshold, profile)
    return tf.cast(tf.boolean_mask(order, kept), tf.int64)


def kept_of_groups(boxes, starts, threshold, profile):
    """Which boxes remain, (R,) bool, where groups of boxes know nothing of each other.

    boxes: (R, 4), group by group, in the order of the visit. starts: (G + 1,) int64, each group's first row, and R.
    """
    return library.load().frcnn_nms(boxes=boxes, starts=starts, threshold=threshold, profile=profile)


def _as_scores(value, boxes):
    """Clause nms-greedy.error-scores."""
    scores = tf.convert_to_tensor(value)
    if scores.shape.rank != 1 or not scores.shape.is_compatible_with(boxes.shape[:1]):
        raise ValueError(f"scores must have shape ({boxes.shape[0]},), got {scores.shape}")
    if scores.dtype not in (tf.float32, tf.float64):
        raise TypeError(f"scores must have one of the types float32, float64, got {scores.dtype.name}")
    scores = of_shape("scores", scores, rows_of(boxes))
    check_rows("scores", tf.expand_dims(~tf.math.is_nan(scores), 1), "is NaN, which has no place in an order")
    return scores


class NmsAdapter:
    """The operator of this file for a backend: NumPy in and out."""

    def nms(self, boxes, scores, iou_threshold, **options):
        with bare_sentences():
            return nms(np.asarray(boxes), np.asarray(scores), iou_threshold, **options).numpy()
