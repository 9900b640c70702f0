"""Every error bound of the suite, with its derivation. No test holds a tolerance of its own.

forward, argmax
    No bound: bit for bit. Pooling selects, it does not compute.

backward, a cell that receives n gradients g
    (n - 1) u / (1 - (n - 1) u) * sum |g| * (1 + u') + u' * |sum|
    Recursive summation of n terms in a type with unit roundoff u, in any order (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., 4.2), then one rounding to the result's type with unit roundoff u'. Where no order is
    promised 2 n m more, m the smallest normal number of the type that adds: n terms and n partial sums, each zero.

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

log loss of a row of n scores, d_j = s_j - max, S = sum exp(d_j); E = 2 ELEMENTARY_ULPS u of exp and log
    e_j = (-log(1 - a) + E |log S| + u |d_j| + u |log p_j|) (1 + E), a = sum p_j c_j u / (1 - max c_j u),
    c_j = |d_j| + 2 ELEMENTARY_ULPS + n, plus (n + 1) smallest normal numbers
    The rounding of d_j changes exp(d_j) by the factor exp(u |d_j|), exp is 2 ELEMENTARY_ULPS roundings off, an addition
    one: at most c_j roundings on each positive term, so S is off by a, relatively, weighted by the terms' shares p_j,
    and log S by -log(1 - a). Its own logarithm, d_j and the last subtraction add the rest. exp(d_j) may underflow to 0.
gradient of the log loss
    p_j (exp(e_j) - 1) + (E + 2 u) p_j + u |p_j - [j = u]|
    p_j is exp of a log p_j that is e_j off, or a quotient, whose terms e_j holds too, with one rounding; then 1 is
    taken off. In caffe-2015 the loss is a logarithm of p_j: E |log p_j| more; clamped, E |log FLT_MIN| alone.
losses over R RoIs, f of them foreground
    Positive terms: gamma of the roundings that each goes through, times the sum. L_cls: R - 1 additions, 2 for the
    division, as a product with 1 / R is two. L_loc: the difference is 1 rounding and counts twice in smooth L1, whose
    relative condition is 2 at most; its own square or difference 1; 4 f - 1 additions; 2 for the division. L: lambda's
    own rounding, the product, the sum.
gradient to the deltas
    gamma(5) |g|: the difference, lambda, the product, two for the division.

truncated SVD of W (u x v), |W| its Frobenius norm, s_i its singular values; e = 10 max(u, v) n, n the unit roundoff
    the errors of the product 6 e |W|; second^T second 3 e; first first^T 6 e s_1 |W|
    The SVD is backward stable (LAPACK Users' Guide, 3rd ed., 4.9.1): U + dU, Sigma, V + dV are the SVD of W + E, with
    |E| <= e |W| and dU, dV at most e in the spectral norm, e = p n. The guide calls p "modestly growing" and takes 1 in
    its code. Worst-case analysis of Householder reduction has p in proportion to u v, which is never reached;
    Connolly and Higham (Probabilistic rounding error analysis of Householder QR factorization, SIMAX 2023), for
    singular values too, to sqrt(u v) <= max(u, v). The factor: two sides, a root of 2, and 7 deviations, beyond which
    2 exp(-7^2 / 2) of all cases lie: 7 * sqrt(2) < 10.
    Error of the product: dU and dV change it by 2 e |W + E|, Sigma V^T is rounded once, E moves it and, by Mirsky's
    theorem, the best error by e |W| each: 4 e + n and what is of second order, less than 5 e; taken in the type, the
    product of t terms adds gamma(t) sqrt(t) |W|, less than e |W| for t up to 100.
    second^T second: 2 e + e^2. first first^T: (2 e + 2 n) s_1^2 and 2 s_1 e |W| for the values; the rest second order.
the best approximation itself, g = s_t - s_(t+1)
    (5 + 3 s_1 / g) e |W|
    3 e |W| of dU, dV and E, one for what is rounded and multiplied; the projector P on the kept left vectors moves by 2
    e |W| / (g - e |W|) in the Frobenius norm (Wedin 1972), and (P' - P) W by s_1 times that. Where nothing is cut off,
    or all of it is 0, 6 e |W|. A witness keeps as many values as it drops or more, with s_1 <= 3 g: 20 e |answer|.

mean and std of n targets x, in float64; A = sum |x| / n, E2 = sum x^2 / n
    mean, on either side d = gamma(n + 1) A
    n - 1 additions, the division, and one for n + 1e-14 in caffe-2015. Targets that all are equal have no error.
    std in exact, on either side: d + gamma(n + 4) (std + d)
    The deviations from the rounded mean m' have the root mean square sqrt(std^2 + (m' - m)^2) <= std + d. A deviation
    is 1 rounding and counts twice in the square, the square is 1, then n - 1 additions and the division, all halved by
    the root, which is 1 more.
    std in caffe-2015: v = gamma(n + 2) E2 + (2 A + d) d + gamma(2) E2 on either side of the difference E2 - mean^2,
    then min(sqrt(2 v), 2 v / std) and gamma(2) of what comes out
    E2: the squares, n - 1 additions, the division; the mean's error moves its square by (2 A + d) d; the square and the
    difference, neither larger than E2, are rounded. |sqrt(a) - sqrt(b)| is at most sqrt|a - b|, and |a - b| / sqrt(a).
    Both sides are rounded, so each counts twice; squares below the smallest normal number may be taken as 0.

moments of n standard normal draws z: the means of z, z^2, z^3, z^4, and of z times the next z
    7 sqrt(v / n), v = 1, 2, 15, 96, 1
    The variance of z^k is E z^(2k) - (E z^k)^2, E z^2 = 1, E z^4 = 3, E z^6 = 15, E z^8 = 105; products of neighbours
    have variance 1 and are uncorrelated. A mean of many is nearly normal: 7 deviations are exceeded once in 10^11.

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


def sum_bound(terms, total_of_sizes, total, dtype_name, in_order=True):
    """The bound on a cell's gradient: clause roi-pool.backward-sum.

    terms: the number of gradients added, an array; total_of_sizes: the sum of their absolute values; total: their sum.
    dtype_name: the result's type. Half types add in float32 (clause roi-pool.accumulate) and round once more.
    in_order: whether one order of addition is promised, that of the deterministic mode.
    """
    adds = "float64" if dtype_name == "float64" else "float32"
    u, u_result = UNIT_ROUNDOFF[adds], UNIT_ROUNDOFF[dtype_name]
    summing = gamma(np.maximum(terms - 1, 0), u) * total_of_sizes
    if not in_order:
        summing = summing + 2 * terms * _smallest_normal(adds)
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


# Beyond this exp(-d) is 0 in float64, and so in every type, whatever d is exactly.
FARTHEST = 800.0


def log_loss_bounds(scores, labels, dtype_name, profile):
    """The bounds on the losses (R,) and on their gradients (R, K + 1): clause log-loss.bound.

    scores: (R, K + 1) in float64; labels: (R,); dtype_name: the type that computes. Where no number comes out, 0.
    """
    u, n, rows = UNIT_ROUNDOFF[dtype_name], scores.shape[1], np.arange(len(scores))
    E, smallest_normal = 2 * ELEMENTARY_ULPS * u, (n + 1) * _smallest_normal(dtype_name)
    with np.errstate(all="ignore"):
        d = scores - scores.max(axis=1, keepdims=True)
        sizes, far = np.exp(d), np.minimum(np.abs(d), FARTHEST)
        log_S = np.log(sizes.sum(axis=1, keepdims=True))
        p, log_p = sizes / sizes.sum(axis=1, keepdims=True), d - log_S
        c = (far + 2 * ELEMENTARY_ULPS + n) * u
        a = (p * c).sum(axis=1, keepdims=True) / (1 - c.max(axis=1, keepdims=True))
        e = (-np.log1p(-a) + E * np.abs(log_S) + u * np.abs(d) + u * np.abs(log_p)) * (1 + E)
        gradient = p - (labels[:, None] == np.arange(n))
        gradient_bound = p * np.expm1(np.minimum(e, 1)) + (E + 2 * u) * p + u * np.abs(gradient) + smallest_normal
        loss_bound = e[rows, labels] + smallest_normal
        if profile == "caffe-2015":
            end = np.log(np.finfo(np.float32).tiny)
            # A whole unit below FLT_MIN no rounding lifts p_u over it; p_u itself is e off, its logarithm E more.
            clamped = log_p[rows, labels] < end - 1
            loss_bound = np.where(clamped, -E * end, loss_bound - E * np.maximum(log_p[rows, labels], end) + E)
    sides = 2 if dtype_name == "float64" else 1
    return tuple(sides * np.nan_to_num(bound, nan=0.0, posinf=0.0) for bound in (loss_bound, gradient_bound))


def multi_task_loss_bounds(results, scores, labels, lambda_, dtype_name, profile):
    """The bounds on L, L_cls, L_loc and the gradients to scores and to deltas: clause multi-task-loss.bound.

    results: the true L, L_cls, L_loc, gradients, in float64; scores: (R, K + 1) in float64; labels: (R,).
    """
    _, L_cls, L_loc, grad_scores, grad_deltas = results
    u, R, foreground = UNIT_ROUNDOFF[dtype_name], max(len(scores), 1), int((labels >= 1).sum())
    smallest_normal, sides = max(1.0, lambda_) * _smallest_normal(dtype_name), 2 if dtype_name == "float64" else 1
    with np.errstate(all="ignore"):
        row, row_gradient = (bound / R for bound in log_loss_bounds(scores, labels, dtype_name, profile))
        cls = row.sum() + gamma(R + 1, u) * (L_cls + row.sum()) * sides
        loc = gamma(4 * foreground + 6, u) * L_loc * sides
        both = cls + lambda_ * loc + gamma(3, u) * (L_cls + lambda_ * L_loc + cls + lambda_ * loc) * sides
        to_scores = row_gradient + gamma(2, u) * (np.abs(grad_scores) + row_gradient) * sides
        to_deltas = gamma(5, u) * np.abs(grad_deltas) * sides
    bounds = (both, cls, loc, to_scores, to_deltas)
    terms = (R + 4 * foreground, R, 4 * foreground, 1, np.where(grad_deltas == 0, 0, 1))
    return tuple(
        np.nan_to_num(bound + count * smallest_normal, nan=0.0, posinf=0.0)
        for bound, count in zip(bounds, terms, strict=True)
    )


def _smallest_normal(dtype_name):
    """Below it results may be taken as zero; each type's has the exponent range of 2^p times SMALLEST."""
    return SMALLEST[dtype_name] / (2 * UNIT_ROUNDOFF[dtype_name])


