"""The tiles that the Triton kernels run with: what part of a call is one program's, and how many warps share it.

Interpreted, a tile is as large as stays in the processor's cache. On CUDA a small call takes a tile that is fixed. For
a large one Triton's autotuner measures every tile of a list, the first time that a call of its kind is made, and keeps
the figures on disk beside the compiled code; a kind is a kernel with its types and flags, C, the layout, and the number
of outputs within a factor of 8. TRITON_PRINT_AUTOTUNING=1 shows what it chose. Nothing can be measured while a CUDA
graph is captured: make the call once before, as capturing asks for anyway.

No bit depends on a tile. It says which program computes a number, and gather, which adds up, takes one RoI after the
other with every tile of its list. (scatter's order is nobody's, with one tile or another.)
"""

import functools
import threading

import triton

LEAST = 2**20  # outputs that are worth measuring for; a minibatch of network L has 3 million
MOST_BLOCKS = 65535  # that CUDA launches along a grid's second axis
INTERPRETED = 2**16  # elements: few programs, each of NumPy arrays that stay in the processor's cache

# Sub-windows, channels, warps. With few channels, a map's block of them stays in the first-level cache while every RoI
# is pooled from it, since the programs of one block follow each other; with many, a warp reads whole lines. One warp
# with eight or sixteen numbers a thread issues far fewer instructions than four with one. Sub-windows differ in size
# and a tile takes the largest one's time, but neighbours of one RoI are nearly alike.
BINS = [
    triton.Config({"BINS": bins, "BLOCK_C": channels}, num_warps=warps)
    for bins, channels, warps in (
        *((1, 128, 1), (1, 256, 1), (1, 256, 2), (1, 512, 1), (1, 512, 2), (1, 512, 4)),
        *((2, 64, 1), (2, 128, 1), (2, 256, 1), (4, 32, 1), (4, 64, 1)),
        *((8, 16, 1), (8, 32, 1), (16, 16, 1), (16, 16, 2), (16, 32, 1)),
        *((32, 4, 1), (64, 1, 1), (64, 4, 2), (128, 1, 1), (128, 4, 4)),  # for maps whose channels come first
    )
]
# Cells of the map, channels, warps; always one RoI at a time, since most RoIs pass by a tile.
CELLS = [
    triton.Config({"ROIS": 1, "CELLS": cells, "BLOCK_C": channels}, num_warps=warps)
    for cells, channels, warps in (
        *((1, 128, 1), (1, 256, 1), (1, 512, 1), (1, 512, 2), (2, 64, 1), (2, 256, 1)),
        *((4, 64, 1), (4, 128, 1), (8, 64, 1), (8, 64, 4), (32, 32, 1)),
        *((32, 8, 1), (64, 4, 1), (128, 1, 1), (128, 4, 4)),  # for maps whose channels come first
    )
]


def over_bins(kernel, shape, interpreted, channels_last):
    """`kernel` to be launched over outputs of this shape (R, C, P_h, P_w): what launches it, and its constants."""
    R, C, P_h, P_w = shape
    bins = R * P_h * P_w
    if bins > 2**31 - INTERPRETED:  # the last tile counts past the end
        raise NotImplementedError(f"the Triton kernels count sub-windows in int32; {R} x {P_h} x {P_w} are too many")

    def grid(tile):
        return triton.cdiv(bins, tile["BINS"]), triton.cdiv(C, tile["BLOCK_C"])

    if not interpreted and bins * C >= LEAST:
        return _one_at_a_time(_tuned(kernel)[grid]), {"KIND": _kind(bins * C, channels_last)}
    most = INTERPRETED if interpreted else 128
    BLOCK_C = power_of_two(C, most)
    return kernel[grid], {"KIND": 0, "BINS": power_of_two(bins, most // BLOCK_C), "BLOCK_C": BLOCK_C}


def over_cells(kernel, size, outputs, interpreted, channels_last):
    """`kernel` to be launched over maps of this size (N, C, H, W) with so many outputs' gradients; as over_bins."""
    N, C, H, W = size
    if H * W > 2**31 - INTERPRETED:
        raise NotImplementedError(f"the Triton kernels count cells in int32; {H} x {W} are too many")

    def grid(tile):
        return N * triton.cdiv(H * W, tile["CELLS"]), triton.cdiv(C, tile["BLOCK_C"])

    if not interpreted and outputs >= LEAST:
        return _one_at_a_time(_tuned(kernel)[grid]), {"KIND": _kind(outputs, channels_last)}
    most, channels = (INTERPRETED, INTERPRETED) if interpreted else (512, 64)
    BLOCK_C = power_of_two(C, channels)
    CELLS = power_of_two(H * W, most // BLOCK_C)
    ROIS = most // (CELLS * BLOCK_C) if interpreted else 1  # interpreted, each pass costs the same
    return kernel[grid], {"KIND": 0, "ROIS": ROIS, "CELLS": CELLS, "BLOCK_C": BLOCK_C}


def power_of_two(n, most):
    """The first power of two from n on, but not more than `most`, which is one."""
    return min(triton.next_power_of_2(n), most)


_tuning = threading.Lock()


def _one_at_a_time(run):
    """`run`, one thread after the other: while it tunes, an Autotuner keeps the call's arguments in itself.

    Autograd has a thread for each GPU. A launch is asynchronous, so the lock is held briefly once all is tuned.
    """

    def locked(*arguments, **constants):
        with _tuning:
            return run(*arguments, **constants)

    return locked


@functools.cache
def _tuned(kernel):
    """`kernel` with the tile that is fastest for its kind of call; what scatter adds to is zeros again for each."""
    adds = "grad_features" in kernel.arg_names and "BINS" in kernel.arg_names
    return triton.autotune(
        configs=BINS if "BINS" in kernel.arg_names else CELLS,
        key=[name for name in kernel.arg_names if name in ("C", "CAFFE", "WITH_ARGMAX", "KIND")],
        prune_configs_by={"early_config_prune": _no_wider},
        reset_to_zero=["grad_features"] if adds else None,
        cache_results=True,
    )(kernel)


def _no_wider(configs, arguments, **_):
    """The tiles that are not half empty for so few channels, nor so narrow that a launch has not as many blocks."""
    C = arguments["C"]
    return [config for config in configs if C / MOST_BLOCKS <= config.kwargs["BLOCK_C"] < 2 * C]


def _kind(outputs, channels_last):
    """What tuning tells calls apart by, beside C, types and flags. A number, for which no kernel is compiled anew."""
    return 2 * (outputs.bit_length() // 3) + channels_last
