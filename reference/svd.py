"""A fully connected layer as two smaller ones, by truncated SVD: `spec/svd.md`, executable.

W is u x v: u outputs, v inputs. t singular values are kept: W is about U_t Sigma_t V_t^T (Eq. 5).
"""

import numpy as np

from frcnn.reference.arguments import as_array, as_whole


def truncated_svd(weights, t, bias=None):
    """The two layers that stand for one: first (t, v) without bias, then second (u, t) with the bias.

    weights: (u, v), float32 or float64; y = weights x + bias. t: a whole number in 1..min(u, v).
    bias: (u,) of the weights' type, or None for zeros.

    Returns first = Sigma_t V_t^T (t, v); second = U_t (u, t); bias (u,). The layer is y = second (first x) + bias, with
    nothing between the two.
    Raises ValueError or TypeError naming the argument: svd-layers.error-weights, svd-layers.error-rank,
    svd-layers.error-bias.
    Source: section 3.1, Eq. 5. Clauses: svd-layers.best, svd-layers.choice, svd-layers.bound, svd-layers.repeated,
    svd-layers.deficient and those named below.

    >>> first, second, bias = truncated_svd(np.float64([[3, 0], [0, 2], [0, 0]]), 1)
    >>> np.abs(second @ first).tolist()
    [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    weights = _as_weights(weights)
    t = as_whole("t", t, 1, min(weights.shape))  # svd-layers.error-rank
    bias = np.zeros(len(weights), weights.dtype) if bias is None else _as_bias(bias, weights)
    with np.errstate(all="ignore"):
        try:
            U, sigma, V_T = np.linalg.svd(weights, full_matrices=False)
        except np.linalg.LinAlgError as error:
            raise ValueError(f"weights have no singular value decomposition: {error}") from None
        first = sigma[:t, None] * V_T[:t]  # svd-layers.first, svd-layers.parameters
    second = np.ascontiguousarray(U[:, :t])  # svd-layers.second
    if not (np.isfinite(first).all() and np.isfinite(second).all()):  # svd-layers.error-weights
        raise ValueError(f"weights are too large, up to {np.abs(weights).max():g}, for singular values in their type")
    return first, second, bias.copy()  # svd-layers.bias, svd-layers.dtype


def svd_approximation(weights, t):
    """The weights of the one layer that the two of truncated_svd amount to: second first.

    weights, t: as in truncated_svd.

    Returns (u, v) of the weights' type, the nearest matrix of rank t, or one of the nearest.
    Raises as truncated_svd.
    Source: section 3.1, Eq. 5. Clause: svd-layers.product.

    >>> svd_approximation(np.float64([[3, 0], [0, 2], [0, 0]]), 1).tolist()
    [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    first, second, _ = truncated_svd(weights, t)
    return second @ first  # svd-layers.product


def _as_weights(value):
    """Clause svd-layers.error-weights."""
    weights = as_array("weights", value)
    if weights.ndim != 2 or 0 in weights.shape:
        raise ValueError(f"weights must have shape (u, v), each at least 1, got {weights.shape}")
    if weights.dtype.name not in ("float32", "float64"):
        raise TypeError(f"weights must be float32 or float64, got {weights.dtype}")
    if not np.isfinite(weights).all():
        row, column = np.argwhere(~np.isfinite(weights))[0]
        raise ValueError(f"weights[{row}, {column}] is {weights[row, column]}; weights must be finite")
    return weights


def _as_bias(value, weights):
    """Clause svd-layers.error-bias."""
    bias = as_array("bias", value)
    if bias.shape != weights.shape[:1]:
        raise ValueError(f"bias must have shape ({len(weights)},), one number a row of weights, got {bias.shape}")
    if bias.dtype != weights.dtype:
        raise TypeError(f"bias must have the type of weights, {weights.dtype}, got {bias.dtype}")
    return bias
