"""Greedy non-maximum suppression on tensors, as spec/nms.md says; eagerly and in tf.function, R known or not.

Not called nms.py: the module would stand where the package has its function.

tf.image.non_max_suppression is not used: it takes inclusive boxes for one pixel smaller and swaps the corners of
malformed ones (nms-greedy.overlap), has no float64 (nms-greedy.type) and no `>=` (nms-greedy.threshold, `caffe-2015`).
The order of the scores is tf.argsort's, which passes nms-greedy.tie on the CPU. One step for each kept box.
"""

from functools import cache

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import as_threshold, check_profile
from frcnn.backends.tf.boxes import as_boxes, check_all, check_places, iou
from frcnn.backends.tf.order import in_order
from frcnn.backends.tf.sentences import bare_sentences


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
    return _visits(boxes.dtype, profile)(boxes, order, threshold)


@cache
def _visits(kind, profile):
    """The loop as one graph for all sizes, which spares each step the start of a dozen ops."""

    def any_left(order, _):
        return tf.size(order) > 0

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 4], kind),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([], tf.float64),
        ],
        autograph=False,
    )
    def visits(boxes, order, threshold):
        def visit(order, kept):
            best, others = order[:1], order[1:]
            overlaps = iou(tf.gather(boxes, best), tf.gather(boxes, others), validate=False)[0]
            if profile == "exact":
                removed = overlaps > tf.cast(threshold, kind)
            else:
                removed = tf.cast(overlaps, tf.float64) >= threshold
            return tf.boolean_mask(others, ~removed), tf.concat([kept, best], 0)

        shapes = (tf.TensorShape([None]),) * 2
        _, kept = tf.while_loop(any_left, visit, (order, tf.zeros([0], tf.int32)), shape_invariants=shapes)
        return tf.cast(kept, tf.int64)

    return visits


def _as_scores(value, boxes):
    """Clause nms-greedy.error-scores."""
    scores = tf.convert_to_tensor(value)
    if scores.shape.rank != 1 or not scores.shape.is_compatible_with(boxes.shape[:1]):
        raise ValueError(f"scores must have shape ({boxes.shape[0]},), got {scores.shape}")
    if scores.dtype not in (tf.float32, tf.float64):
        raise TypeError(f"scores must have one of the types float32, float64, got {scores.dtype.name}")
    good = ~tf.math.is_nan(scores)
    row = tf.argmin(tf.cast(tf.concat([good, [False]], 0), tf.int32))
    check_all(good, "scores[{}] is NaN, which has no place in an order", row)
    return scores


class NmsAdapter:
    """The operator of this file for a backend: NumPy in and out."""

    def nms(self, boxes, scores, iou_threshold, **options):
        with bare_sentences():
            return nms(np.asarray(boxes), np.asarray(scores), iou_threshold, **options).numpy()
