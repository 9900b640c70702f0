"""From a test image to detections: `spec/detection.md`, executable.

Shapes and symbols. R boxes, rows (x1, y1, x2, y2) in image pixels, both corners inside; S scales of an image pyramid.
"""

import numpy as np

from frcnn.reference.arguments import LARGEST_COORDINATE
from frcnn.reference.box_arguments import as_boxes, check_places

# Pixels of the image that a network was pre-trained on, which a scaled box is to come close to.
AREA = 224 * 224


def select_scale(boxes, scales):
    """The scale of an image pyramid at which each box is closest to 224^2 pixels in area.

    boxes: (R, 4), float32 or float64; image pixels.
    scales: (S,), numbers; scaled pixels per image pixel, at least one.

    Returns (R,) int64, indices into scales.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 2.4; rbgirshick/fast-rcnn, lib/fast_rcnn/test.py:85-92. Clauses: detect-scale.area,
    detect-scale.distance, detect-scale.tie, detect-scale.arithmetic, detect-scale.result, detect-scale.error-boxes,
    detect-scale.error-scales.

    >>> select_scale(np.float32([[0, 0, 223, 223], [0, 0, 49, 49]]), [1, 2, 4]).tolist()
    [0, 2]
    """
    boxes = as_boxes("boxes", boxes)  # detect-scale.error-boxes
    check_places("boxes", boxes)
    s = _as_scales(scales)
    x1, y1, x2, y2 = boxes.astype(np.float64).T  # detect-scale.arithmetic: widened first, one rounding an operation
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)  # detect-scale.area
    with np.errstate(under="ignore"):
        distances = np.abs(areas[:, None] * (s * s) - AREA)  # detect-scale.distance
    return np.argmin(distances, axis=1).astype(np.int64)  # detect-scale.tie: the first; detect-scale.result


def _as_scales(value):
    """Clause detect-scale.error-scales: (S,) float64, S at least 1, each positive and at most 2^24."""
    try:
        scales = np.asarray(value)
    except ValueError:
        raise ValueError(f"scales must be a row of numbers, got {value!r}") from None
    if scales.ndim != 1 or not len(scales):
        raise ValueError(f"scales must have shape (S,) and hold one at least, got {scales.shape}")
    if scales.dtype.kind not in "fiu":
        raise TypeError(f"scales must hold numbers, got {scales.dtype}")
    scales = scales.astype(np.float64)
    good = (scales > 0) & (scales <= LARGEST_COORDINATE)  # a NaN compares false
    if not good.all():
        row = np.argmin(good)
        raise ValueError(f"scales[{row}] must be positive and at most 2^24, got {scales[row]:g}")
    return scales
