"""Spatial pyramid pooling of RoIs on tensors, as spec/spp.md says: roi_pool on each level's grid, one after another.

torch's own adaptive_max_pool2d has the same windows as a level (roi-pool.grid, `exact`) for one RoI cut from the map,
but takes neither a RoI that leaves the map (roi-pool.empty) nor RoIs of different sizes in one call: it is not used.
"""

from collections.abc import Callable

import ml_dtypes
import torch

from frcnn.backends.arguments import as_levels
from frcnn.backends.torch.api import roi_pool


def spp_pool(input, boxes, levels=(1, 2, 4), spatial_scale=1.0, *, profile="exact", validate=True):
    """Pool each RoI on one square grid a level, and write the levels' bins one after another.

    input: (N, C, H, W), float16, bfloat16, float32 or (on the CPU) float64.
    boxes: (R, 5) of image index, x1, y1, x2, y2 in image pixels, or a list of (L, 4), one per image.
    levels: at least one whole number; P stands for a grid of P x P.
    spatial_scale, profile, validate: as in roi_pool.

    Returns (R, C, bins) of input's type, bins being the sum of P^2; differentiable in input any number of times.
    Raises ValueError or TypeError naming the argument and the first offending row. Clauses: spp-pool.*.

    >>> features = torch.arange(16.0).reshape(1, 1, 4, 4)
    >>> spp_pool(features, torch.tensor([[0.0, 0, 0, 3, 3]]), (1, 2)).tolist()
    [[[15.0, 5.0, 7.0, 13.0, 15.0]]]
    """
    levels = as_levels(levels)
    wide = input
    if _is_half(input) and torch.is_grad_enabled() and input.requires_grad:
        wide = input.float()  # so that autograd adds the levels' gradients in float32: spp-pool.backward
    pooled = []
    for number, P in enumerate(levels):
        # What makes a RoI unusable is the same at every level, and a look at the data waits for CUDA: one is enough.
        grid = roi_pool(wide, boxes, P, spatial_scale, profile=profile, validate=validate and number == 0)
        pooled.append(grid.flatten(2))
    return torch.cat(pooled, dim=2).to(input.dtype)


def _is_half(input):
    return isinstance(input, torch.Tensor) and input.dtype in (torch.float16, torch.bfloat16)


class SppAdapter:
    """The operator of this file for a backend: NumPy in and out, the gradient through autograd."""

    _tensor: Callable[..., torch.Tensor]

    def spp_pool(self, features, rois, *arguments, **options):
        return _array(spp_pool(self._tensor("features", features), self._tensor("rois", rois), *arguments, **options))

    def spp_pool_backward(self, grad_output, features, rois, *arguments, **options):
        input, grad = self._tensor("features", features).requires_grad_(), self._tensor("grad_output", grad_output)
        output = spp_pool(input, self._tensor("rois", rois), *arguments, **options)
        if grad.shape != output.shape or grad.dtype != output.dtype:
            raise ValueError(f"grad_output must be {output.dtype} {tuple(output.shape)}, got {tuple(grad.shape)}")
        return _array(torch.autograd.grad(output, input, grad)[0])


def _array(tensor):
    tensor = tensor.detach().cpu().contiguous()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()
