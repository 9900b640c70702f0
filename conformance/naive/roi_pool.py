"""RoI max pooling: every cell is asked whether it belongs to the sub-window, an interval that overlaps another."""

from fractions import Fraction
from math import ceil, floor

import numpy as np

FLT_MAX = float(np.finfo(np.float32).max)


def projected(coordinate, scale, kind):
    """A pixel coordinate on the map, rounded to a cell: clauses roi-pool.projection and roi-pool.round."""
    exact_product = Fraction(float(kind(coordinate))) * Fraction(float(kind(scale)))
    product = Fraction(float(kind(float(exact_product)))) if kind is np.float32 else Fraction(float(exact_product))
    below = floor(product)
    remainder = product - below
    if remainder == Fraction(1, 2):
        return below + 1 if product > 0 else below
    return below + 1 if remainder > Fraction(1, 2) else below


def holds(k, n, P, p, profile):
    """Whether the cell at offset k from the RoI's first belongs to sub-window p of P over extent n: roi-pool.grid."""
    if profile == "exact":
        start, end = Fraction(p * n, P), Fraction((p + 1) * n, P)
        return 0 <= k < n and k + 1 > start and k < end
    bin_size = np.float32(n) / np.float32(P)
    return floor(np.float32(p) * bin_size) <= k < ceil(np.float32(p + 1) * bin_size)


def sub_windows(first, last, P, size, profile):
    """The P sub-windows of a RoI's axis from its rounded corners, each a list of the map's cells."""
    n = max(last - first + 1, 1)
    return [[cell for cell in range(size) if holds(cell - first, n, P, p, profile)] for p in range(P)]


def roi_pool(features, rois, output_size, spatial_scale, profile):
    """As frcnn.reference.roi_pool, for input that is known to be good."""
    _, C, H, W = features.shape
    output = np.zeros((len(rois), C, *output_size), features.dtype)
    argmax = np.full(output.shape, -1, np.int64)
    for i, roi in enumerate(rois):
        x1, y1, x2, y2 = _corners(roi, spatial_scale)
        rows = sub_windows(y1, y2, output_size[0], H, profile)
        columns = sub_windows(x1, x2, output_size[1], W, profile)
        for c in range(C):
            for p, q in np.ndindex(*output_size):
                cells = [(y, x) for y in rows[p] for x in columns[q]]
                if cells:
                    output[i, c, p, q], argmax[i, c, p, q] = _largest(features[int(roi[0]), c], cells, profile)
    return output, argmax


def roi_pool_backward(grad_output, argmax, rois, features_shape, spatial_scale, profile):
    """Eq. 4 as it is printed, in float64: for each cell that is an argmax, every RoI and every bin whose it is."""
    (P_h, P_w), (N, C, H, W) = grad_output.shape[2:], features_shape
    corners = [_corners(roi, spatial_scale) for roi in rois]
    grad_features = np.zeros(features_shape)
    for n, c in np.ndindex(N, C):
        for place in np.intersect1d(argmax[:, c], np.arange(H * W)):
            y, x = divmod(int(place), W)
            for i, p, q in np.argwhere(argmax[:, c] == place):
                x1, y1, x2, y2 = corners[i]
                found = profile == "exact" or (_found(y - y1, y2 - y1, P_h, p) and _found(x - x1, x2 - x1, P_w, q))
                if int(rois[i, 0]) == n and found:
                    grad_features[n, c, y, x] += float(grad_output[i, c, p, q])
    return grad_features


def _corners(roi, spatial_scale):
    kind = np.float64 if roi.dtype == np.float64 else np.float32
    return tuple(projected(v, spatial_scale, kind) for v in roi[1:])


def _largest(image, cells, profile):
    """The winner among cells in row-major order: its value and its place."""
    W = image.shape[1]
    exact = profile == "exact"
    best, place = -FLT_MAX, -1
    for y, x in cells:
        value = float(image[y, x])
        first, first_nan = place < 0, value != value and best == best
        if (exact and (first or first_nan)) or value > best:
            best, place = value, y * W + x
    if place < 0:
        with np.errstate(over="ignore"):
            return np.float32(best).astype(image.dtype), place
    return image[place // W, place % W], place


def _found(k, last, P, p):
    """Whether caffe-2015's walk from offset k comes to bin p: clause roi-pool.backward-dropped."""
    bin_size = np.float32(max(last + 1, 1)) / np.float32(P)
    return 0 <= k <= last and floor(np.float32(k) / bin_size) <= p < ceil(np.float32(k + 1) / bin_size)
