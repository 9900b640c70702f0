"""Which RoIs and which images make up a minibatch, given the random numbers, as spec/sampling.md says; on tensors.

The order is torch.argsort's with stable=True, which passes roi-sampling.tie; its default is not stable. torch.max
points to the first of equal maxima, as its documentation promises, and so passes roi-sampling.best. torchvision's
BalancedPositiveNegativeSampler is not used: it draws by itself, from torch's global generator (roi-sampling.keys),
truncates its quota (roi-sampling.quota), and gives masks (roi-sampling.order).

Checking values waits for a CUDA device; `validate=False` leaves out what needs them.
"""

import numpy as np
import torch

from frcnn.backends.arguments import MOST_ROIS, as_share, as_thresholds, as_whole, check_profile
from frcnn.backends.torch.boxes import as_tensor, check_boxes, check_places, check_same_type, iou


@torch.no_grad()
def match_rois(proposals, ground_truth, ground_truth_class, *, profile="exact", validate=True):
    """The RoIs of an image, ground truth first, each with its best overlap and that ground truth's class.

    proposals: (R, 4), float32 or float64; image pixels. ground_truth: (G, 4) of the same type.
    ground_truth_class: (G,), int32 or int64. profile: "caffe-2015" rounds overlaps from float64 to float32.
    Returns the RoIs (G + R, 4), their overlaps (G + R,) and their classes (G + R,), int64. Clauses: roi-sampling.*.

    >>> boxes, truth = torch.tensor([[0.0, 0, 9, 4]]), torch.tensor([[0.0, 0, 9, 9]])
    >>> [tensor.tolist() for tensor in match_rois(boxes, truth, torch.tensor([7]))[1:]]
    [[1.0, 0.5], [7, 7]]
    """
    check_profile(profile)
    check_boxes("proposals", proposals)
    check_boxes("ground_truth", ground_truth)
    check_same_type("ground_truth", ground_truth, "proposals", proposals)
    _check_row("ground_truth_class", ground_truth_class, len(ground_truth), (torch.int32, torch.int64))
    if validate:
        check_places("proposals", proposals)
        check_places("ground_truth", ground_truth)
        _check("ground_truth_class", ground_truth_class, ground_truth_class >= 1, "it must be at least 1")
    wide = proposals.dtype if profile == "exact" else torch.float64
    shares = iou(proposals.to(wide), ground_truth.to(wide), validate=False)
    # A column without overlap, of class 0, in front of all others wins where none is larger than 0.
    shares = torch.cat([shares.new_zeros(len(shares), 1), shares], dim=1)
    largest, best = shares.max(dim=1)
    own = ground_truth_class.long()
    overlaps = torch.cat([largest.new_ones(len(own)), largest])
    classes = torch.cat([own, torch.cat([own.new_zeros(1), own])[best]])
    return torch.cat([ground_truth, proposals]), overlaps if profile == "exact" else overlaps.float(), classes


