"""Boxes: overlap, clipping, flipping, and the regression targets: `spec/boxes.md`, executable.

Shapes and symbols. R boxes, K classes; an image of H rows and W columns. A box is a row (x1, y1, x2, y2) in image
pixels, both corners inside. A row of several boxes holds class k in columns 4k .. 4k + 3. Everything is computed in the
arguments' own type, float32 or float64, one rounding for each operation written here: box-iou.type, box-encode.type,
box-decode.type.
"""

import numpy as np

from frcnn.reference.arguments import LARGEST_COORDINATE, as_array, as_index, check_profile
from frcnn.reference.box_arguments import as_boxes, check_extents, check_places, check_same_type

EPSILON = 1e-14  # what the original adds to a width in place of a pixel


def iou(a, b):
    """Intersection over union of every box of `a` with every box of `b`.

    a: (A, 4), float32 or float64; image pixels. b: (B, 4) of the same type.

    Returns (A, B) of that type, each in 0..1.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: rbgirshick/fast-rcnn, lib/utils/bbox.pyx. Clauses: box-iou.extents, box-iou.order, box-iou.type,
    box-iou.malformed, box-iou.pairs, box-error.shape, box-error.type, box-error.coordinate.

    >>> iou(np.float32([[0, 0, 9, 9]]), np.float32([[0, 0, 9, 4], [10, 0, 19, 9]])).tolist()
    [[0.5, 0.0]]
    """
    a, b = as_boxes("a", a), as_boxes("b", b)
    check_same_type("b", b, "a", a)
    check_places("a", a)
    check_places("b", b)
    rows, columns = a[:, None], b[None]  # box-iou.pairs
    w, h = (
        np.minimum(rows[..., i + 2], columns[..., i + 2]) - np.maximum(rows[..., i], columns[..., i]) + 1
        for i in (0, 1)
    )  # box-iou.extents: both corners inside
    shared = w * h
    union = _areas(rows) + _areas(columns) - shared  # box-iou.order
    meet = (w > 0) & (h > 0)  # box-iou.malformed: never for a box that holds no pixel, whose union may be 0
    return np.divide(shared, union, out=np.zeros_like(shared), where=meet)


def clip_boxes(boxes, image_size, *, profile="exact"):
    """Clip boxes to the image.

    boxes: (R, 4 K), float32 or float64; image pixels, infinities allowed.
    image_size: (H, W), whole numbers.
    profile: "exact" clips every coordinate at both ends; "caffe-2015" first corners below, last corners above.

    Returns (R, 4 K) of the boxes' type.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: rbgirshick/fast-rcnn, lib/fast_rcnn/test.py:144-151. Clauses: box-clip.bounds, box-clip.kept,
    box-clip.infinity, box-clip.classes, box-error.shape, box-error.profile, box-error.image-size, box-error.number.

    >>> clip_boxes(np.float32([[-3, 2, 12, 40]]), (10, 10)).tolist()
    [[0.0, 2.0, 9.0, 9.0]]
    """
    check_profile(profile)  # box-error.profile
    H, W = _as_image_sides("image_size", image_size)
    boxes = _as_class_boxes("boxes", boxes)
    if np.isnan(boxes).any():  # box-error.number
        raise ValueError(f"boxes[{np.argwhere(np.isnan(boxes))[0][0]}] holds a NaN; there is no place to clip it to")
    clipped = boxes.copy()  # box-clip.kept: what is inside is not touched, and -0 stays
    for column, last in enumerate((W - 1, H - 1, W - 1, H - 1)):  # box-clip.bounds
        values = clipped[:, column::4]  # box-clip.classes, a view
        if profile == "exact" or column < 2:
            values[values < 0] = 0  # box-clip.infinity: an infinity is smaller or larger, no more
        if profile == "exact" or column >= 2:
            values[values > last] = last
    return clipped


def flip_boxes(boxes, width):
    """Mirror boxes left to right.

    boxes: (R, 4), float32 or float64; image pixels. width: the image's, a whole number.

    Returns (R, 4) of the boxes' type.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 2.3, "horizontally flipped"; rbgirshick/fast-rcnn, lib/datasets/imdb.py:94-110. Clauses:
    box-flip.columns, box-flip.rows, box-error.shape, box-error.type, box-error.coordinate, box-error.image-size.

    >>> flip_boxes(np.float32([[0, 1, 3, 2]]), 10).tolist()
    [[6.0, 1.0, 9.0, 2.0]]
    """
    (W,) = _as_image_sides("width", (width,))
    boxes = as_boxes("boxes", boxes)
    check_places("boxes", boxes)
    flipped = boxes.copy()  # box-flip.rows: y1 and y2 stay
    flipped[:, 0] = W - boxes[:, 2] - 1  # box-flip.columns: the corners change places
    flipped[:, 2] = W - boxes[:, 0] - 1
    return flipped


