"""Pyramid pooling, one bin after another: each is looked up in the second formulation of RoI pooling on its grid."""

import numpy as np

from frcnn.conformance.naive import roi_pool


def bins(levels):
    """Every bin in the order of the output: its level's number, its row, its column."""
    return [(number, p, q) for number, P in enumerate(levels) for p in range(P) for q in range(P)]


def spp_pool(features, rois, levels=(1, 2, 4), spatial_scale=1.0, *, profile="exact"):
    """As frcnn.reference.spp_pool, for input that is known to be good."""
    grids = [roi_pool.roi_pool(features, rois, (P, P), spatial_scale, profile)[0] for P in levels]
    order = bins(levels)
    output = np.empty((len(rois), features.shape[1], len(order)), features.dtype)
    for place, (number, p, q) in enumerate(order):
        for i, c in np.ndindex(output.shape[:2]):
            output[i, c, place] = grids[number][i, c, p, q]
    return output


def spp_pool_backward(grad_output, features, rois, levels=(1, 2, 4), spatial_scale=1.0, *, profile="exact"):
    """In float64: the gradients are put back on the grid of their level, and each level adds its own."""
    total = np.zeros(features.shape)
    for number, P in enumerate(levels):
        argmax = roi_pool.roi_pool(features, rois, (P, P), spatial_scale, profile)[1]
        grad = np.zeros(argmax.shape)
        for place, (own, p, q) in enumerate(bins(levels)):
            if own == number:
                grad[:, :, p, q] = grad_output[:, :, place].astype(np.float64)
        total += roi_pool.roi_pool_backward(grad, argmax, rois, features.shape, spatial_scale, profile)
    return total
