"""Normalised regression targets on tensors, as spec/targets.md says.

R targets, rows (t_x, t_y, t_w, t_h), each with a label; K1 classes, class 0 background. `torch.var_mean` knows no
classes; `Tensor.index_add` and `Tensor.scatter_reduce` do, in one pass over all of them. The order of addition is free
in clause box-targets.type, and on CUDA it changes from run to run.
"""

import torch

from frcnn.backends.arguments import EPSILON, LARGEST_TARGET, LEAST_SPREAD, MOST_CLASSES, as_whole, check_profile
from frcnn.backends.torch.boxes import as_tensor, check_boxes, check_same_type


def target_statistics(targets, labels, class_count, *, profile="exact", validate=True):
    """Means and stds (K1, 4), float64, of the targets (R, 4) of each class; labels (R,), int32 or int64.

    class_count: K1, background counted. Clauses: box-targets.classes to box-targets.type.

    >>> means, stds = target_statistics(torch.tensor([[1.0, 0, 0, 0], [3, 0, 0, 0]]), torch.tensor([1, 1]), 2)
    >>> means[1].tolist(), stds[1].tolist()
    ([2.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    """
    check_profile(profile)
    K1 = as_whole("class_count", class_count, 1, MOST_CLASSES)
    _check_labelled(targets, labels, K1, validate)
    wide, labels = targets.double(), labels.long()
    zeros = wide.new_zeros(K1, 4)
    n = torch.bincount(labels, minlength=K1).double()[:, None]
    has = (n > 0) & (torch.arange(K1, device=n.device) > 0)[:, None]  # box-targets.empty, box-targets.background
    n = torch.where(has, n, 1) if profile == "exact" else n + EPSILON
    mean = zeros.index_add(0, labels, wide) / n
    if profile == "exact":
        places = labels[:, None].expand(-1, 4)
        least, most = (zeros.scatter_reduce(0, places, wide, how, include_self=False) for how in ("amin", "amax"))
        std = (zeros.index_add(0, labels, (wide - mean[labels]).square()) / n).sqrt()
        constant = most - least <= LEAST_SPREAD
        mean, std = torch.where(constant, least, mean), torch.where(constant, 1.0, std)
        return torch.where(has, mean, 0.0), torch.where(has, std, 1.0)
    variance = zeros.index_add(0, labels, wide.square()) / n - mean.square()
    return torch.where(has, mean, 0.0), torch.where(has, variance.clamp(min=0).sqrt(), 0.0)


def normalise_targets(targets, labels, means, stds, *, validate=True):
    """Targets (R, 4) less their class's mean, divided by its std, in their own type; those labelled 0 as they are.

    means, stds: (K1, 4), float64. Clauses: box-targets.normalised, box-targets.kept.

    >>> means, stds = torch.tensor([[0.0] * 4, [2] * 4]).double(), torch.tensor([[1.0] * 4, [4] * 4]).double()
    >>> normalise_targets(torch.tensor([[8.0, 8, 8, 8]]), torch.tensor([1]), means, stds).tolist()
    [[1.5, 1.5, 1.5, 1.5]]
    """
    _check_statistics(means, stds, validate)
    _check_labelled(targets, labels, len(means), validate)
    labels = labels.long()
    if validate:
        empty = (labels > 0) & ~(stds[labels] > 0).all(dim=1)
        if bool(empty.any()):
            row = int(empty.nonzero()[0])
            raise ValueError(f"stds[{int(labels[row])}] holds a 0, but targets[{row}] is of that class")
    normalised = (targets.double() - means[labels]) / stds[labels]
    return torch.where((labels > 0)[:, None], normalised.to(targets.dtype), targets)


def fold_statistics(weights, bias, means, stds, *, validate=True):
    """The weights (4 K1, D) and bias (4 K1,) that predict plain targets, from those trained on normalised ones.

    means, stds: (K1, 4), float64. Clauses: box-targets.folded, box-targets.inverse.

    >>> means, stds = torch.tensor([[5.0, 0, 0, 0]]).double(), torch.tensor([[2.0, 1, 1, 1]]).double()
    >>> [tensor.tolist() for tensor in fold_statistics(torch.ones(4, 1), torch.ones(4), means, stds)]
    [[[2.0], [1.0], [1.0], [1.0]], [7.0, 1.0, 1.0, 1.0]]
    """
    _check_statistics(means, stds, validate)
    for name, tensor, rank in (("weights", weights, 2), ("bias", bias, 1)):
        if not isinstance(tensor, torch.Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
        if tensor.dim() != rank or len(tensor) != means.numel():
            raise ValueError(f"{name} must have {means.numel()} rows, four a class, got {tuple(tensor.shape)}")
        if tensor.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name} must be float32 or float64, got {tensor.dtype}")
    check_same_type("bias", bias, "weights", weights)
    m, s = means.reshape(-1), stds.reshape(-1)
    return (weights.double() * s[:, None]).to(weights.dtype), (bias.double() * s + m).to(bias.dtype)


def _check_labelled(targets, labels, K1, validate):
    """Clauses box-targets.error-targets and box-targets.error-labels."""
    check_boxes("targets", targets)
    if not isinstance(labels, torch.Tensor) or labels.dtype not in (torch.int32, torch.int64):
        raise TypeError(
            f"labels must be a torch.Tensor of int32 or int64, got {getattr(labels, 'dtype', type(labels))}"
        )
    if labels.shape != targets.shape[:1]:
        raise ValueError(f"labels must have shape ({len(targets)},), one a target, got {tuple(labels.shape)}")
    if validate:
        good = (targets.detach().double().abs() <= LARGEST_TARGET).all(dim=1)
        _check_rows("targets", good, "holds a number that is not finite or beyond 2^128 in size")
        _check_rows("labels", (labels >= 0) & (labels < K1), f"is none of the {K1} classes, background counted")


def _check_statistics(means, stds, validate):
    """Clause box-targets.error-statistics."""
    for name, tensor in (("means", means), ("stds", stds)):
        if not isinstance(tensor, torch.Tensor) or tensor.dtype != torch.float64:
            raise TypeError(f"{name} must be a torch.Tensor of float64, got {getattr(tensor, 'dtype', type(tensor))}")
        if tensor.dim() != 2 or tensor.shape != (len(means), 4):
            raise ValueError(f"{name} must have shape (K1, 4), a row a class, got {tuple(tensor.shape)}")
        if validate:
            good = tensor.isfinite() & (tensor >= 0) if name == "stds" else tensor.isfinite()
            _check_rows(name, good.all(dim=1), "holds a number that is not finite, or a std below 0")


def _check_rows(name, good, sentence):
    if not bool(good.all()):
        raise ValueError(f"{name}[{int((~good).nonzero()[0])}] {sentence}")


class TargetsAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    device: str

    def target_statistics(self, targets, labels, class_count, **options):
        targets, labels = as_tensor(targets, self.device), as_tensor(labels, self.device)
        return tuple(tensor.cpu().numpy() for tensor in target_statistics(targets, labels, class_count, **options))

    def normalise_targets(self, *arrays):
        return normalise_targets(*(as_tensor(array, self.device) for array in arrays)).cpu().numpy()

    def fold_statistics(self, *arrays):
        folded = fold_statistics(*(as_tensor(array, self.device) for array in arrays))
        return tuple(tensor.cpu().numpy() for tensor in folded)
