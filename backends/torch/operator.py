"""The registered operators frcnn::roi_pool, _into, _backward and _select: CPU, CUDA, fake tensors, autograd.

roi_pool_backward is linear in grad, and its adjoint, roi_pool_select, reads a map at argmax. Each is the other's
gradient, so every order of derivative is one of the two, and both are opaque to a compiler that would fuse or
reassociate their float32 arithmetic.

    roi_pool          input -> output, argmax      gradient: roi_pool_backward
    roi_pool_into     input -> output              none: it writes into a tensor that is there
    roi_pool_backward grad -> grad of input        gradient: roi_pool_select
    roi_pool_select   source -> source at argmax   gradient: roi_pool_backward

Shapes: input (N, C, H, W), boxes (R, 5), output and argmax (R, C, P_h, P_w), argmax int32, -1 for none.
Boxes get no gradient: the projection rounds. Autocast has no rule for these operators, on purpose: pooling selects, so
it runs in the type of its input and casts nothing; and boxes are never made half, which would move them by pixels.

What runs is imported when it first runs: importing this module neither compiles the native kernels nor imports triton.
"""

import torch

from frcnn.backends.torch import arguments

_library = torch.library.Library("frcnn", "DEF")
_TAGS = (torch.Tag.pt2_compliant_tag, torch.Tag.needs_exact_strides)
# The check of boxes waits for the device, which ends the capture of a CUDA graph.
_WAITING = (*_TAGS, torch.Tag.cudagraph_unsafe)

_library.define(
    "roi_pool(Tensor input, Tensor boxes, SymInt pooled_height, SymInt pooled_width, float spatial_scale, "
    "str profile, bool with_argmax, bool validate) -> (Tensor, Tensor)",
    tags=_WAITING,
)
_library.define(
    "roi_pool_into(Tensor input, Tensor boxes, SymInt pooled_height, SymInt pooled_width, float spatial_scale, "
    "str profile, bool validate, Tensor(a!) out) -> ()",
    tags=_WAITING,
)
_library.define(
    "roi_pool_backward(Tensor grad, Tensor argmax, Tensor boxes, SymInt[] input_size, float spatial_scale, "
    "str profile, bool deterministic) -> Tensor",
    tags=_TAGS,
)
_library.define(
    "roi_pool_select(Tensor source, Tensor argmax, Tensor boxes, float spatial_scale, str profile) -> Tensor",
    tags=_TAGS,
)


@torch.library.impl(_library, "roi_pool", "CPU")
def _pool_cpu(input, boxes, pooled_height, pooled_width, spatial_scale, profile, with_argmax, validate):
    from frcnn.backends.torch import cpu

    arguments.check_pool(input, boxes, pooled_height, pooled_width, spatial_scale, profile)
    return cpu.forward(input, boxes, pooled_height, pooled_width, spatial_scale, profile, with_argmax, validate)


@torch.library.impl(_library, "roi_pool", "CUDA")
def _pool_cuda(input, boxes, pooled_height, pooled_width, spatial_scale, profile, with_argmax, validate):
    from frcnn.backends.torch import launch

    arguments.check_pool(input, boxes, pooled_height, pooled_width, spatial_scale, profile)
    return launch.forward(input, boxes, pooled_height, pooled_width, spatial_scale, profile, with_argmax, validate)


@torch.library.impl(_library, "roi_pool_into", "CPU")
def _pool_into_cpu(input, boxes, pooled_height, pooled_width, spatial_scale, profile, validate, out):
    from frcnn.backends.torch import cpu

    arguments.check_pool(input, boxes, pooled_height, pooled_width, spatial_scale, profile)
    arguments.check_out(out, input, boxes, pooled_height, pooled_width)
    arguments.check_apart("out", out, "input", input)
    cpu.forward(input, boxes, pooled_height, pooled_width, spatial_scale, profile, False, validate, out=out)
    torch.autograd.graph.increment_version(out)


@torch.library.impl(_library, "roi_pool_into", "CUDA")
def _pool_into_cuda(input, boxes, pooled_height, pooled_width, spatial_scale, profile, validate, out):
    from frcnn.backends.torch import launch

    arguments.check_pool(input, boxes, pooled_height, pooled_width, spatial_scale, profile)
    arguments.check_out(out, input, boxes, pooled_height, pooled_width)
    arguments.check_apart("out", out, "input", input)
    launch.forward(input, boxes, pooled_height, pooled_width, spatial_scale, profile, False, validate, out=out)
    torch.autograd.graph.increment_version(out)


