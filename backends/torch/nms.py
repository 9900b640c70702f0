"""Greedy non-maximum suppression on tensors, as spec/nms.md says.

torchvision.ops.nms is not used: it takes inclusive boxes for one pixel smaller (nms-greedy.overlap), compares with a
threshold that is not rounded (nms-greedy.threshold, `exact`) and has no `>=` (the same, `caffe-2015`). The scores'
order is torch's own stable sort, on the boxes' device, which passes nms-greedy.tie. The visits wait for one another,
and so are made on the CPU: a thousand boxes are 16 KB to bring there.
"""

import torch

from frcnn.backends.arguments import as_threshold, check_profile
from frcnn.backends.torch.boxes import as_tensor, check_boxes, check_places


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
    starts = torch.tensor([0, len(order)], device="cpu")
    return order[kept_of_groups(boxes[order], starts, threshold, profile)]


def kept_of_groups(boxes, starts, threshold, profile):
    """Which boxes remain, (R,) bool on their device, where groups of boxes know nothing of each other.

    boxes: (R, 4), group by group, in the order of the visit. starts: (G + 1,) int64, each group's first row, and R.
    """
    from frcnn.backends.torch import cpu  # which compiles; importing this module must not

    kept = cpu.load().nms(boxes.cpu(), starts.cpu(), threshold, profile != "exact")
    return kept.to(boxes.device)


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
