"""The choice of a pyramid's scale, and the steps from scores to detections, on tensors, as spec/detection.md says.

torch.argmin gives the first of equals, as detect-scale.tie wants. Eager arithmetic rounds every operation; a compiler
for CUDA may fuse the product with the subtraction, which is one rounding less (detect-scale.arithmetic). torch.topk is
not used: it does not say which of equals it takes (detect-steps.per-image).
"""

import torch

from frcnn.backends.arguments import MOST_ROIS, as_scales, as_threshold, as_whole, check_profile
from frcnn.backends.torch.boxes import as_tensor, check_boxes, check_places
from frcnn.backends.torch.nms import kept_of_groups

AREA = 224 * 224


@torch.no_grad()
def select_scale(boxes, scales, *, validate=True):
    """The index (R,), int64, of the scale at which each box (R, 4) is closest to 224^2 pixels in area.

    boxes: float32 or float64; inclusive corners in image pixels. scales: a row (S,) of numbers.
    validate: False does not look at the boxes' numbers, for which CUDA would have to be waited for.
    Raises ValueError or TypeError naming the argument and the first offending row. Clauses: detect-scale.*.

    >>> select_scale(torch.tensor([[0.0, 0, 223, 223], [0, 0, 49, 49]]), [1, 2, 4]).tolist()
    [0, 2]
    """
    check_boxes("boxes", boxes)
    if validate:
        check_places("boxes", boxes)
    s = torch.from_numpy(as_scales(scales)).to(boxes.device)
    x1, y1, x2, y2 = boxes.double().unbind(1)
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    return torch.argmin((areas[:, None] * (s * s) - AREA).abs(), dim=1)


@torch.no_grad()
def detect(scores, boxes, images, image_count, iou_threshold=0.3, *, per_image=100, per_class=40, profile="exact"):
    """The detections (D, 3), int64, among the scored boxes of a set of images: class, image, row.

    scores: (R, K + 1), float32 or float64; class 0 is background. boxes: (R, 4 (K + 1)), float32 or float64; inclusive
    corners in image pixels. images: (R,) integers, the image of each row. image_count: how many images there are.
    iou_threshold, profile: as in nms. per_image, per_class: the limits, the second an image on average.
    Raises ValueError or TypeError naming the argument and the first offending row. Clauses: detect-steps.*.

    >>> boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]]).repeat(1, 2)
    >>> detect(torch.tensor([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7]]), boxes, torch.tensor([0, 0, 0]), 1).tolist()
    [[1, 0, 1], [1, 0, 2]]
    """
    check_profile(profile)
    image_count, iou_threshold = as_whole("image_count", image_count, 0, MOST_ROIS), as_threshold(iou_threshold)
    per_image, per_class = (
        as_whole(name, value, 1, MOST_ROIS) for name, value in (("per_image", per_image), ("per_class", per_class))
    )
    _check_rows(scores, boxes, images, image_count)
    R, K1 = scores.shape
    by_class, images = scores[:, 1:].T, images.long()
    # Class by class, image by image, by falling score, the first of equals first: rows (K, R), and what is theirs.
    rows = torch.argsort(by_class, dim=1, descending=True, stable=True)
    rows = rows.gather(1, torch.argsort(images[rows], dim=1, stable=True))
    score, image = by_class.gather(1, rows), images[rows]

    ordered = images.sort().values  # each class's rows have them so
    rank = torch.arange(R, device=scores.device) - torch.searchsorted(ordered, ordered)
    taken = (score > -torch.inf) & (rank < per_image)
    limit = per_class * image_count
    if R > limit:
        ranked = torch.where(taken, score, -torch.inf).sort(dim=1, descending=True).values
        fall_short = torch.where(ranked[:, limit] > -torch.inf, ranked[:, limit - 1], -torch.inf)
        taken &= score > fall_short[:, None]

    k, place = taken.nonzero().T
    found = torch.stack([k + 1, image[k, place], rows[k, place]], dim=1)
    begins = (found[1:, :2] != found[:-1, :2]).any(dim=1).nonzero()[:, 0] + 1
    starts = torch.cat([begins.new_zeros(1), begins, begins.new_tensor([len(found)])])
    own = boxes.reshape(R, K1, 4)[found[:, 2], found[:, 0]]
    kept = kept_of_groups(own if profile == "exact" else own.float(), starts, iou_threshold, profile)
    return found[kept]


def _check_rows(scores, boxes, images, image_count):
    """Clauses detect-steps.error-scores, detect-steps.error-boxes, detect-steps.error-images."""
    check_boxes("scores", scores, scores.shape[1] if getattr(scores, "ndim", 0) == 2 and scores.shape[1] else "K + 1")
    if bool((nan := scores.isnan().any(dim=1)).any()):
        raise ValueError(f"scores[{int(nan.nonzero()[0])}] holds a NaN, which has no place in an order")
    check_boxes("boxes", boxes, 4 * scores.shape[1])
    check_places("boxes", boxes)
    R = len(scores)
    if len(boxes) != R:
        raise ValueError(f"boxes must have {R} rows, one a row of scores, got {tuple(boxes.shape)}")
    if not isinstance(images, torch.Tensor) or images.is_floating_point() or images.is_complex():
        raise TypeError(f"images must be a torch.Tensor of integers, got {getattr(images, 'dtype', type(images))}")
    if images.shape != (R,) or images.dtype is torch.bool:
        raise ValueError(f"images must hold {R} integers, one a row of scores, got {tuple(images.shape)}")
    if not scores.device == boxes.device == images.device:
        raise ValueError(f"images and boxes must be on the device of scores, {scores.device}")
    images = images.long()  # an int8 is less than 128, whatever it is compared with
    wrong = (images < 0) | (images >= image_count)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(f"images[{row}] is {int(images[row])}, but there are {image_count} images")


class DetectionAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    device: str

    def select_scale(self, boxes, scales):
        return select_scale(as_tensor(boxes, self.device), scales).cpu().numpy()

    def detect(self, scores, boxes, images, *arguments, **options):
        tensors = (as_tensor(array, self.device) for array in (scores, boxes, images))
        return detect(*tensors, *arguments, **options).cpu().numpy()
