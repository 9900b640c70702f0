"""Every error bound of the suite, with its derivation. No test holds a tolerance of its own.

forward, argmax
    No bound: bit for bit. Pooling selects, it does not compute.

backward, a cell that receives n gradients g
    (n - 1) u / (1 - (n - 1) u) * sum |g| * (1 + u') + u' * |sum|
    Recursive summation of n terms in a type with unit roundoff u, in any order (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., 4.2), then one rounding to the result's type with unit roundoff u'.

inner product of gradient and weights
    sum bound(cell) * |weight|, and gamma(n + 1) * sum |product| for the n products in float64
    Each gradient is off by at most its bound; an inner product of n terms (the same, 3.1).

learning rate after k drops
    gamma(k + 2 ELEMENTARY_ULPS + 2) * rate + the smallest normal float64
    A power off by ELEMENTARY_ULPS, or k products one after another, then the product with base; both sides counted.

encode_boxes, t_w and t_h
    gamma(4 E, u) |t| + 2 s, with E = ELEMENTARY_ULPS and s the smallest number of the type
    Every step before the logarithm is one IEEE operation in a stated order, so both implementations take the logarithm
    of the same number; each is within 2 E u |t| + s of the truth. The shifts t_x and t_y are equal: their bound is 0.

decode_boxes
    gamma(4 E + 2, u) |half| + gamma(4, u) (|corner| + 1) + 2 s, half being half of the predicted extent
    The exponentials are of the same number and differ by 4 E u at most, relatively; each is then multiplied by the same
    extent, with one rounding; the corner is one sum, or a sum and the subtraction of 1, each rounded on both sides: for
    the last corner |corner| + 1 bounds what is rounded first.

encode_boxes, then decode_boxes: the ground truth again
    gamma(2 E (|t| + 1) + 4, u) G + gamma(3, u) |g - p| + gamma(4, u) (|g| + G + 1) + d
    with t the log of the ratio of extents, G the ground truth's extent, g and p the centres, d = 1e-14 in caffe-2015
    and 0 in exact. The quotient of the extents, its logarithm, the exponential and the product give
    2 E u (|t| + 1) + 2 u of G; the shift is a difference, a quotient and a product: 3 u of |g - p|; the centres and
    corners are 4 sums whose results are at most |g| + G + 1. caffe-2015 adds 1e-14 to the extent and takes none off.

All are computed in float64, whose own roundoff is added where the result is float64 as well.
"""

import numpy as np

UNIT_ROUNDOFF = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
SMALLEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}


# An implementation's exp and log are taken to be within this many units in the last place of the true value; the C
# libraries and vector libraries in use state 1 to 4.
ELEMENTARY_ULPS = 4


def elementary(expected, dtype_name):
    """The bound on a single exp or log, or on an exact answer that went through one, of a value of this type."""
    return (
        2 * ELEMENTARY_ULPS * UNIT_ROUNDOFF[dtype_name] * np.abs(np.asarray(expected, np.float64))
        + SMALLEST[dtype_name]
    )


# What a witness may call the allowance for an answer that is not exact.
WITNESS_BOUNDS = {"elementary": elementary}


def gamma(k, u):
    """k u / (1 - k u), k roundings one after another."""
    return k * u / (1 - k * u)


def sum_bound(terms, total_of_sizes, total, dtype_name):
    """The bound on a cell's gradient: clause roi-pool.backward-sum.

    terms: the number of gradients added, an array; total_of_sizes: the sum of their absolute values; total: their sum.
    dtype_name: the result's type. Half types add in float32 (clause roi-pool.accumulate) and round once more.
    """
    adds = "float64" if dtype_name == "float64" else "float32"
    u, u_result = UNIT_ROUNDOFF[adds], UNIT_ROUNDOFF[dtype_name]
    summing = gamma(np.maximum(terms - 1, 0), u) * total_of_sizes
    rounding = 0.0 if adds == dtype_name else u_result * (np.abs(total) + summing) + SMALLEST[dtype_name] / 2
    # float64 results are compared with a float64 sum, which has the same error once more.
    return summing * (2 if dtype_name == "float64" else 1) + rounding


def inner_product_bound(cell_bounds, weights, products):
    """The bound on <grad_features, weights> when each gradient is off by its cell's bound.

    products: the terms of the inner product, which is itself taken in float64.
    """
    return float((cell_bounds * np.abs(weights)).sum()) + gamma(products.size + 1, UNIT_ROUNDOFF["float64"]) * float(
        np.abs(products).sum()
    )


def learning_rate_bound(expected, drops):
    """The bound on base * gamma^drops in float64: clause sgd-step.schedule.

    drops: how often the rate has been lowered, a whole number. Either a power, ELEMENTARY_ULPS off, or `drops` products
    one after another; then base's product. The expected value may have come by the other way, so both are counted.
    """
    u, k = UNIT_ROUNDOFF["float64"], 2 * ELEMENTARY_ULPS + drops + 2
    if k * u >= 0.5:
        return np.inf
    # Below the normal numbers products lose bits one after another, and pow does not.
    return gamma(k, u) * np.abs(expected) + np.finfo(np.float64).tiny


def encode_bound(targets, dtype_name):
    """The bound on encode_boxes for targets (R, 4)."""
    bound = gamma(4 * ELEMENTARY_ULPS, UNIT_ROUNDOFF[dtype_name]) * np.abs(np.asarray(targets, np.float64))
    bound += 2 * SMALLEST[dtype_name]
    bound[:, :2] = 0.0
    return bound


def decode_bound(boxes, dtype_name):
    """The bound on decode_boxes for boxes (R, 4 K); a box that overflowed must be infinite in the same places."""
    u, corners = UNIT_ROUNDOFF[dtype_name], np.asarray(boxes, np.float64).reshape(-1, 2, 2)
    with np.errstate(invalid="ignore"):
        half = np.abs(corners[:, 1] - corners[:, 0] + 1) / 2  # 1 more than it need be in caffe-2015
        bound = gamma(4 * ELEMENTARY_ULPS + 2, u) * half[:, None] + gamma(4, u) * (np.abs(corners) + 1)
    return np.where(np.isfinite(bound), bound + 2 * SMALLEST[dtype_name], 0.0).reshape(np.shape(boxes))


def inverse_bound(proposals, ground_truth, dtype_name, profile):
    """The bound on decoding what encode_boxes gave: proposals and ground truth (R, 4)."""
    u, pixel = UNIT_ROUNDOFF[dtype_name], 1.0 if profile == "exact" else 1e-14
    (p, p_extent), (g, g_extent) = (
        ((b[:, :2] + b[:, 2:] + pixel) / 2, b[:, 2:] - b[:, :2] + pixel)
        for b in (proposals.astype(np.float64), ground_truth.astype(np.float64))
    )
    stretch = gamma(2 * ELEMENTARY_ULPS * (np.abs(np.log(g_extent / p_extent)) + 1) + 4, u) * g_extent
    bound = stretch + gamma(3, u) * np.abs(g - p) + gamma(4, u) * (np.abs(g) + g_extent + 1)
    return np.tile(bound + (0.0 if profile == "exact" else 1e-14), (1, 2))