def encode_boxes(proposals, ground_truth, *, profile="exact"):
    """The regression targets (t_x, t_y, t_w, t_h) that take each proposal to its ground truth.

    proposals: (R, 4), float32 or float64; image pixels. ground_truth: (R, 4) of the same type, row for row.
    profile: "exact" counts a box's pixels, x2 - x1 + 1; "caffe-2015" has x2 - x1 + 1e-14.

    Returns (R, 4) of that type: shifts in the proposal's widths and heights, then logs of the ratios of extents.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 2.3, "the parameterization for t_k given in [9]"; R-CNN, appendix C, Eqs. 6-9. Clauses:
    box-encode.extents, box-encode.centre, box-encode.shift, box-encode.log, box-encode.type, box-error.extent,
    box-error.shape, box-error.type, box-error.coordinate, box-error.profile.

    >>> encode_boxes(np.float32([[0, 0, 9, 9]]), np.float32([[5, 0, 14, 9]])).tolist()
    [[0.5, 0.0, 0.0, 0.0]]
    """
    check_profile(profile)
    proposals = as_boxes("proposals", proposals)
    ground_truth = as_boxes("ground_truth", ground_truth)
    check_same_type("ground_truth", ground_truth, "proposals", proposals)
    if len(ground_truth) != len(proposals):
        raise ValueError(
            f"ground_truth must have shape {proposals.shape}, one row a proposal, got {ground_truth.shape}"
        )
    p_x, p_y, p_w, p_h = _centred("proposals", proposals, profile)
    g_x, g_y, g_w, g_h = _centred("ground_truth", ground_truth, profile)
    shifts = (g_x - p_x) / p_w, (g_y - p_y) / p_h  # box-encode.shift
    return np.stack([*shifts, np.log(g_w / p_w), np.log(g_h / p_h)], axis=1)  # box-encode.log


def decode_boxes(proposals, deltas, *, profile="exact"):
    """The boxes that predicted targets give, one for each class: the inverse of encode_boxes.

    proposals: (R, 4), float32 or float64; image pixels.
    deltas: (R, 4 K) of the same type; t_x, t_y, t_w, t_h of class k in columns 4k .. 4k + 3, not normalised.
    profile: as in encode_boxes.

    Returns (R, 4 K) of that type; nothing is clipped, and what overflows is infinite, or NaN where two infinities meet.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: R-CNN, appendix C, Eqs. 1-4; rbgirshick/fast-rcnn, lib/fast_rcnn/test.py:115-138. Clauses:
    box-decode.centre, box-decode.size, box-decode.overflow, box-decode.corners, box-decode.classes, box-decode.inverse,
    box-decode.type, box-error.extent, box-error.number.

    >>> decode_boxes(np.float32([[0, 0, 9, 9]]), np.float32([[0.5, 0, 0, 0]])).tolist()
    [[5.0, 0.0, 14.0, 9.0]]
    """
    check_profile(profile)
    proposals = as_boxes("proposals", proposals)
    deltas = _as_class_boxes("deltas", deltas)
    check_same_type("deltas", deltas, "proposals", proposals)
    if len(deltas) != len(proposals):
        raise ValueError(f"deltas must have {len(proposals)} rows, one a proposal, got {len(deltas)}")
    if not np.isfinite(deltas).all():  # box-error.number
        raise ValueError(f"deltas[{np.argwhere(~np.isfinite(deltas))[0][0]}] holds a number that is not finite")
    x, y, w, h = (side[:, None] for side in _centred("proposals", proposals, profile))
    boxes = np.empty_like(deltas)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for first, centre, extent in ((0, x, w), (1, y, h)):
            middle = deltas[:, first::4] * extent + centre  # box-decode.centre, box-decode.classes
            half = 0.5 * (np.exp(deltas[:, first + 2 :: 4]) * extent)  # box-decode.size, box-decode.overflow
            boxes[:, first::4] = middle - half
            last = middle + half
            boxes[:, first + 2 :: 4] = last - 1 if profile == "exact" else last  # box-decode.corners
    return boxes


def _areas(boxes):
    return (boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1)


def _centred(name, boxes, profile):
    """Clauses box-encode.extents and box-encode.centre: x, y, w, h of each box, each (R,)."""
    check_places(name, boxes)
    x1, y1, x2, y2 = boxes.T
    pixel = 1 if profile == "exact" else EPSILON
    w, h = x2 - x1 + pixel, y2 - y1 + pixel  # box-encode.extents
    check_extents(name, w, h)
    return x1 + 0.5 * w, y1 + 0.5 * h, w, h  # box-encode.centre


def _as_class_boxes(name, value):
    array = as_array(name, value)
    columns = array.shape[1] if array.ndim == 2 else "4 K"
    if columns != "4 K" and columns % 4:
        raise ValueError(f"{name} must have shape (R, 4 K), got {array.shape}")
    return as_boxes(name, array, columns)


def _as_image_sides(name, value):
    """Clause box-error.image-size: whole numbers of at least 1 and at most 2^24."""
    try:
        sides = tuple(as_index(side) for side in value)
    except TypeError:
        raise TypeError(f"{name} must hold whole numbers, got {value!r}") from None
    if name == "image_size" and len(sides) != 2:
        raise ValueError(f"image_size must be (H, W), got {value!r}")
    if not all(1 <= side <= LARGEST_COORDINATE for side in sides):
        raise ValueError(f"{name} must lie in 1..2^24, got {value!r}")
    return sides
