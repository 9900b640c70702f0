"""Greedy non-maximum suppression: `spec/nms.md`, executable."""

import numpy as np

from frcnn.reference.arguments import as_number, check_profile
from frcnn.reference.box_arguments import as_boxes, as_scores, check_places
from frcnn.reference.boxes import iou


def nms(boxes, scores, iou_threshold, *, profile="exact"):
    """Which boxes remain when each one that is kept removes those of lower score that overlap it.

    boxes: (R, 4), float32 or float64; x1, y1, x2, y2 in image pixels, both corners inside.
    scores: (R,), float32 or float64.
    iou_threshold: a number in 0..1; the paper's is 0.3.
    profile: "exact" removes what overlaps by more than the threshold; "caffe-2015" also what reaches it, in float32.

    Returns the indices of the kept boxes, int64, by falling score.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 3; rbgirshick/fast-rcnn, lib/utils/nms.pyx. Clauses: nms-greedy.order, nms-greedy.tie,
    nms-greedy.kept, nms-greedy.overlap, nms-greedy.threshold, nms-greedy.type, nms-greedy.result,
    nms-greedy.error-boxes, nms-greedy.error-scores, nms-greedy.error-threshold, nms-greedy.error-profile.

    >>> nms(np.float32([[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]]), np.float32([0.6, 0.9, 0.7]), 0.3).tolist()
    [1, 2]
    """
    check_profile(profile)  # nms-greedy.error-profile
    boxes = as_boxes("boxes", boxes)  # nms-greedy.error-boxes
    check_places("boxes", boxes)
    scores = as_scores("scores", scores, len(boxes))  # nms-greedy.error-scores
    if np.isnan(scores).any():
        raise ValueError(f"scores[{np.argmax(np.isnan(scores))}] is NaN, which has no place in an order")
    threshold = _as_threshold(iou_threshold)
    if profile == "exact":
        threshold = float(boxes.dtype.type(threshold))  # nms-greedy.threshold: then 3 / 10 does not exceed 0.3
    else:
        with np.errstate(over="ignore", under="ignore"):
            boxes, scores = boxes.astype(np.float32), scores.astype(np.float32)  # nms-greedy.type
    order = np.argsort(-scores, kind="stable")  # nms-greedy.order; stable is nms-greedy.tie
    kept = []
    while len(order):
        best, others = order[0], order[1:]
        kept.append(best)
        overlaps = iou(boxes[best : best + 1], boxes[others])[0].astype(np.float64)  # nms-greedy.overlap
        removed = overlaps > threshold if profile == "exact" else overlaps >= threshold  # nms-greedy.threshold
        order = others[~removed]  # nms-greedy.kept: what is gone removes nothing
    return np.array(kept, np.int64)  # nms-greedy.result


def _as_threshold(value):
    """Clause nms-greedy.error-threshold."""
    threshold = as_number("iou_threshold", value)
    if not 0 <= threshold <= 1:
        raise ValueError(f"iou_threshold must lie in 0..1, got {value!r}")
    return threshold
