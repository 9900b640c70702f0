"""Boxes on tensors: overlap, clipping, flipping and the regression targets, as spec/boxes.md says.

Shapes and symbols. R boxes, K classes. A box is a row (x1, y1, x2, y2): inclusive corners in image pixels; class k in
columns 4k .. 4k + 3. Torch's own arithmetic passes the clauses, eagerly. Two of its functions do not, and are not here:
torch.clamp and torch.maximum do not say which zero they give for -0 and 0 (box-clip.kept), and torchvision's box_iou
takes an inclusive box for one pixel smaller (box-iou.extents) and gives NaN for two empty ones (box-iou.malformed).

Checking coordinates waits for a CUDA device and breaks a compiled graph; `validate=False` leaves out what needs them.
"""

import ml_dtypes
import numpy as np
import torch

from frcnn.backends.arguments import EPSILON, LARGEST_COORDINATE, as_image_sides, check_profile


def iou(a, b, *, validate=True):
    """Intersection over union of every box of `a` (A, 4) with every box of `b` (B, 4): (A, B), float32 or float64.

    Clauses: box-iou.extents, box-iou.order, box-iou.type, box-iou.malformed, box-iou.pairs.

    >>> iou(torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([[0.0, 0, 9, 4]])).tolist()
    [[0.5]]
    """
    check_boxes("a", a)
    check_boxes("b", b)
    check_same_type("b", b, "a", a)
    if validate:
        check_places("a", a)
        check_places("b", b)
    rows, columns = a[:, None], b[None]
    w, h = (
        torch.minimum(rows[..., i + 2], columns[..., i + 2]) - torch.maximum(rows[..., i], columns[..., i]) + 1
        for i in (0, 1)
    )
    shared = w * h
    meet = (w > 0) & (h > 0)
    union = _areas(rows) + _areas(columns) - shared
    # Where they do not meet the union may be 0; 1 in its place keeps NaN out of the gradient too.
    return torch.where(meet, shared / torch.where(meet, union, 1), 0)


