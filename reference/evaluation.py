"""The Pascal VOC measure of a detector, one class at a time: `spec/evaluation.md`, executable.

D detections and G objects of one class in all images. M of the objects are not difficult, and they alone are counted.
"""

import numpy as np

from frcnn.reference.arguments import LARGEST_COORDINATE, as_array, as_number
from frcnn.reference.box_arguments import as_boxes, check_places
from frcnn.reference.boxes import iou

METHODS = ("11-point", "area")

# What becomes of a detection: voc-evaluation.marks.
TRUE, FALSE, IGNORED = 1, 0, -1


def average_precision(recall, precision, *, method):
    """The area below a curve of precision over recall, in one of the challenge's two ways.

    recall: (D,) float64, in 0..1, never falling; a fraction m / n is its nearest float64.
    precision: (D,) float64, in 0..1, point for point.
    method: "11-point", VOC 2007's mean over eleven recalls; "area", that of VOC 2010 and later.

    Returns a float in 0..1, but for the last bits.
    Raises ValueError or TypeError naming the argument and the first offending point.
    Source: section 4, "mean average precision"; the VOC development kits. Clauses: average-precision.eleven-points,
    average-precision.tenths, average-precision.area, average-precision.order, average-precision.no-points,
    average-precision.error-curve, average-precision.error-recall, average-precision.error-method.

    >>> average_precision(np.float64([0.5, 0.5, 1]), np.float64([1, 0.5, 0.75]), method="area")
    0.875
    """
    _check_method(method)
    recall = _as_shares("recall", recall, "D")
    precision = _as_shares("precision", precision, len(recall))
    if (falls := np.diff(recall) < 0).any():  # average-precision.error-recall
        point = np.argmax(falls) + 1
        raise ValueError(f"recall[{point}] is {recall[point]!r}, below the {recall[point - 1]!r} before it")
    total = 0.0  # average-precision.no-points, average-precision.order: one addition after another
    if method == "11-point":
        for k in range(11):  # average-precision.eleven-points
            reached = precision[recall >= k / 10]  # average-precision.tenths: one division, so the nearest float64
            total += float(reached.max()) if len(reached) else 0.0
        return total / 11
    best = np.maximum.accumulate(precision[::-1])[::-1]  # average-precision.area: at this recall or a higher one
    for rise, height in zip(np.diff(recall, prepend=0.0).tolist(), best.tolist(), strict=True):
        total += rise * height
    return total


def evaluate_voc(detections, ground_truth, *, iou_threshold=0.5, method):
    """What the challenge says of the detections of one class: each one's mark, the curve, its average precision.

    detections: (D, 6), float32 or float64; rows image index, score, x1, y1, x2, y2, in image pixels.
    ground_truth: (G, 6), float32 or float64; rows image index, x1, y1, x2, y2, difficult, which is 0 or 1.
    iou_threshold: a number above 0 and at most 1; the overlap at which an object counts as found.
    method: as in average_precision.

    Returns marks, recall, precision and the average precision. marks (D,) int64, row for row: 1 true, 0 false, -1
    ignored. recall and precision (D,) float64, by falling score. NaN is recall and result where no object is counted.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 4; the VOC development kits, VOCevaldet.m. Clauses: voc-evaluation.order, voc-evaluation.overlap,
    voc-evaluation.largest, voc-evaluation.threshold, voc-evaluation.difficult, voc-evaluation.duplicate,
    voc-evaluation.elsewhere, voc-evaluation.marks, voc-evaluation.recall, voc-evaluation.precision,
    voc-evaluation.result, voc-evaluation.no-object, voc-evaluation.no-detection, voc-evaluation.type,
    voc-evaluation.error-rows, voc-evaluation.error-image, voc-evaluation.error-coordinate,
    voc-evaluation.error-score, voc-evaluation.error-difficult, voc-evaluation.error-threshold.

    >>> found, objects = np.float64([[0, 0.9, 0, 0, 9, 9], [0, 0.8, 0, 0, 9, 9]]), np.float64([[0, 0, 0, 9, 9, 0]])
    >>> [np.asarray(part).tolist() for part in evaluate_voc(found, objects, method="area")]
    [[1, 0], [1.0, 1.0], [1.0, 0.5], 1.0]
    """
    _check_method(method)
    threshold = _as_threshold(iou_threshold)
    detections, objects = _as_rows("detections", detections, 2), _as_rows("ground_truth", ground_truth, 1)
    scores, difficult = detections[:, 1], objects[:, 5] == 1
    if np.isnan(scores).any():  # voc-evaluation.error-score
        raise ValueError(
            f"detections[{np.argmax(np.isnan(scores))}] has a score of NaN, which has no place in an order"
        )
    if (wrong := ~difficult & (objects[:, 5] != 0)).any():  # voc-evaluation.error-difficult
        row = np.argmax(wrong)
        raise ValueError(f"ground_truth[{row}] has difficult = {objects[row, 5]:g}, which must be 0 or 1")
    order = np.argsort(-scores, kind="stable")  # voc-evaluation.order
    overlaps, rows = _largest_overlaps(detections, objects)
    marks = _marks(order, overlaps, rows, threshold, difficult)
    true, false = np.cumsum(marks[order] == TRUE), np.cumsum(marks[order] == FALSE)
    # voc-evaluation.precision: 0 until something counts. The divisions are of whole numbers, each rounded once.
    precision = np.divide(true, true + false, out=np.zeros(len(order)), where=true + false > 0)
    counted = np.count_nonzero(~difficult)
    if not counted:  # voc-evaluation.no-object
        return marks, np.full(len(order), np.nan), precision, np.nan
    recall = true / counted  # voc-evaluation.recall
    # voc-evaluation.result, voc-evaluation.no-detection
    return marks, recall, precision, average_precision(recall, precision, method=method)


