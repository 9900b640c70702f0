"""The multi-task loss and its parts on tensors; autograd differentiates them.

`torch.nn.functional.smooth_l1_loss` passes as it is, but for the derivative of NaN in caffe-2015. `log_softmax` passes.
`cross_entropy` is not used: it leaves a label of -100 out without a word, which fails clause log-loss.error-labels, and
its mean over no RoIs is NaN, which fails multi-task-loss.no-rois. A mean of `smooth_l1_loss` divides by all numbers and
not by R, which fails multi-task-loss.reduce.
"""

import numpy as np
import torch
from torch.nn import functional

from frcnn.backends.arguments import as_finite, check_profile

FLT_MIN = torch.finfo(torch.float32).tiny


def smooth_l1(x, *, profile="exact"):
    """0.5 x^2 near zero, |x| - 0.5 from -1 and 1 on.

    x: any shape, float32 or float64. profile: "exact", or "caffe-2015", which gives NaN a derivative of 0.
    Raises ValueError or TypeError naming the argument.
    """
    check_profile(profile)
    _check_tensor("x", x)
    if profile == "exact":
        return functional.smooth_l1_loss(x, torch.zeros_like(x), reduction="none")
    number = torch.where(x.isnan(), 0, x)  # the NaN is added as a constant, so that no gradient passes through it
    value = functional.smooth_l1_loss(number, torch.zeros_like(x), reduction="none")
    return torch.where(x.isnan(), x.detach(), value)


def softmax_log_loss(scores, labels, *, profile="exact"):
    """-log of the true class's softmax probability: one number for each RoI, not reduced.

    scores: (R, K + 1), float32 or float64. labels: (R,) integers in 0 .. K.
    profile: "exact", or "caffe-2015", which clamps the logarithm's argument at FLT_MIN, and not its gradient.
    Raises ValueError or TypeError naming the argument.
    """
    check_profile(profile)
    _check_scores(scores, labels)
    column = labels.long()[:, None]
    losses = -functional.log_softmax(scores, dim=1).gather(1, column)[:, 0]
    return losses if profile == "exact" else _Clamped.apply(scores, column)


class _Clamped(torch.autograd.Function):
    """The clamped loss with the gradient of the loss without clamp: autograd's own would be 0 where the clamp acts."""

    @staticmethod
    def forward(ctx, scores, column):
        ctx.save_for_backward(scores, column)
        return -functional.softmax(scores, dim=1).gather(1, column)[:, 0].clamp(min=FLT_MIN).log()

    @staticmethod
    def backward(ctx, grad):
        scores, column = ctx.saved_tensors
        true = torch.zeros_like(scores).scatter(1, column, 1.0)
        return (functional.softmax(scores, dim=1) - true) * grad[:, None], None


def multi_task_loss(scores, deltas, labels, targets, *, lambda_=1.0, profile="exact"):
    """L, L_cls and L_loc of a minibatch: Eq. 1, each divided by the number of all RoIs.

    scores: (R, K + 1), float32 or float64. deltas: (R, 4 (K + 1)), class by class, background's first.
    labels: (R,) integers in 0 .. K. targets: (R, 4), those of the RoI's own class; of background RoIs anything.
    lambda_: the weight of the box loss. profile: "exact" or "caffe-2015".
    Raises ValueError or TypeError naming the argument.
    """
    losses = softmax_log_loss(scores, labels, profile=profile)
    R, columns = scores.shape
    _check_tensor("deltas", deltas, scores.dtype, (R, 4 * columns))
    _check_tensor("targets", targets, scores.dtype, (R, 4))
    lambda_ = as_finite("lambda_", lambda_, str(scores.dtype).removeprefix("torch."))
    u, t = labels.long()[:, None, None], deltas.reshape(R, columns, 4)
    own = t.take_along_dim(u, 1)[:, 0]
    differences = torch.where(u[:, 0] >= 1, own - targets, torch.zeros_like(own))
    L_loc = smooth_l1(differences, profile=profile).sum()
    if profile == "caffe-2015":  # a weight of 0 times each delta that does not enter
        enters = (u == torch.arange(columns, device=u.device)[:, None]) & (u >= 1)
        L_loc = L_loc + (0 * torch.where(enters, torch.zeros_like(t), t)).sum()
    divisor = max(R, 1)
    L_cls, L_loc = losses.sum() / divisor, L_loc / divisor
    return L_cls + lambda_ * L_loc, L_cls, L_loc


def _check_tensor(name, value, dtype=None, shape=None):
    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"{name} must be float32 or float64, got {value.dtype}; widen half types first")
    if dtype is not None and value.dtype != dtype:
        raise TypeError(f"{name} must have the type of scores, {dtype}, got {value.dtype}")
    if shape is not None and tuple(value.shape) != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(value.shape)}")


def _check_scores(scores, labels):
    _check_tensor("scores", scores)
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise ValueError(f"scores must have shape (R, K + 1), with one column at least, got {tuple(scores.shape)}")
    R, columns = scores.shape
    if not isinstance(labels, torch.Tensor) or labels.is_floating_point() or labels.dtype is torch.bool:
        raise TypeError(f"labels must be a tensor of integers, got {getattr(labels, 'dtype', type(labels).__name__)}")
    if tuple(labels.shape) != (R,):
        raise ValueError(f"labels must have shape ({R},), one for each row of scores, got {tuple(labels.shape)}")
    if torch.compiler.is_compiling():
        return  # a look at the values would break the graph; gather refuses what is out of range by itself
    labels = labels.long()  # an int8 is less than 128, whatever it is compared with
    wrong = (labels < 0) | (labels >= columns)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise ValueError(f"labels[{row}] is {int(labels[row])}, but scores has the classes 0..{columns - 1}")


class LossAdapter:
    """The losses for the suite: NumPy in and out, and every gradient by autograd, not by a formula."""

    device = "cpu"

    def smooth_l1(self, x, *, profile="exact"):
        x = _leaf_of(self.device, x)
        value = smooth_l1(x, profile=profile)
        return _arrays(value, *torch.autograd.grad(value.sum(), x))

    def softmax_log_loss(self, scores, labels, *, profile="exact"):
        scores = _leaf_of(self.device, scores)
        losses = softmax_log_loss(scores, _tensor_of(self.device, labels), profile=profile)
        return _arrays(losses, *torch.autograd.grad(losses, scores, torch.ones_like(losses)))

    def multi_task_loss(self, scores, deltas, labels, targets, *, lambda_=1.0, profile="exact"):
        scores, deltas = _leaf_of(self.device, scores), _leaf_of(self.device, deltas)
        labels, targets = _tensor_of(self.device, labels), _tensor_of(self.device, targets)
        parts = multi_task_loss(scores, deltas, labels, targets, lambda_=lambda_, profile=profile)
        return _arrays(*parts, *torch.autograd.grad(parts[0], (scores, deltas)))


def _tensor_of(device, value):
    return torch.from_numpy(np.array(value)).to(device)


def _leaf_of(device, value):
    tensor = _tensor_of(device, value)
    return tensor.requires_grad_() if tensor.is_floating_point() else tensor


def _arrays(*tensors):
    return tuple(tensor.detach().cpu().numpy() for tensor in tensors)
