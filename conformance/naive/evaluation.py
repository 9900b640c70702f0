"""The challenge's measure, one detection after another, with whole numbers and fractions as long as they last."""

from fractions import Fraction

import numpy as np

from frcnn.conformance.naive.boxes import overlap, rounding


def average_precision(recall, precision, *, method):
    """As frcnn.reference.average_precision, for input that is known to be good."""
    points = list(zip(recall.tolist(), precision.tolist(), strict=True))
    if method == "11-point":
        return _mean([max((p for r, p in points if r >= float(Fraction(k, 10))), default=0.0) for k in range(11)])
    area, before = 0.0, 0.0
    for i, (r, _) in enumerate(points):
        area = area + (r - before) * max(p for _, p in points[i:])
        before = r
    return area


def evaluate_voc(detections, ground_truth, *, iou_threshold=0.5, method):
    """As frcnn.reference.evaluate_voc, for input that is known to be good. Recalls reach a tenth by whole numbers."""
    rounded = rounding(np.float64)
    rows, objects = [tuple(row) for row in detections.tolist()], [tuple(row) for row in ground_truth.tolist()]
    counted = sum(1 for each in objects if each[5] == 0)
    marks, found = [0] * len(rows), set()
    curve: list = []
    for d in sorted(range(len(rows)), key=lambda d: (-rows[d][1], d)):
        best, best_object = 0.0, -1
        for j, each in enumerate(objects):
            if each[0] == rows[d][0]:
                share = overlap(rows[d][2:], each[1:5], rounded)
                if share > best:
                    best, best_object = share, j
        if best >= iou_threshold:
            if objects[best_object][5] == 1:
                marks[d] = -1
            elif best_object not in found:
                marks[d] = 1
                found.add(best_object)
        true, false = curve[-1] if curve else (0, 0)
        curve.append((true + (marks[d] == 1), false + (marks[d] == 0)))
    precision = [float(Fraction(true, true + false)) if true + false else 0.0 for true, false in curve]
    if counted == 0:
        recall, ap = [float("nan")] * len(curve), float("nan")
    else:
        recall = [float(Fraction(true, counted)) for true, _ in curve]
        if method == "11-point":
            points = list(zip(precision, [10 * true for true, _ in curve], strict=True))
            ap = _mean([max((p for p, tenfold in points if tenfold >= k * counted), default=0.0) for k in range(11)])
        else:
            ap = average_precision(np.array(recall, np.float64), np.array(precision, np.float64), method=method)
    return np.array(marks, np.int64), np.array(recall, np.float64), np.array(precision, np.float64), ap


def _mean(eleven):
    total = 0.0
    for value in eleven:  # not sum(), which since Python 3.12 does better than this
        total = total + value
    return total / 11