def equal(expected, dtype_name):
    """No error at all, but a zero may have either sign."""
    return np.zeros(np.shape(expected))


WITNESS_BOUNDS["equal"] = equal


def _svd_roundoff(shape, dtype_name):
    """e, the backward error of an SVD relative to the Frobenius norm; twice that where float64 is compared with it."""
    return 10 * max(shape) * UNIT_ROUNDOFF[dtype_name] * (2 if dtype_name == "float64" else 1)


def svd_error_bound(weights, dtype_name):
    """The bound on both errors of the product: clause svd-layers.bound."""
    return 6 * _svd_roundoff(weights.shape, dtype_name) * float(np.linalg.norm(weights.astype(np.float64)))


def svd_gram_bounds(weights, dtype_name):
    """The bounds on the numbers of second^T second and of first first^T: clause svd-layers.bound."""
    e, wide = _svd_roundoff(weights.shape, dtype_name), weights.astype(np.float64)
    return 3 * e, 6 * e * float(np.linalg.norm(wide, 2) * np.linalg.norm(wide))


def svd_product_bound(weights, largest, gap, dtype_name):
    """The bound on the product where there is one best: clause svd-layers.choice.

    largest: s_1; gap: s_t - s_(t+1), or infinity where all that is cut off is 0.
    """
    e = _svd_roundoff(weights.shape, dtype_name)
    return (6 if np.isinf(gap) else 5 + 3 * largest / gap) * e * float(np.linalg.norm(weights.astype(np.float64)))


