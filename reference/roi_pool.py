"""RoI max pooling, forward and backward: `spec/roi-pool.md`, executable.

Shapes and symbols. N images, C channels, map H x W; R RoIs; output grid P_h x P_w. A RoI is a row
(image index, x1, y1, x2, y2): inclusive corners in image pixels. (r, c, h, w) is the paper's own four-tuple, in map
cells: top row, left column, height, width. argmax is row * W + column in the H x W map, -1 for none.
"""

import numpy as np

from frcnn.reference.arguments import (
    as_array,
    as_float_array,
    as_output_size,
    as_scale,
    as_sizes,
    check_profile,
    usable_rois,
)

FLT_MAX = float(np.finfo(np.float32).max)


def roi_pool(features, rois, output_size, spatial_scale=1.0, *, profile="exact", validate=True):
    """Divide each RoI into P_h x P_w sub-windows and take the maximum of each, channel by channel.

    features: (N, C, H, W), float16, bfloat16, float32 or float64.
    rois: (R, 5), any of these types; image index, x1, y1, x2, y2 in image pixels.
    output_size: (P_h, P_w), or one number for both.
    spatial_scale: map cells per image pixel, 1/16 for VGG16's conv5_3.
    profile: "exact", or "caffe-2015" for what the original code computes.
    validate: False pools an unusable RoI to 0 with argmax -1 in place of the error.

    Returns output (R, C, P_h, P_w) of the features' type, and argmax int64 of the same shape.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: the paper, section 2.1. Clauses: all of spec/roi-pool.md but those on the gradient; R = 0, a 1 x 1 map and
    an argmax nobody looks at are no cases of their own (roi-pool.no-rois, roi-pool.one-cell, roi-pool.argmax-optional),
    and the loops run in one order (roi-pool.repeatable).

    >>> features = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> roi_pool(features, np.float32([[0, 0, 0, 3, 3]]), 2)[0].tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """
    check_profile(profile)
    features = as_float_array("features", features, ("N", "C", "H", "W"))
    N, C, H, W = features.shape
    P_h, P_w = as_output_size(output_size)
    rois, scale, usable = _prepare("rois", rois, spatial_scale, N, validate)
    image, *rchw = project_rois(rois, scale).T
    rows, columns = pool_windows(np.stack(rchw, axis=1), (P_h, P_w), (H, W), profile=profile)

    argmax = np.full((len(rois), C, P_h, P_w), -1, np.int64)
    output = np.zeros(argmax.shape, features.dtype)  # roi-pool.empty: 0 and -1 where no window is pooled
    comparable, start = _widened(features), _start(features.dtype)
    for i in np.flatnonzero(usable):  # roi-pool.roi-order, roi-pool.unchecked
        for p, (top, bottom) in enumerate(rows[i]):
            for q, (left, right) in enumerate(columns[i]):
                if top < bottom and left < right:
                    window = comparable[image[i], :, top:bottom, left:right]  # roi-pool.batch, roi-pool.channel
                    y, x = _first_maximum(window, profile)
                    argmax[i, :, p, q] = np.where(y < 0, -1, (top + y) * W + left + x)  # roi-pool.argmax
                    output[i, :, p, q] = start
    won = argmax >= 0
    of_roi, channel, _, _ = np.nonzero(won)
    row, column = np.divmod(argmax[won], W)
    output[won] = features[image[of_roi], channel, row, column]  # roi-pool.max: the cell's own bits
    return output, argmax


