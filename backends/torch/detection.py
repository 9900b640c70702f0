"""The choice of a pyramid's scale, and the steps from scores to detections, on tensors, as spec/detection.md says.

torch.argmin gives the first of equals, as detect-scale.tie wants. Eager arithmetic rounds every operation; a compiler
for CUDA may fuse the product with the subtraction, which is one rounding less (detect-scale.arithmetic).
"""

import torch

from frcnn.backends.arguments import as_scales, as_whole
from frcnn.backends.torch.boxes import as_tensor, check_boxes, check_places
from frcnn.backends.torch.nms import nms

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
    image_count = as_whole("image_count", image_count, 0)
    per_image, per_class = as_whole("per_image", per_image, 1), as_whole("per_class", per_class, 1)
    _check_rows(scores, boxes, images, image_count)
    nms(boxes[:0, :4], scores[:0, 0], iou_threshold, profile=profile)  # refuses also where nothing is to suppress
    of_image = {image: (images == image).nonzero()[:, 0] for image in images.unique().tolist()}
    found = [images.new_zeros((0, 3), dtype=torch.int64)]
    for k in range(1, scores.shape[1]):
        score, taken = scores[:, k], {}
        for image, rows in of_image.items():
            finite = rows[score[rows] > -torch.inf]
            # Not torch.topk, which does not say which of equals it takes (detect-steps.per-image).
            taken[image] = finite[torch.argsort(score[finite], descending=True, stable=True)[:per_image]]
        ranked = torch.cat([score[:0], *(score[rows] for rows in taken.values())]).sort(descending=True).values
        limit = per_class * image_count
        threshold = ranked[limit - 1] if len(ranked) > limit else -torch.inf
        for image, rows in taken.items():
            left = rows[score[rows] > threshold]
            kept = left[nms(boxes[left, 4 * k : 4 * k + 4], score[left], iou_threshold, profile=profile)]
            found.append(torch.stack([torch.full_like(kept, k), torch.full_like(kept, image), kept], dim=1))
    return torch.cat(found)


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
