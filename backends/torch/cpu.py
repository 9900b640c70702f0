"""RoI pooling of CPU tensors: the native kernels, bound by binding.cpp and compiled when first called.

Shapes: input (N, C, H, W), boxes (R, 5), output and argmax (R, C, P_h, P_w), argmax int32, -1 for none. Ranks are the
caller's word; operator.py checks them.
"""

import functools
from pathlib import Path

import torch

from frcnn.backends.native import build


def forward(input, boxes, pooled_height, pooled_width, spatial_scale, profile, with_argmax, validate, *, out=None):
    """Output and argmax; argmax has shape (0,) where it is not wanted, which is quicker.

    input: (N, C, H, W); both results are channels-last where only that fits input, else contiguous.
    boxes: (R, 5), any of the four floating-point types; image index, x1, y1, x2, y2 in image pixels.
    spatial_scale: map cells per image pixel.
    profile: "exact" or "caffe-2015".
    validate: False pools an unusable RoI to 0 with argmax -1 in place of the error.
    out: where the output goes, of its shape, type and layout; None for a fresh one.

    Raises ValueError naming the argument and the first offending row; UnavailableBackend without a compiler.
    """
    return load().forward(
        input, boxes, pooled_height, pooled_width, spatial_scale, profile, with_argmax, validate, out=out
    )


def backward(grad, argmax, boxes, input_size, spatial_scale, profile, *, validate=True):
    """The gradient (N, C, H, W) of grad's type, channels-last where only that fits argmax, else contiguous: Eq. 4.

    grad: (R, C, P_h, P_w). argmax: int32 of the same shape, as forward gave it. input_size: (N, C, H, W).
    validate: False leaves out an unusable RoI in place of the error. Its argmax is -1 anyway.

    The sum has one order, whatever the number of threads. Half types are added up in float32 and rounded once.
    Raises ValueError naming the argument and the first offending row; UnavailableBackend without a compiler.
    """
    return load().backward(grad, argmax, boxes, input_size, spatial_scale, profile, validate)


@functools.cache
def load():
    """The private operators, torch.ops.frcnn_native; compiles (about 15 seconds, once) or takes the cache.

    Raises UnavailableBackend where there is no compiler.
    """
    root = Path(torch.__file__).parent
    flags = [
        f"-isystem{root / 'include'}",
        f"-isystem{root / 'include' / 'torch' / 'csrc' / 'api' / 'include'}",
        f"-D_GLIBCXX_USE_CXX11_ABI={int(torch._C._GLIBCXX_USE_CXX11_ABI)}",
        # at::parallel_for is a template over torch's own thread pool, and without this option a plain loop.
        *(["-fopenmp"] if torch.backends.openmp.is_available() else []),
        f"-L{root / 'lib'}",
        "-ltorch",
        "-ltorch_cpu",
        "-lc10",
    ]
    binding = Path(__file__).with_name("binding.cpp")
    path = build.shared_library("torch", binding, flags=flags, framework=f"torch {torch.__version__}")
    torch.ops.load_library(path)
    return torch.ops.frcnn_native
