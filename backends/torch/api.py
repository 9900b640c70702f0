"""roi_pool and RoIPool: what torchvision's take, and `profile`."""

import torch

from frcnn.backends.torch import arguments, operator  # noqa: F401  (registers torch.ops.frcnn)


def roi_pool(input, boxes, output_size, spatial_scale=1.0, *, profile="exact", validate=True, out=None):
    """Divide each RoI into P_h x P_w sub-windows and take the maximum of each, channel by channel.

    input: (N, C, H, W), float16, bfloat16, float32 or (on the CPU) float64; contiguous or channels last, as the result.
    boxes: (R, 5) of image index, x1, y1, x2, y2 in image pixels, or a list of (L, 4), one per image; any of these
        types, whatever input's is.
    output_size: (P_h, P_w), or one number for both.
    spatial_scale: map cells per image pixel, 1/16 for VGG16's conv5_3.
    profile: "exact", or "caffe-2015" for what the original code computes.
    validate: False pools an unusable box to 0 in place of the error, and on CUDA saves waiting for the device.
    out: for inference, a tensor that the result is written into and that is returned, of its shape, type and layout;
        None for a fresh one. Fresh memory takes longer than pooling does.

    Returns (R, C, P_h, P_w) of input's type; differentiable in input any number of times, not in boxes, in
    torch.autograd's reverse mode: forward mode raises NotImplementedError, and torch.func's derivatives are refused.
    Autocast changes nothing: the result has the type of input. On CUDA, torch.use_deterministic_algorithms makes
    backward repeatable bitwise; on the CPU it always is.
    Exported for inference, under torch.no_grad(), it computes no argmax; exported without, it can be trained.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: the paper, section 2.1. Clauses: all of spec/roi-pool.md.

    >>> features = torch.arange(16.0).reshape(1, 1, 4, 4)
    >>> roi_pool(features, torch.tensor([[0.0, 0, 0, 3, 3]]), 2).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    if not isinstance(input, torch.Tensor):
        raise TypeError(f"input must be a torch.Tensor, got {type(input).__name__}")
    if not torch.compiler.is_compiling() and torch.autograd.forward_ad.unpack_dual(input).tangent is not None:
        raise NotImplementedError("roi_pool has no derivative in forward mode; take the gradient, in reverse mode")
    pooled_height, pooled_width = arguments.as_output_size(output_size)
    if not isinstance(boxes, torch.Tensor):
        boxes = arguments.as_rows(boxes, input)
    # What is exported may be trained later, whatever its example input wants.
    wants_gradient = torch.is_grad_enabled() and (input.requires_grad or torch.compiler.is_exporting())
    pooling = (input, boxes.detach(), pooled_height, pooled_width, arguments.as_scale(spatial_scale), profile)
    if out is None:
        return torch.ops.frcnn.roi_pool(*pooling, wants_gradient, validate)[0]
    if not isinstance(out, torch.Tensor):
        raise TypeError(f"out must be a torch.Tensor, got {type(out).__name__}")
    if wants_gradient or (torch.is_grad_enabled() and out.requires_grad):
        raise RuntimeError("roi_pool with out= has no gradient; leave out= away, or call it under torch.no_grad()")
    torch.ops.frcnn.roi_pool_into(*pooling, validate, out)
    return out


class RoIPool(torch.nn.Module):
    """roi_pool with its output size, scale and profile kept: RoIPool(7, 1 / 16)(input, boxes)."""

    def __init__(self, output_size, spatial_scale, *, profile="exact", validate=True):
        super().__init__()
        arguments.check_profile(profile)
        self.output_size = arguments.as_output_size(output_size)
        self.spatial_scale = arguments.as_scale(spatial_scale)
        self.profile = profile
        self.validate = validate

    def forward(self, input, boxes):
        return roi_pool(
            input, boxes, self.output_size, self.spatial_scale, profile=self.profile, validate=self.validate
        )

    def extra_repr(self):
        return (
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale}, "
            f"profile={self.profile!r}, validate={self.validate}"
        )