def low_rank(expected, dtype_name):
    """The bound on the best approximation that a witness states."""
    expected = np.asarray(expected, np.float64)
    return np.full(expected.shape, 20 * _svd_roundoff(expected.shape, dtype_name) * float(np.linalg.norm(expected)))


WITNESS_BOUNDS["low-rank"] = low_rank


def target_bounds(targets, labels, stds, profile):
    """The bounds on means and stds (K1, 4) of target_statistics: clause box-targets.type.

    stds: (K1, 4), the expected ones.
    """
    u, wide, shape = UNIT_ROUNDOFF["float64"], targets.astype(np.float64), np.shape(stds)
    mean_bounds, std_bounds = np.zeros(shape), np.zeros(shape)
    for k in range(1, len(stds)):
        own, std = wide[labels == k], stds[k]
        n = len(own)
        if n == 0:
            continue
        sizes, squares = np.abs(own).mean(axis=0), (own**2).mean(axis=0)
        d = gamma(n + 1, u) * sizes
        if profile == "exact":
            constant = np.ptp(own, axis=0) <= 2.0**-500
            mean_bounds[k] = np.where(constant, 0.0, 2 * d)
            std_bounds[k] = np.where(constant, 0.0, 2 * d + 2 * gamma(n + 6, u) * (std + 2 * d))
        else:
            v = gamma(n + 4, u) * squares + (2 * sizes + d) * d + (n + 2) * np.finfo(np.float64).tiny
            with np.errstate(divide="ignore"):
                moved = np.minimum(np.sqrt(2 * v), 2 * v / std)
            mean_bounds[k], std_bounds[k] = 2 * d, moved + gamma(2, u) * (std + moved)
    return mean_bounds, std_bounds


def moment_bounds(draws):
    """The bounds on five moments of so many standard normal numbers: clause gaussian-fill.draw."""
    return 7 * np.sqrt(np.array([1.0, 2.0, 15.0, 96.0, 1.0]) / draws)
