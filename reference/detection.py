"""From a test image to detections: `spec/detection.md`, executable.

Shapes and symbols. R boxes, rows (x1, y1, x2, y2) in image pixels, both corners inside; S scales of an image pyramid; K
classes, class 0 being background.
"""

import numpy as np

from frcnn.reference.arguments import LARGEST_COORDINATE, MOST, as_array, as_float_array, as_whole
from frcnn.reference.box_arguments import KINDS, as_boxes, check_places
from frcnn.reference.nms import nms

# Pixels of the image that a network was pre-trained on, which a scaled box is to come close to.
AREA = 224 * 224


def select_scale(boxes, scales):
    """The scale of an image pyramid at which each box is closest to 224^2 pixels in area.

    boxes: (R, 4), float32 or float64; image pixels.
    scales: (S,), numbers; scaled pixels per image pixel, at least one.

    Returns (R,) int64, indices into scales.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 3; rbgirshick/fast-rcnn, lib/fast_rcnn/test.py:85-92. Clauses: detect-scale.area,
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
    scales = as_array("scales", value)
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


def detect(scores, boxes, images, image_count, iou_threshold=0.3, *, per_image=100, per_class=40, profile="exact"):
    """The detections among the scored boxes of a whole set of images, class by class.

    scores: (R, K + 1), float32 or float64; class 0 is background.
    boxes: (R, 4 (K + 1)), float32 or float64; image pixels, class k in columns 4k .. 4k + 3.
    images: (R,) integers, the image of each row, in any order.
    image_count: how many images there are, those without a row included.
    iou_threshold, profile: as in nms.
    per_image: how many boxes of a class are taken of an image.
    per_class: how many boxes of a class an image there may be on average, over all images.

    Returns (D, 3) int64: class, image, row; by class, then by image, then by falling score.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 3; rbgirshick/fast-rcnn, lib/fast_rcnn/test.py:253-324. Clauses: detect-steps.classes,
    detect-steps.per-image, detect-steps.threshold, detect-steps.above, detect-steps.nms-last, detect-steps.result,
    detect-steps.error-scores, detect-steps.error-boxes, detect-steps.error-images,
    detect-steps.error-limits, detect-steps.error-nms.

    >>> boxes = np.tile(np.float32([[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]]), 2)
    >>> detect(np.float32([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7]]), boxes, np.array([0, 0, 0]), 1).tolist()
    [[1, 0, 1], [1, 0, 2]]
    """
    image_count = as_whole("image_count", image_count, 0, MOST)  # detect-steps.error-limits, and below
    per_image, per_class = as_whole("per_image", per_image, 1, MOST), as_whole("per_class", per_class, 1, MOST)
    scores, boxes, images = _as_rows(scores, boxes, images, image_count)
    nms(boxes[:0, :4], scores[:0, 0], iou_threshold, profile=profile)  # detect-steps.error-nms, with no row to suppress
    of_image = {image: np.flatnonzero(images == image) for image in np.unique(images)}  # by rising index
    found = []
    for k in range(1, scores.shape[1]):  # detect-steps.classes
        score, taken = scores[:, k], {}
        for image, rows in of_image.items():
            finite = rows[score[rows] > -np.inf]
            taken[image] = finite[np.argsort(-score[finite], kind="stable")[:per_image]]  # detect-steps.per-image
        ranked = -np.sort(-np.concatenate([score[:0], *(score[rows] for rows in taken.values())]))
        limit = per_class * image_count
        threshold = ranked[limit - 1] if len(ranked) > limit else -np.inf  # detect-steps.threshold
        for image, rows in taken.items():
            left = rows[score[rows] > threshold]  # detect-steps.above
            kept = left[nms(boxes[left, 4 * k : 4 * k + 4], score[left], iou_threshold, profile=profile)]
            found += [(k, image, row) for row in kept]  # detect-steps.nms-last, detect-steps.result
    return np.array(found, np.int64).reshape(-1, 3)


def _as_rows(scores, boxes, images, image_count):
    """Clauses detect-steps.error-scores, detect-steps.error-boxes and detect-steps.error-images."""
    scores = as_float_array("scores", scores, ("R", "K + 1"))
    if scores.dtype.name not in KINDS:
        raise TypeError(f"scores must have one of the types {', '.join(KINDS)}, got {scores.dtype}")
    if not scores.shape[1]:
        raise ValueError(f"scores must have shape (R, K + 1), with a column for the background, got {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"scores[{np.argwhere(np.isnan(scores))[0][0]}] holds a NaN, which has no place in an order")
    R, columns = scores.shape
    boxes = as_boxes("boxes", boxes, 4 * columns)
    if len(boxes) != R:
        raise ValueError(f"boxes must have {R} rows, one a row of scores, got {boxes.shape}")
    good = np.abs(boxes) <= LARGEST_COORDINATE  # a NaN compares false
    if not good.all():
        row = np.argwhere(~good)[0][0]
        raise ValueError(f"boxes[{row}] has a coordinate that is not finite or beyond 2^24 in size")
    images = as_array("images", images)
    if images.shape != (R,) or images.dtype.kind not in "iu":
        raise ValueError(f"images must hold {R} integers, one a row of scores, got {images.dtype} {images.shape}")
    good = (images >= 0) & (images < image_count)
    if not good.all():
        row = np.argmin(good)
        raise ValueError(f"images[{row}] is {images[row]}, but there are {image_count} images")
    return scores, boxes, images.astype(np.int64)
