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