def clip_boxes(boxes, image_size, *, profile="exact", validate=True):
    """Clip boxes (R, 4 K), in image pixels, to an image of (H, W). Clauses: box-clip.*.

    >>> clip_boxes(torch.tensor([[-3.0, 2, 12, 40]]), (10, 10)).tolist()
    [[0.0, 2.0, 9.0, 9.0]]
    """
    check_profile(profile)
    H, W = as_image_sides("image_size", image_size)
    check_class_boxes("boxes", boxes)
    if validate:
        _check_rows("boxes", ~boxes.isnan(), "holds a NaN; there is no place to clip it to")
    corners = boxes.reshape(len(boxes), boxes.shape[1] // 4, 2, 2)
    below = above = True
    if profile != "exact":
        below = torch.tensor([[True], [False]], device=boxes.device)
        above = ~below
    last = boxes.new_tensor([W - 1, H - 1])
    clipped = torch.where((corners < 0) & below, 0, corners)
    return torch.where((clipped > last) & above, last, clipped).reshape(boxes.shape)


def flip_boxes(boxes, width, *, validate=True):
    """Mirror boxes (R, 4) in an image of `width` columns. Clauses: box-flip.columns, box-flip.rows.

    >>> flip_boxes(torch.tensor([[0.0, 1, 3, 2]]), 10).tolist()
    [[6.0, 1.0, 9.0, 2.0]]
    """
    (W,) = as_image_sides("width", (width,))
    check_boxes("boxes", boxes)
    if validate:
        check_places("boxes", boxes)
    x1, y1, x2, y2 = boxes.unbind(1)
    return torch.stack([W - x2 - 1, y1, W - x1 - 1, y2], dim=1)


def encode_boxes(proposals, ground_truth, *, profile="exact", validate=True):
    """The targets (R, 4) that take proposals (R, 4) to ground truth (R, 4). Clauses: box-encode.*.

    >>> encode_boxes(torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([[5.0, 0, 14, 9]])).tolist()
    [[0.5, 0.0, 0.0, 0.0]]
    """
    check_profile(profile)
    check_boxes("proposals", proposals)
    check_boxes("ground_truth", ground_truth)
    check_same_type("ground_truth", ground_truth, "proposals", proposals)
    if len(ground_truth) != len(proposals):
        raise ValueError(
            f"ground_truth must have {len(proposals)} rows, one a proposal, got {tuple(ground_truth.shape)}"
        )
    p, p_extent = _centred("proposals", proposals, profile, validate)
    g, g_extent = _centred("ground_truth", ground_truth, profile, validate)
    return torch.cat([(g - p) / p_extent, torch.log(g_extent / p_extent)], dim=1)


def decode_boxes(proposals, deltas, *, profile="exact", validate=True):
    """The boxes (R, 4 K) that deltas (R, 4 K) make of proposals (R, 4); not clipped. Clauses: box-decode.*.

    >>> decode_boxes(torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([[0.5, 0, 0, 0]])).tolist()
    [[5.0, 0.0, 14.0, 9.0]]
    """
    check_profile(profile)
    check_boxes("proposals", proposals)
    check_class_boxes("deltas", deltas)
    check_same_type("deltas", deltas, "proposals", proposals)
    if len(deltas) != len(proposals):
        raise ValueError(f"deltas must have {len(proposals)} rows, one a proposal, got {len(deltas)}")
    if validate:
        _check_rows("deltas", deltas.isfinite(), "holds a number that is not finite")
    centre, extent = (side[:, None] for side in _centred("proposals", proposals, profile, validate))
    shift, stretch = deltas.reshape(len(deltas), deltas.shape[1] // 4, 2, 2).unbind(2)
    middle = shift * extent + centre
    half = 0.5 * (torch.exp(stretch) * extent)
    last = middle + half - 1 if profile == "exact" else middle + half
    return torch.stack([middle - half, last], dim=2).reshape(deltas.shape)


def check_boxes(name, boxes, columns=4):
    """Clauses box-error.shape and box-error.type."""
    if not isinstance(boxes, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(boxes).__name__}")
    if boxes.dim() != 2 or boxes.shape[1] != columns:
        raise ValueError(f"{name} must have shape (R, {columns}), got {tuple(boxes.shape)}")
    if boxes.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must have one of the types float32, float64, got {boxes.dtype}")


def check_class_boxes(name, boxes):
    """The same, for rows of several boxes."""
    whole = isinstance(boxes, torch.Tensor) and boxes.dim() == 2 and boxes.shape[1] % 4 == 0
    check_boxes(name, boxes, boxes.shape[1] if whole else "4 K")


def check_same_type(name, tensor, other_name, other):
    """Clause box-error.type: torch would widen the narrower one unasked."""
    if tensor.dtype != other.dtype or tensor.device != other.device:
        raise TypeError(
            f"{name} must have the type and device of {other_name}, {other.dtype} on {other.device}, "
            f"got {tensor.dtype} on {tensor.device}"
        )


def check_places(name, boxes):
    """Clause box-error.coordinate."""
    good = boxes.detach().abs() <= LARGEST_COORDINATE
    _check_rows(name, good, "has a coordinate that is not finite or beyond 2^24 in size")


def _check_rows(name, good, sentence):
    if not bool(good.all()):
        row = int((~good).any(dim=1).nonzero()[0])
        raise ValueError(f"{name}[{row}] {sentence}")


def _areas(boxes):
    return (boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1)


def _centred(name, boxes, profile, validate):
    """Centres (R, 2) and extents (R, 2): clauses box-encode.extents and box-encode.centre."""
    first, last = boxes[:, :2], boxes[:, 2:]
    extent = last - first + (1 if profile == "exact" else EPSILON)
    if validate:
        check_places(name, boxes)
        _check_rows(name, extent > 0, "has no positive extent; its last corner must not lie before its first")
    return first + 0.5 * extent, extent


def as_tensor(value, device):
    """A NumPy array as a tensor. torch has no NumPy bfloat16; as float16 it is refused in the same words."""
    array = np.array(value)
    return torch.from_numpy(array.astype(np.float16) if array.dtype == ml_dtypes.bfloat16 else array).to(device)


class BoxesAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    device: str

    def iou(self, a, b):
        return iou(as_tensor(a, self.device), as_tensor(b, self.device)).cpu().numpy()

    def clip_boxes(self, boxes, image_size, **options):
        return clip_boxes(as_tensor(boxes, self.device), image_size, **options).cpu().numpy()

    def flip_boxes(self, boxes, width):
        return flip_boxes(as_tensor(boxes, self.device), width).cpu().numpy()

    def encode_boxes(self, proposals, ground_truth, **options):
        proposals, truth = as_tensor(proposals, self.device), as_tensor(ground_truth, self.device)
        return encode_boxes(proposals, truth, **options).cpu().numpy()

    def decode_boxes(self, proposals, deltas, **options):
        proposals, moves = as_tensor(proposals, self.device), as_tensor(deltas, self.device)
        return decode_boxes(proposals, moves, **options).cpu().numpy()