def _largest_overlaps(detections, objects):
    """For each detection the largest overlap with an object of its image, and that object's row; 0 and -1 for none."""
    overlaps, rows = np.zeros(len(detections)), np.full(len(detections), -1)
    for image in np.unique(detections[:, 0]):
        here = np.flatnonzero(detections[:, 0] == image)
        candidates = np.flatnonzero(objects[:, 0] == image)
        if len(candidates):  # voc-evaluation.elsewhere
            shares = iou(detections[here, 2:], objects[candidates, 1:5])  # voc-evaluation.overlap
            overlaps[here], rows[here] = shares.max(axis=1), candidates[shares.argmax(axis=1)]  # voc-evaluation.largest
    return overlaps, rows


def _marks(order, overlaps, rows, threshold, difficult):
    """Clause voc-evaluation.marks."""
    marks, found = np.full(len(order), FALSE, np.int64), np.zeros(len(difficult), bool)
    for detection in order:
        if overlaps[detection] >= threshold:  # voc-evaluation.threshold
            row = rows[detection]
            if difficult[row]:
                marks[detection] = IGNORED  # voc-evaluation.difficult: however many there are
            elif not found[row]:
                marks[detection], found[row] = TRUE, True  # voc-evaluation.duplicate: the next one stays false
    return marks


def _check_method(method):
    """Clause average-precision.error-method."""
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")


def _as_shares(name, value, points):
    """Clause average-precision.error-curve."""
    array = as_array(name, value)
    if array.ndim != 1 or (points != "D" and len(array) != points):
        raise ValueError(f"{name} must have shape ({points},), got {array.shape}")
    if array.dtype != np.float64:
        raise TypeError(f"{name} must be float64, got {array.dtype}")
    good = (array >= 0) & (array <= 1)  # a NaN compares false
    if not good.all():
        raise ValueError(f"{name}[{np.argmin(good)}] must lie in 0..1, got {array[np.argmin(good)]!r}")
    return array


def _as_rows(name, value, first_corner):
    """Clauses voc-evaluation.type, voc-evaluation.error-rows, voc-evaluation.error-image."""
    rows = as_boxes(name, value, 6).astype(np.float64)
    images = rows[:, 0]
    with np.errstate(invalid="ignore"):
        good = (images >= 0) & (images <= LARGEST_COORDINATE) & (images == np.floor(images))
    if not good.all():
        row = np.argmin(good)
        raise ValueError(f"{name}[{row}] has image index {images[row]:g}, which must be a whole number in 0..2^24")
    check_places(name, rows[:, first_corner : first_corner + 4])  # voc-evaluation.error-coordinate
    return rows


def _as_threshold(value):
    """Clause voc-evaluation.error-threshold."""
    threshold = as_number("iou_threshold", value)
    if not 0 < threshold <= 1:
        raise ValueError(f"iou_threshold must be above 0 and at most 1, got {value!r}")
    return threshold