@torch.no_grad()
def sample_rois(
    overlaps_max,
    overlap_class,
    keys,
    *,
    rois_per_image=64,
    fg_fraction=0.25,
    fg_threshold=0.5,
    bg_threshold_lo=0.1,
    bg_threshold_hi=0.5,
    validate=True,
):
    """The indices and labels, int64, of the RoIs of one image that the smallest keys put into the minibatch.

    overlaps_max: (R,), float32 or float64. overlap_class: (R,), int32 or int64. keys: (R,), float32, float64, int32 or
    int64, such as torch.rand gives. The numbers are those of frcnn.reference.sample_rois. Clauses: roi-sampling.*.

    >>> overlaps, classes = torch.tensor([0.9, 0.2, 0.6, 0.3, 0.0]), torch.tensor([5, 5, 8, 8, 0])
    >>> [t.tolist() for t in sample_rois(overlaps, classes, torch.arange(5), rois_per_image=2, fg_fraction=0.5)]
    [[0, 1], [5, 0]]
    """
    R = overlaps_max.numel() if isinstance(overlaps_max, torch.Tensor) else 0
    _check_row("overlaps_max", overlaps_max, R, (torch.float32, torch.float64))
    _check_row("overlap_class", overlap_class, R, (torch.int32, torch.int64))
    _check_row("keys", keys, R)
    places, fraction = as_whole("rois_per_image", rois_per_image, 1, MOST_ROIS), as_share("fg_fraction", fg_fraction)
    # As tensors of the overlaps' type: torch compares float32 with a Python number in the wider type.
    lo, hi, fg = map(overlaps_max.new_tensor, as_thresholds(bg_threshold_lo, bg_threshold_hi, fg_threshold))
    foreground = overlaps_max >= fg
    background = (overlaps_max >= lo) & (overlaps_max < hi)
    if validate:
        in_range = (overlaps_max >= 0) & (overlaps_max <= 1)
        _check("overlaps_max", overlaps_max, in_range, "an overlap lies in 0..1")
        _check("overlap_class", overlap_class, overlap_class >= 0, "it must be at least 0")
        without = foreground & (overlap_class == 0)
        _check("overlap_class", overlap_class, ~without, "a RoI that may be foreground has a class of at least 1")
        _check("keys", keys, ~keys.isnan(), "it has no place in an order")
    order = torch.argsort(keys, stable=True)
    drawn = order[foreground[order]][: round(fraction * places)]
    others = order[background[order]][: places - len(drawn)]
    labels = torch.cat([overlap_class.long()[drawn], others.new_zeros(len(others))])
    return torch.cat([drawn, others]), labels


@torch.no_grad()
def image_order(keys, *, images_per_batch=2, profile="exact", validate=True):
    """The minibatches of one epoch (B, images_per_batch), int64, from a key for each image.

    keys: (I,), float32, float64, int32 or int64. profile: where I is a multiple of images_per_batch, "caffe-2015" drops
    the last minibatch. Clauses: roi-sampling.permutation, roi-sampling.tail.

    >>> image_order(torch.tensor([0.5, 0.1, 0.9, 0.3, 0.7])).tolist()
    [[1, 3], [0, 4]]
    """
    check_profile(profile)
    _check_row("keys", keys, keys.numel() if isinstance(keys, torch.Tensor) else 0)
    together = as_whole("images_per_batch", images_per_batch, 1, MOST_ROIS)
    if together > len(keys):
        raise ValueError(f"images_per_batch must be at most the number of images, {len(keys)}, got {together}")
    if validate:
        _check("keys", keys, ~keys.isnan(), "it has no place in an order")
    batches = len(keys) // together
    if profile == "caffe-2015":
        batches = max((len(keys) - 1) // together, 1)
    return torch.argsort(keys, stable=True)[: batches * together].reshape(batches, together)


def _check_row(name, value, rows, types=(torch.float32, torch.float64, torch.int32, torch.int64)):
    """Shapes and types: roi-sampling.error-classes, roi-sampling.error-overlaps, roi-sampling.error-keys."""
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), got {tuple(value.shape)}")
    if value.dtype not in types:
        raise TypeError(f"{name} must have one of the types {', '.join(map(str, types))}, got {value.dtype}")


def _check(name, values, good, sentence):
    if not bool(good.all()):
        row = int((~good).nonzero()[0])
        raise ValueError(f"{name}[{row}] is {values[row].item()}; {sentence}")


class SamplingAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    device: str

    def match_rois(self, proposals, ground_truth, ground_truth_class, **options):
        tensors = (as_tensor(array, self.device) for array in (proposals, ground_truth, ground_truth_class))
        return tuple(tensor.cpu().numpy() for tensor in match_rois(*tensors, **options))

    def sample_rois(self, overlaps_max, overlap_class, keys, **options):
        tensors = (as_tensor(array, self.device) for array in (overlaps_max, overlap_class, keys))
        return tuple(tensor.cpu().numpy() for tensor in sample_rois(*tensors, **options))

    def image_order(self, keys, **options):
        return image_order(as_tensor(np.asarray(keys), self.device), **options).cpu().numpy()
