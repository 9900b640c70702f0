"""Greedy non-maximum suppression on tensors, as spec/nms.md says.

torchvision.ops.nms is not used: it takes inclusive boxes for one pixel smaller (nms-greedy.overlap), compares with a
threshold that is not rounded (nms-greedy.threshold, `exact`) and has no `>=` (the same, `caffe-2015`). The scores'
order is torch's own stable sort, which passes nms-greedy.tie. The R x R overlaps are computed on the boxes' device, a
slice at a time, and leave it as R x R bytes; the visits, which wait for one another, are made on the CPU.
"""

import torch

from frcnn.backends.arguments import as_threshold, check_profile
from frcnn.backends.torch.boxes import as_tensor, check_boxes, check_places, iou

ROWS_AT_A_TIME = 256  # of R x R overlaps, so that no more than this many rows are ever held in floating point


@torch.no_grad()
def nms(boxes, scores, iou_threshold, *, profile="exact"):
    """The indices of the boxes that remain, int64, by falling score.

    boxes: (R, 4), float32 or float64; inclusive corners in image pixels. scores: (R,), float32 or float64.
    iou_threshold: a number in 0..1. profile: "exact", or "caffe-2015" for what the original code computes.
    Raises ValueError or TypeError naming the argument and the first offending row. Clauses: nms-greedy.*.

    >>> boxes = torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]])
    >>> nms(boxes, torch.tensor([0.6, 0.9, 0.7]), 0.3).tolist()
    [1, 2]
    """
    check_profile(profile)
    check_boxes("boxes", boxes)
    check_places("boxes", boxes)
    _check_scores(scores, boxes)
    threshold = as_threshold(iou_threshold)
    if profile != "exact":
        boxes, scores = boxes.float(), scores.float()
    order = torch.argsort(scores, descending=True, stable=True)
    removes = _removes(boxes[order], threshold, profile).cpu()
    remaining, kept = torch.ones(len(order), dtype=torch.bool), []
    for place in range(len(order)):
        if remaining[place]:
            kept.append(place)
            remaining &= ~removes[place]
    return order[torch.tensor(kept, dtype=torch.int64, device=order.device)]


def _removes(boxes, threshold, profile):
    """(R, R) bool: whether a kept box of this row removes the later box of this column; the overlaps in slices."""
    slices = []
    for rows in boxes.split(ROWS_AT_A_TIME):
        overlaps = iou(rows, boxes, validate=False)
        if profile == "exact":
            slices.append(overlaps > overlaps.new_tensor(threshold))
        else:
            slices.append(overlaps.double() >= threshold)
    return torch.cat(slices) if slices else boxes.new_zeros((0, 0), dtype=torch.bool)


def _check_scores(scores, boxes):
    """Clause nms-greedy.error-scores."""
    if not isinstance(scores, torch.Tensor):
        raise TypeError(f"scores must be a torch.Tensor, got {type(scores).__name__}")
    if scores.shape != boxes.shape[:1]:
        raise ValueError(f"scores must have shape ({len(boxes)},), got {tuple(scores.shape)}")
    if scores.dtype not in (torch.float32, torch.float64) or scores.device != boxes.device:
        raise TypeError(f"scores must be float32 or float64 on {boxes.device}, got {scores.dtype} on {scores.device}")
    nan = scores.isnan()
    if bool(nan.any()):
        raise ValueError(f"scores[{int(nan.nonzero()[0])}] is NaN, which has no place in an order")


class NmsAdapter:
    """The operator of this file for a backend: NumPy in and out."""

    device: str

    def nms(self, boxes, scores, iou_threshold, **options):
        boxes, scores = as_tensor(boxes, self.device), as_tensor(scores, self.device)
        return nms(boxes, scores, iou_threshold, **options).cpu().numpy()
