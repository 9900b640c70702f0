"""Greedy non-maximum suppression on tensors, as spec/nms.md says.

torchvision.ops.nms is not used: it takes inclusive boxes for one pixel smaller (nms-greedy.overlap), compares with a
threshold that is not rounded (nms-greedy.threshold, `exact`) and has no `>=` (the same, `caffe-2015`). The scores'
order is torch's own stable sort, on the boxes' device, which passes nms-greedy.tie. The visits wait for one another,
and so are made on the CPU: a thousand boxes are 16 KB to bring there.

    frcnn::nms            boxes, scores -> indices    whose number depends on the data, as a compiler must know
    frcnn::nms_of_groups  boxes, starts -> mask

Both are opaque to a compiler, which would otherwise follow them to where the native kernels are compiled.
"""

import torch

from frcnn.backends.arguments import as_threshold, check_profile
from frcnn.backends.torch.boxes import as_tensor, check_boxes, check_places

_library = torch.library.Library("frcnn", "FRAGMENT")
_WAITING = (torch.Tag.pt2_compliant_tag, torch.Tag.cudagraph_unsafe)

_library.define(
    "nms(Tensor boxes, Tensor scores, float iou_threshold, str profile) -> Tensor",
    tags=(*_WAITING, torch.Tag.dynamic_output_shape),
)
_library.define("nms_of_groups(Tensor boxes, Tensor starts, float iou_threshold, str profile) -> Tensor", tags=_WAITING)


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
    _check_scores(scores, boxes)
    return torch.ops.frcnn.nms(boxes, scores, as_threshold(iou_threshold), profile)


@torch.library.impl(_library, "nms", "CompositeExplicitAutograd")
def _nms(boxes, scores, iou_threshold, profile):
    check_places("boxes", boxes)
    if bool((nan := scores.isnan()).any()):
        raise ValueError(f"scores[{int(nan.nonzero()[0])}] is NaN, which has no place in an order")
    if profile != "exact":
        boxes, scores = boxes.float(), scores.float()
    order = torch.argsort(scores, descending=True, stable=True)
    starts = torch.tensor([0, len(order)], device="cpu")
    return order[kept_of_groups(boxes[order], starts, iou_threshold, profile)]


@torch.library.register_fake("frcnn::nms", lib=_library)
def _nms_fake(boxes, scores, iou_threshold, profile):
    return boxes.new_empty(torch.library.get_ctx().new_dynamic_size(), dtype=torch.int64)


def kept_of_groups(boxes, starts, iou_threshold, profile):
    """Which boxes remain, (R,) bool on their device, where groups of boxes know nothing of each other.

    boxes: (R, 4), group by group, in the order of the visit. starts: (G + 1,) int64, each group's first row, and R.
    """
    return torch.ops.frcnn.nms_of_groups(boxes, starts, iou_threshold, profile)


@torch.library.impl(_library, "nms_of_groups", "CompositeExplicitAutograd")
def _kept_of_groups(boxes, starts, iou_threshold, profile):
    from frcnn.backends.torch import cpu  # which compiles; importing this module must not

    kept = cpu.load().nms(boxes.cpu(), starts.cpu(), iou_threshold, profile != "exact")
    return kept.to(boxes.device)


@torch.library.register_fake("frcnn::nms_of_groups", lib=_library)
def _kept_of_groups_fake(boxes, starts, iou_threshold, profile):
    return boxes.new_empty(boxes.shape[0], dtype=torch.bool)


def _check_scores(scores, boxes):
    """Clause nms-greedy.error-scores."""
    if not isinstance(scores, torch.Tensor):
        raise TypeError(f"scores must be a torch.Tensor, got {type(scores).__name__}")
    if scores.shape != boxes.shape[:1]:
        raise ValueError(f"scores must have shape ({len(boxes)},), got {tuple(scores.shape)}")
    if scores.dtype not in (torch.float32, torch.float64) or scores.device != boxes.device:
        raise TypeError(f"scores must be float32 or float64 on {boxes.device}, got {scores.dtype} on {scores.device}")


class NmsAdapter:
    """The operator of this file for a backend: NumPy in and out."""

    device: str

    def nms(self, boxes, scores, iou_threshold, **options):
        boxes, scores = as_tensor(boxes, self.device), as_tensor(scores, self.device)
        return nms(boxes, scores, iou_threshold, **options).cpu().numpy()
