"""The Triton kernels, launched: chooses compiled or interpreted code and allocates what is written."""

import contextlib
import functools
import importlib.util
import sys
from pathlib import Path

import numpy as np
import torch
import triton

from frcnn.backends.torch import tiles
from frcnn.backends.torch.arguments import first_unusable, memory_format, memory_format_of_each

_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


@functools.cache
def kernels(interpreted):
    """The module of kernels, for CUDA or for Triton's interpreter.

    Triton decides when @triton.jit is applied, by what TRITON_INTERPRET then says. A process switched over as a whole
    would lose torch.compile's own Triton code, so the switch is on only while a second copy of the module is made;
    nothing is left in the environment, and one process can hold both. (While an interpreted kernel runs,
    triton.language is patched: a thread that compiles Triton code at that moment is disturbed.)
    """
    if not interpreted:
        from frcnn.backends.torch import triton_kernels

        return triton_kernels
    name = "frcnn.backends.torch.triton_kernels_interpreted"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("triton_kernels.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with triton.knobs.runtime.scope():
        triton.knobs.runtime.interpret = True
        spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def executed(device):
    """What kernels run on for tensors on this device: "cuda", or "interpreter" where TRITON_INTERPRET forces it too."""
    return "interpreter" if device == "cpu" or triton.knobs.runtime.interpret else "cuda"


def forward(input, boxes, pooled_height, pooled_width, spatial_scale, profile, with_argmax, validate, *, out=None):
    """Pool input over boxes: output and argmax (int32) in input's memory format; argmax of shape (0,) if not wanted.

    input: (N, C, H, W), float16, bfloat16 or float32, any strides, on CUDA or, to be interpreted, on the CPU.
    boxes: (R, 5), any of these types; image index, x1, y1, x2, y2 in image pixels.
    out: where the output goes, of its shape, type and layout; None for a fresh one.

    Raises NotImplementedError for float64; ValueError for the first unusable row of boxes with validate, which waits
    once for the device. Without it such a row pools to 0 with argmax -1.
    Clauses: all of spec/roi-pool.md but those on the gradient.
    """
    _check_types(input=input, boxes=boxes)
    N, C, H, W = input.shape
    shape = (boxes.shape[0], C, pooled_height, pooled_width)
    output = out
    if output is None:
        output = torch.empty(shape, dtype=input.dtype, device=input.device, memory_format=memory_format(input))
    argmax = output.new_empty(0, dtype=torch.int32)
    if with_argmax:
        argmax = torch.empty_like(output, dtype=torch.int32)
    rois = project(boxes, spatial_scale, N)
    if validate and bool((rois[:, 0] < 0).any()):
        raise ValueError(first_unusable(boxes, spatial_scale, N))
    if output.numel():
        caffe = profile == "caffe-2015"
        table = spans(rois, (H, W), (pooled_height, pooled_width), caffe, of_cells=False)
        with _code_for(input) as code:
            run, tile = tiles.over_bins(code.forward, shape, _interprets(input), _channels_last(output))
            run(
                *(_bits(input), rois, table, _bits(output), argmax),
                *(shape[0], C, H, W, pooled_height, pooled_width),
                *(*input.stride(), *output.stride()),
                CAFFE=caffe,
                BF16=input.dtype is torch.bfloat16,
                WITH_ARGMAX=with_argmax,
                **tile,
                enable_fp_fusion=False,
            )
    return output, argmax


def backward(grad, argmax, boxes, input_size, spatial_scale, profile, deterministic):
    """Route every output's gradient to its argmax and add up in float32: Eq. 4, in the memory format of argmax.

    grad: (R, C, P_h, P_w), float16, bfloat16 or float32. argmax: int32, its shape; what is outside the map is dropped.
    input_size: (N, C, H, W). deterministic: one order of addition, by the gather kernel; else atomic additions.

    Returns (N, C, H, W) of grad's type. Raises NotImplementedError for float64.
    Clauses: roi-pool.backward and those after it.
    """
    _check_types(grad=grad, boxes=boxes)
    N, C, H, W = input_size
    layout = memory_format_of_each(argmax)
    total = torch.empty((N, C, H, W), dtype=torch.float32, device=grad.device, memory_format=layout).zero_()
    if total.numel() and grad.numel():
        caffe = profile == "caffe-2015"
        rois = project(boxes, spatial_scale, N, drop_malformed=caffe)
        table = rois.new_empty(0)
        if deterministic or caffe:
            table = spans(rois, (H, W), grad.shape[2:], caffe, of_cells=True)
        sizes = (grad.shape[0], C, H, W, *grad.shape[2:])
        strides = (*grad.stride(), *argmax.stride(), total.stride(0), total.stride(1), total.stride(3))
        on = _interprets(grad), _channels_last(argmax)
        with _code_for(grad) as code:
            if deterministic:
                run, tile = tiles.over_cells(code.gather, input_size, grad.numel(), *on)
            else:
                run, tile = tiles.over_bins(code.scatter, grad.shape, *on)
            run(
                *(_bits(grad), argmax, rois, table, total, *sizes, *strides),
                CAFFE=caffe,
                BF16=grad.dtype is torch.bfloat16,
                **tile,
                enable_fp_fusion=False,
            )
    return total.to(grad.dtype)  # rounds once, to nearest even


def project(boxes, spatial_scale, images, drop_malformed=False):
    """boxes (R, 5) on the map: (R, 5) int32 of image, r, c, h, w; image -1 for a row that must not be pooled."""
    R = boxes.shape[0]
    rois = boxes.new_empty((R, 5), dtype=torch.int32)
    if R:
        with _code_for(boxes) as code:
            ROIS = tiles.power_of_two(R, 4096 if _interprets(boxes) else 128)
            code.project[(triton.cdiv(R, ROIS),)](
                *(_bits(boxes), rois, spatial_scale, R, images, *boxes.stride()),
                BF16=boxes.dtype is torch.bfloat16,
                DROP_MALFORMED=drop_malformed,
                ROIS=ROIS,
                enable_fp_fusion=False,
            )
    return rois


def spans(rois, size, output_size, caffe, *, of_cells):
    """The cells of every bin of rois (R, 5): (R, P_h + P_w, 2) int32; of_cells, the bins of every cell: (R, H + W, 2).

    Along one axis each, a first and an end: for rows, then for columns.
    """
    R, (H, W), (P_h, P_w) = rois.shape[0], size, output_size
    table = rois.new_empty((R, H + W if of_cells else P_h + P_w, 2))
    pairs = table.numel() // 2
    with _code_for(rois) as code:
        ITEMS = tiles.power_of_two(pairs, tiles.INTERPRETED if _interprets(rois) else 256)
        code.spans[(triton.cdiv(pairs, ITEMS),)](
            *(rois, table, R, H, W, P_h, P_w),
            OF_CELLS=of_cells,
            CAFFE=caffe,
            ITEMS=ITEMS,
            enable_fp_fusion=False,
        )
    return table


def _check_types(**tensors):
    for name, tensor in tensors.items():
        if tensor.dtype not in _DTYPES:
            raise NotImplementedError(
                f"the Triton kernels pool float16, bfloat16 and float32, and {name} is {tensor.dtype}; "
                f"convert it, or use CPU tensors"
            )


def _interprets(tensor):
    return executed(tensor.device.type) == "interpreter"


@contextlib.contextmanager
def _code_for(tensor):
    """The kernels that can take `tensor`, with its device current, and NumPy quiet about NaN where it interprets."""
    interpreted = _interprets(tensor)
    with np.errstate(all="ignore") if interpreted else torch.cuda.device(tensor.device):
        yield kernels(interpreted)


def _channels_last(tensor):
    return memory_format(tensor) is torch.channels_last


def _bits(tensor):
    return tensor.view(torch.int16) if tensor.dtype is torch.bfloat16 else tensor
