"""Stochastic gradient descent on tensors, as the original's solver has it: the rate is inside the velocity.

`torch.optim.SGD` is not used, because it fails clause sgd-step.velocity: it keeps v = mu v + g and moves by l v, so a
drop of the rate shrinks what the velocity has gathered (tests/torch/test_sgd.py shows it). Its updates also go through
`torch.add(..., alpha=)`, which fuses the product with the sum on CPUs with FMA and fails clause sgd-step.roundings.
`torch.optim.lr_scheduler.StepLR` multiplies step by step, which clause sgd-step.schedule allows; but its state is an
optimizer's, so the rate of any one update is said here by a function.
"""

import numpy as np
import torch

from frcnn.backends.arguments import as_momentum, as_product, learning_rate
from frcnn.backends.torch.arguments import check_apart

# Opaque to a compiler, which would fuse its roundings and follow it to where the native kernels are compiled.
_library = torch.library.Library("frcnn", "FRAGMENT")
_library.define(
    "sgd_step(Tensor weights, Tensor gradients, Tensor velocity, float rate, float momentum, float decay, "
    "Tensor(a!) new_weights, Tensor(b!) new_velocity) -> ()",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def sgd_step(
    weights,
    gradients,
    velocity,
    learning_rate,
    *,
    momentum=0.9,
    weight_decay=0.0005,
    lr_mult=1.0,
    decay_mult=1.0,
    out=None,
):
    """The new weights and the new velocity of one blob after one update; the arguments are not changed.

    weights, gradients, velocity: tensors of one shape and one type, float32 or float64; velocity is zeros at first.
    learning_rate, momentum, weight_decay, lr_mult, decay_mult: numbers, as in frcnn.reference.sgd_step.
    out: two contiguous tensors for the results; (weights, velocity) updates in place, which is quickest. None for new.
    Raises ValueError or TypeError naming the argument.
    """
    _check_blobs({"weights": weights, "gradients": gradients, "velocity": velocity})
    kind = np.float32 if weights.dtype == torch.float32 else np.float64
    mu = float(as_momentum(momentum, kind))
    rate = float(as_product("learning_rate", learning_rate, "lr_mult", lr_mult, kind))
    decay = float(as_product("weight_decay", weight_decay, "decay_mult", decay_mult, kind))
    if out is None:
        out = tuple(torch.empty_like(weights, memory_format=torch.contiguous_format) for _ in range(2))
    else:
        _check_out(out, {"weights": weights, "gradients": gradients, "velocity": velocity})
    with torch.no_grad():
        torch.ops.frcnn.sgd_step(weights, gradients, velocity, rate, mu, decay, *out)
    return out


@torch.library.impl(_library, "sgd_step", "CPU")
def _step_cpu(weights, gradients, velocity, rate, momentum, decay, new_weights, new_velocity):
    from frcnn.backends.torch import cpu  # which compiles; importing this module must not

    cpu.load().sgd_step(weights, gradients, velocity, rate, momentum, decay, new_weights, new_velocity)
    torch.autograd.graph.increment_version((new_weights, new_velocity))


@torch.library.impl(_library, "sgd_step", "CompositeExplicitAutograd")
def _step(weights, gradients, velocity, rate, momentum, decay, new_weights, new_velocity):
    if decay != 0:
        gradients = gradients + weights * decay
    torch.mul(velocity, momentum, out=new_velocity)
    new_velocity.add_(gradients * rate)
    torch.sub(weights, new_velocity, out=new_weights)


@torch.library.register_fake("frcnn::sgd_step", lib=_library)
def _step_fake(weights, gradients, velocity, rate, momentum, decay, new_weights, new_velocity):
    return None


def _check_out(out, blobs):
    """Elements are updated one by one, so a result may lie where an argument lies, but not beside it."""
    new_weights, new_velocity = out
    _check_blobs({"weights": blobs["weights"], "out[0]": new_weights, "out[1]": new_velocity})
    for position, result in enumerate(out):
        if not result.is_contiguous():
            raise ValueError(f"out[{position}] must be contiguous")
        for name, blob in blobs.items():
            if not (blob.is_contiguous() and blob.data_ptr() == result.data_ptr()):
                check_apart(f"out[{position}]", result, name, blob)
    check_apart("out[0]", new_weights, "out[1]", new_velocity)


def _check_blobs(blobs):
    weights = blobs["weights"]
    for name, blob in blobs.items():
        if not isinstance(blob, torch.Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(blob).__name__}")
        if blob.dtype not in (torch.float32, torch.float64) or blob.dtype != weights.dtype:
            raise TypeError(f"{name} must be float32 or float64 and all of one type, got {blob.dtype}")
        if blob.shape != weights.shape:
            raise ValueError(f"{name} must have the shape of weights, {tuple(weights.shape)}, got {tuple(blob.shape)}")
        if blob.device != weights.device:
            raise ValueError(f"{name} must be on {weights.device}, where the weights are, got {blob.device}")


class SgdAdapter:
    """sgd_step and learning_rate for the suite: NumPy in and out."""

    device: str

    def sgd_step(self, weights, gradients, velocity, learning_rate, **options):
        w, g, v = (torch.from_numpy(np.array(blob)).to(self.device) for blob in (weights, gradients, velocity))
        return tuple(blob.cpu().numpy() for blob in sgd_step(w, g, v, learning_rate, **options))

    def learning_rate(self, iteration, base, gamma, step):
        return learning_rate(iteration, base, gamma, step)