@torch.library.register_fake("frcnn::roi_pool_into", lib=_library)
def _pool_into_fake(input, boxes, pooled_height, pooled_width, spatial_scale, profile, validate, out):
    arguments.check_shapes(input, boxes, pooled_height, pooled_width, profile)
    arguments.check_out(out, input, boxes, pooled_height, pooled_width)


@torch.library.register_fake("frcnn::roi_pool", lib=_library)
def _pool_fake(input, boxes, pooled_height, pooled_width, spatial_scale, profile, with_argmax, validate):
    arguments.check_shapes(input, boxes, pooled_height, pooled_width, profile)
    shape = (boxes.shape[0], input.shape[1], pooled_height, pooled_width)
    layout = arguments.memory_format(input)
    output = torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=layout)
    if with_argmax:
        return output, torch.empty_like(output, dtype=torch.int32)
    return output, output.new_empty(0, dtype=torch.int32)


@torch.library.impl(_library, "roi_pool_backward", "CPU")
def _backward_cpu(grad, argmax, boxes, input_size, spatial_scale, profile, deterministic):
    from frcnn.backends.torch import cpu

    arguments.check_gradient(grad, argmax, boxes, input_size, spatial_scale, profile)
    return cpu.backward(grad, argmax, boxes, input_size, spatial_scale, profile, validate=False)


@torch.library.impl(_library, "roi_pool_backward", "CUDA")
def _backward_cuda(grad, argmax, boxes, input_size, spatial_scale, profile, deterministic):
    from frcnn.backends.torch import launch

    arguments.check_gradient(grad, argmax, boxes, input_size, spatial_scale, profile)
    return launch.backward(grad, argmax, boxes, input_size, spatial_scale, profile, deterministic)


@torch.library.register_fake("frcnn::roi_pool_backward", lib=_library)
def _backward_fake(grad, argmax, boxes, input_size, spatial_scale, profile, deterministic):
    arguments.check_gradient_shapes(grad, argmax, boxes, input_size, profile)
    layout = arguments.memory_format_of_each(argmax)
    return torch.empty(tuple(input_size), dtype=grad.dtype, device=grad.device, memory_format=layout)


@torch.library.impl(_library, "roi_pool_select", "CompositeExplicitAutograd")
def _select(source, argmax, boxes, spatial_scale, profile):
    from frcnn.backends.torch import select

    return select.at_argmax(source, argmax, boxes, spatial_scale, profile)


@torch.library.register_fake("frcnn::roi_pool_select", lib=_library)
def _select_fake(source, argmax, boxes, spatial_scale, profile):
    return torch.empty_like(argmax, dtype=source.dtype)


def _keep_for_pool(ctx, inputs, output):
    input, boxes, _, _, ctx.spatial_scale, ctx.profile, ctx.with_argmax, _ = inputs
    ctx.input_size = input.shape
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], boxes)


def _pool_gradient(ctx, grad, _):
    if not ctx.with_argmax:
        raise RuntimeError(
            "roi_pool has no gradient without its argmax (with_argmax=False); where it was exported, export it with "
            "gradients enabled"
        )
    argmax, boxes = ctx.saved_tensors
    return _backward(ctx, grad, argmax, boxes, ctx.input_size), *[None] * 7


def _keep_for_backward(ctx, inputs, output):
    _, argmax, boxes, _, ctx.spatial_scale, ctx.profile, _ = inputs
    ctx.save_for_backward(argmax, boxes)


def _backward_gradient(ctx, grad):
    argmax, boxes = ctx.saved_tensors
    chosen = torch.ops.frcnn.roi_pool_select(grad, argmax, boxes, ctx.spatial_scale, ctx.profile)
    return chosen, *[None] * 6


def _keep_for_select(ctx, inputs, output):
    source, argmax, boxes, ctx.spatial_scale, ctx.profile = inputs
    ctx.input_size = source.shape
    ctx.save_for_backward(argmax, boxes)


def _select_gradient(ctx, grad):
    argmax, boxes = ctx.saved_tensors
    return _backward(ctx, grad, argmax, boxes, ctx.input_size), *[None] * 4


def _backward(ctx, grad, argmax, boxes, input_size):
    deterministic = torch.are_deterministic_algorithms_enabled()
    return torch.ops.frcnn.roi_pool_backward(
        grad, argmax, boxes, input_size, ctx.spatial_scale, ctx.profile, deterministic
    )


for _name, _gradient, _keep in (
    ("frcnn::roi_pool", _pool_gradient, _keep_for_pool),
    ("frcnn::roi_pool_backward", _backward_gradient, _keep_for_backward),
    ("frcnn::roi_pool_select", _select_gradient, _keep_for_select),
):
    torch.library.register_autograd(_name, _gradient, setup_context=_keep, lib=_library)
