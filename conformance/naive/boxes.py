"""Boxes: one number at a time in Python's floats, each result rounded to the type.

A sum, product or quotient of two float32 numbers, rounded to float64 and then to float32, is the one rounded at once
(53 >= 2 * 24 + 2 bits), so this is the arithmetic of either type.
"""

import math

import numpy as np


def rounding(dtype):
    """Round a Python float to the type, to infinity where it is too large."""

    def rounded(value):
        with np.errstate(over="ignore"):
            return float(np.array(value, np.float64).astype(dtype))

    return rounded


def length(first, last, pixel, rounded):
    """(last - first) + pixel."""
    return rounded(rounded(last - first) + pixel)


def overlap(a, b, rounded):
    """Clauses box-iou.extents and box-iou.order, for two boxes of Python floats."""
    if any(length(box[i], box[i + 2], 1.0, rounded) <= 0 for box in (a, b) for i in (0, 1)):
        return 0.0
    shared, area_a, area_b = 1.0, 1.0, 1.0
    for i in (0, 1):
        common = length(a[i] if a[i] > b[i] else b[i], a[i + 2] if a[i + 2] < b[i + 2] else b[i + 2], 1.0, rounded)
        if common <= 0:
            return 0.0
        shared = rounded(shared * common)
        area_a = rounded(area_a * length(a[i], a[i + 2], 1.0, rounded))
        area_b = rounded(area_b * length(b[i], b[i + 2], 1.0, rounded))
    return rounded(shared / rounded(rounded(area_a + area_b) - shared))


def iou(a, b):
    """As frcnn.reference.iou, for input that is known to be good."""
    rounded = rounding(a.dtype)
    pairs = [[overlap(row, column, rounded) for column in b.tolist()] for row in a.tolist()]
    return np.array(pairs, a.dtype).reshape(len(a), len(b))


def clip_boxes(boxes, image_size, *, profile="exact"):
    """As frcnn.reference.clip_boxes."""
    clipped = np.empty_like(boxes)
    for (i, j), value in np.ndenumerate(boxes):
        last = int(image_size[1 - j % 2]) - 1
        below, above = (True, True) if profile == "exact" else (j % 4 < 2, j % 4 >= 2)
        clipped[i, j] = 0.0 if below and value < 0 else last if above and value > last else value
    return clipped


def flip_boxes(boxes, width):
    """As frcnn.reference.flip_boxes."""
    rounded = rounding(boxes.dtype)
    rows = [
        (rounded(rounded(width - x2) - 1.0), y1, rounded(rounded(width - x1) - 1.0), y2)
        for x1, y1, x2, y2 in boxes.tolist()
    ]
    return np.array(rows, boxes.dtype).reshape(-1, 4)


def centred(first, last, profile, rounded):
    """(centre, extent) along an axis: clauses box-encode.extents and box-encode.centre."""
    extent = length(first, last, 1.0 if profile == "exact" else rounded(1e-14), rounded)
    return rounded(first + rounded(extent / 2)), extent


def encode_boxes(proposals, ground_truth, *, profile="exact"):
    """As frcnn.reference.encode_boxes."""
    rounded = rounding(proposals.dtype)
    targets = np.empty_like(proposals)
    for row, (proposal, truth) in enumerate(zip(proposals.tolist(), ground_truth.tolist(), strict=True)):
        for axis in (0, 1):
            p, p_extent = centred(proposal[axis], proposal[axis + 2], profile, rounded)
            g, g_extent = centred(truth[axis], truth[axis + 2], profile, rounded)
            targets[row, axis] = rounded(rounded(g - p) / p_extent)
            targets[row, axis + 2] = rounded(math.log(rounded(g_extent / p_extent)))
    return targets


def decode_boxes(proposals, deltas, *, profile="exact"):
    """As frcnn.reference.decode_boxes."""
    rounded = rounding(proposals.dtype)
    boxes = np.empty_like(deltas)
    for row, proposal in enumerate(proposals.tolist()):
        for axis in (0, 1):
            centre, extent = centred(proposal[axis], proposal[axis + 2], profile, rounded)
            for k in range(axis, deltas.shape[1], 4):
                shift, stretch = float(deltas[row, k]), float(deltas[row, k + 2])
                middle = rounded(rounded(shift * extent) + centre)
                half = rounded(rounded(rounded(_exponential(stretch)) * extent) / 2)
                boxes[row, k] = rounded(middle - half)
                boxes[row, k + 2] = rounded(rounded(middle + half) - (1.0 if profile == "exact" else 0.0))
    return boxes


def _exponential(value):
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
