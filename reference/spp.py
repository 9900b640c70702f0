"""Spatial pyramid pooling of RoIs, forward and backward: `spec/spp.md`, executable.

Shapes and symbols. N images, C channels, map H x W; R RoIs; a level P is a grid of P x P bins. A RoI is a row
(image index, x1, y1, x2, y2): inclusive corners in image pixels.
"""

import numpy as np

from frcnn.reference.arguments import as_array, as_float_array, as_index
from frcnn.reference.roi_pool import roi_pool, roi_pool_backward


def spp_pool(features, rois, levels=(1, 2, 4), spatial_scale=1.0, *, profile="exact"):
    """Pool each RoI on one square grid a level, and write the levels' bins one after another.

    features: (N, C, H, W), float16, bfloat16, float32 or float64.
    rois: (R, 5), any of these types; image index, x1, y1, x2, y2 in image pixels.
    levels: at least one whole number; P stands for a grid of P x P.
    spatial_scale: map cells per image pixel, 1/16 for VGG16's conv5_3.
    profile: "exact", or "caffe-2015" for the original's RoI pooling.

    Returns (R, C, bins) of the features' type, bins being the sum of P^2.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: the paper, section 2.1; He et al., SPPnet, section 2.2. Clauses: spp-pool.level, spp-pool.one-level,
    spp-pool.order, spp-pool.default-levels, spp-pool.error-levels, spp-pool.error-roi-pool.

    >>> features = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    >>> spp_pool(features, np.float32([[0, 0, 0, 3, 3]]), (1, 2)).tolist()
    [[[15.0, 5.0, 7.0, 13.0, 15.0]]]
    """
    levels = _as_levels(levels)
    # spp-pool.level: each from the features, not from a finer level; spp-pool.error-roi-pool: what it refuses.
    grids = [roi_pool(features, rois, P, spatial_scale, profile=profile)[0] for P in levels]
    R, C = grids[0].shape[:2]
    # spp-pool.order; of one level, spp-pool.one-level.
    return np.concatenate([grid.reshape(R, C, P * P) for grid, P in zip(grids, levels, strict=True)], axis=2)


def spp_pool_backward(grad_output, features, rois, levels=(1, 2, 4), spatial_scale=1.0, *, profile="exact"):
    """The gradient of the features: Eq. 4, summed over the bins of every level.

    grad_output: (R, C, bins) of the features' type.
    features, rois, levels, spatial_scale, profile: as in spp_pool.

    Returns (N, C, H, W) of the features' type; float16 and bfloat16 are added up in float32.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: the paper, section 2.3, Eq. 4. Clauses: spp-pool.backward, spp-pool.error-gradient.

    >>> features = np.arange(4, dtype=np.float32).reshape(1, 1, 2, 2)
    >>> spp_pool_backward(np.ones((1, 1, 5), np.float32), features, np.float32([[0, 0, 0, 1, 1]]), (1, 2)).tolist()
    [[[[1.0, 1.0], [1.0, 2.0]]]]
    """
    levels = _as_levels(levels)
    features = as_float_array("features", features, ("N", "C", "H", "W"))
    C, rows, bins = features.shape[1], as_array("rois", rois).shape[:1], sum(P * P for P in levels)
    # spp-pool.error-gradient
    grad_output = as_float_array("grad_output", grad_output, (*(rows or ("R",)), C, bins))
    if grad_output.dtype != features.dtype:
        raise TypeError(f"grad_output must have the type of features, {features.dtype}, got {grad_output.dtype}")
    wide = np.float64 if features.dtype == np.float64 else np.float32
    grad_features, first = np.zeros(features.shape, wide), 0
    for P in levels:
        argmax = roi_pool(features, rois, P, spatial_scale, profile=profile)[1]
        grad = grad_output[:, :, first : first + P * P].astype(wide).reshape(argmax.shape)
        # spp-pool.backward: half types are added up over all levels before the one rounding back.
        grad_features += roi_pool_backward(grad, argmax, rois, features.shape, spatial_scale, profile=profile)
        first += P * P
    return grad_features.astype(features.dtype)


def _as_levels(value):
    """Clause spp-pool.error-levels: at least one whole number, each at least 1."""
    try:
        levels = tuple(as_index(level) for level in value)
    except TypeError:
        raise TypeError(f"levels must be whole numbers, got {value!r}") from None
    if not levels or min(levels) < 1:
        raise ValueError(f"levels must be one or more whole numbers of at least 1, got {value!r}")
    return levels
