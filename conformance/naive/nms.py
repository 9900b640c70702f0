"""Non-maximum suppression as a definition: a box is kept when no better box both is kept and overlaps it."""

from functools import cache

import numpy as np

from frcnn.conformance.naive.boxes import overlap, rounding


def nms(boxes, scores, iou_threshold, *, profile="exact"):
    """As frcnn.reference.nms, for input that is known to be good."""
    rounded = rounding(boxes.dtype if profile == "exact" else np.float32)
    places = [[rounded(corner) for corner in box] for box in boxes.tolist()]
    values = [score if profile == "exact" else rounded(score) for score in scores.tolist()]
    limit = rounded(iou_threshold) if profile == "exact" else float(iou_threshold)
    rank = sorted(range(len(values)), key=lambda i: (-values[i], i))

    def removes(i, j):
        share = overlap(places[i], places[j], rounded)
        return share > limit or (profile != "exact" and share == limit)

    @cache
    def is_kept(position):
        return not any(is_kept(p) and removes(rank[p], rank[position]) for p in range(position))

    return np.array([rank[p] for p in range(len(rank)) if is_kept(p)], np.int64)