def roi_pool_backward(grad_output, argmax, rois, features_shape, spatial_scale=1.0, *, profile="exact"):
    """Route every output's gradient to the cell that was its maximum, and add up: Eq. 4.

    grad_output: (R, C, P_h, P_w), a floating-point type.
    argmax: (R, C, P_h, P_w) integers, as roi_pool returned it.
    rois, spatial_scale, profile: as in roi_pool.
    features_shape: (N, C, H, W).

    Returns grad_features (N, C, H, W) of grad_output's type; float16 and bfloat16 are added up in float32.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: the paper, section 2.3, Eq. 4. Clauses: roi-pool.backward, roi-pool.backward-sum, roi-pool.backward-linear,
    roi-pool.backward-dropped, roi-pool.accumulate.

    >>> grad, argmax = np.ones((1, 1, 1, 1), np.float32), np.full((1, 1, 1, 1), 3)
    >>> roi_pool_backward(grad, argmax, np.float32([[0, 0, 0, 1, 1]]), (1, 1, 2, 2)).tolist()
    [[[[0.0, 0.0], [0.0, 1.0]]]]
    """
    check_profile(profile)
    N, C, H, W = as_sizes("features_shape", features_shape, 4, 0)
    rois, scale, _ = _prepare("rois", rois, spatial_scale, N, validate=True)
    grad_output = as_float_array("grad_output", grad_output, (len(rois), C, "P_h", "P_w"))
    argmax = as_array("argmax", argmax)
    if argmax.shape != grad_output.shape or argmax.dtype.kind not in "iu":
        raise ValueError(f"argmax must hold integers in the shape of grad_output, {grad_output.shape}")
    if argmax.size and not (-1 <= argmax.min() and argmax.max() < H * W):
        raise ValueError(f"argmax must lie in -1..{H * W - 1} for a map of {H} x {W}")  # roi-pool.error-argmax

    kept = argmax >= 0
    if profile == "caffe-2015" and kept.any():
        kept &= _kept_by_caffe(argmax, rois, scale, W)
    i, c, _, _ = np.nonzero(kept)
    image = rois[:, 0].astype(np.int64)
    wide_grad = _widened(grad_output)
    grad_features = np.zeros((N, C, H * W), wide_grad.dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # roi-pool.backward-sum: infinities may meet
        np.add.at(grad_features, (image[i], c, argmax[kept]), wide_grad[kept])  # roi-pool.backward
    return grad_features.reshape(N, C, H, W).astype(grad_output.dtype)


def project_rois(boxes, spatial_scale):
    """Take RoIs from image pixels to the paper's (r, c, h, w) in map cells.

    boxes: (R, 5), floating point; image index, x1, y1, x2, y2 in image pixels.
    spatial_scale: map cells per image pixel.

    Returns (R, 5) int64: image index, r, c, h, w. Nothing is clipped yet.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Clauses: roi-pool.projection, roi-pool.round, roi-pool.extent, roi-pool.rchw.

    >>> project_rois(np.float32([[0, 8, 24, 40, 40]]), 1 / 16).tolist()
    [[0, 2, 1, 2, 3]]
    """
    boxes, scale, _ = _prepare("boxes", boxes, spatial_scale, np.inf, validate=True)
    x1, y1, x2, y2 = _rounded_corners(boxes, scale)
    h, w = np.maximum(y2 - y1 + 1, 1), np.maximum(x2 - x1 + 1, 1)  # roi-pool.extent
    return np.stack([boxes[:, 0].astype(np.int64), y1, x1, h, w], axis=1)  # roi-pool.rchw


def pool_windows(rchw, output_size, map_size, *, profile="exact"):
    """The rows and the columns of every sub-window, half-open and clipped to the map.

    rchw: (R, 4) integers; r, c, h, w in map cells.
    output_size: (P_h, P_w). map_size: (H, W).
    profile: "exact" or "caffe-2015".

    Returns rows (R, P_h, 2) and columns (R, P_w, 2), int64: [first, end). One with first >= end is empty.
    Raises ValueError or TypeError naming the argument.
    Clauses: roi-pool.grid, roi-pool.clip, roi-pool.non-square.

    >>> pool_windows(np.array([[0, 0, 5, 2]]), (2, 1), (4, 4))[0].tolist()
    [[[0, 3], [2, 4]]]
    """
    check_profile(profile)
    rchw = as_array("rchw", rchw)
    if rchw.ndim != 2 or rchw.shape[1] != 4 or rchw.dtype.kind not in "iu":
        raise ValueError(f"rchw must hold integers in shape (R, 4), got {rchw.dtype} {rchw.shape}")
    rchw = rchw.astype(np.int64)
    map_size = as_sizes("map_size", map_size, 2, 0)
    windows = []
    for axis, (P, size) in enumerate(zip(as_output_size(output_size), map_size, strict=True)):  # roi-pool.non-square
        start, extent = rchw[:, axis, None], rchw[:, axis + 2, None]
        edges = start[..., None] + np.stack(_bin_edges(extent, P, profile), axis=-1)
        windows.append(np.clip(edges, 0, size))  # roi-pool.clip
    return tuple(windows)


def _bin_edges(n, P, profile):
    """Clause roi-pool.grid: first and end of the P bins over extents n (R, 1), counted from the RoI's first cell."""
    p = np.arange(P)
    if profile == "exact":
        return p * n // P, -(-(p + 1) * n // P)
    bin_size = n.astype(np.float32) / np.float32(P)
    first, end = np.floor(p.astype(np.float32) * bin_size), np.ceil((p + 1).astype(np.float32) * bin_size)
    return first.astype(np.int64), end.astype(np.int64)


def _rounded_corners(rois, scale):
    """Clauses roi-pool.projection and roi-pool.round: x1, y1, x2, y2 in map cells, each (R,) int64."""
    corners = rois[:, 1:] * scale  # roi-pool.projection: one IEEE multiplication, in the RoIs' own type
    whole = np.trunc(corners)
    away = np.abs(corners - whole) >= 0.5  # roi-pool.round: the subtraction is exact, so no x + .5 is ever rounded
    return (whole + np.copysign(away, corners)).astype(np.int64).T


def _first_maximum(window, profile):
    """Row and column, within window (C, h, w), of each channel's winner; row -1 where none can win.

    np.argmax is the exact profile: the first of equals (roi-pool.tie), and the first NaN (roi-pool.nan).
    """
    C, h, w = window.shape
    cells = window.reshape(C, h * w)
    if profile == "exact":
        winner = np.argmax(cells, axis=1)
    else:  # roi-pool.nan, roi-pool.infinity: the original's strict > from -FLT_MAX
        able = cells > -FLT_MAX
        winner = np.where(able.any(axis=1), np.argmax(np.where(able, cells, -np.inf), axis=1), -w)
    return winner // w, winner % w


def _start(dtype):
    """What the original's running maximum starts from; it stays where no cell wins. -inf in the half types."""
    with np.errstate(over="ignore"):
        return np.float32(-FLT_MAX).astype(dtype)


def _kept_by_caffe(argmax, rois, scale, W):
    """Clause roi-pool.backward-dropped: which gradients the original's backward pass finds again.

    It walks from each cell to the bins that hold it, and so misses cells outside the rounded corners (all cells of a
    malformed RoI) and bins that float32 division puts elsewhere than the forward pass did.
    """
    P_h, P_w = argmax.shape[2:]
    x1, y1, x2, y2 = (corner[:, None, None, None] for corner in _rounded_corners(rois, scale))
    kept = np.ones(argmax.shape, bool)
    for offset, last, P, p in (
        (argmax // W - y1, y2 - y1, P_h, np.arange(P_h)[:, None]),
        (argmax % W - x1, x2 - x1, P_w, np.arange(P_w)),
    ):
        bin_size = np.maximum(last + 1, 1).astype(np.float32) / np.float32(P)
        first = np.floor(offset.astype(np.float32) / bin_size)
        end = np.ceil((offset + 1).astype(np.float32) / bin_size)
        kept &= (0 <= offset) & (offset <= last) & (first <= p) & (p < end)
    return kept


def _prepare(name, rois, spatial_scale, images, validate):
    """RoIs in the type they are projected in, the scale rounded to it, and which rows are usable; others become 0."""
    rois = _widened(as_float_array(name, rois, ("R", 5)))
    scale = as_scale(spatial_scale, rois.dtype.type)
    usable = usable_rois(name, rois, scale, images, validate)
    return np.where(usable[:, None], rois, rois.dtype.type(0)), scale, usable


def _widened(array):
    """Clauses roi-pool.projection and roi-pool.accumulate: half types as float32, the others as they are."""
    return array.astype(np.float32) if array.dtype.itemsize == 2 else array
