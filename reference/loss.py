"""The multi-task loss and its two parts, with gradients in closed form: `spec/loss.md`, executable.

Shapes and symbols. R RoIs, K object classes, class 0 is background. s: scores, p: their softmax, u: the true class;
t: predicted offsets, v: true ones. Results have the scores' type, float32 or float64, and are computed in it: the spec
bounds their error (log-loss.bound, multi-task-loss.bound).
"""

import numpy as np

from frcnn.reference.arguments import as_array, as_float_array, as_rounded, check_profile

FLT_MIN = float(np.finfo(np.float32).tiny)


def smooth_l1(x, *, profile="exact"):
    """0.5 x^2 near zero, |x| - 0.5 from -1 and 1 on, and its derivative.

    x: any shape, float32 or float64; a difference of box offsets, without unit.
    profile: "exact", or "caffe-2015", which gives NaN a derivative of 0.

    Returns value and derivative, each of x's shape and type.
    Raises ValueError or TypeError naming the argument: smooth-l1.dtype.
    Source: the paper, section 2.3, Eq. 3. Clauses: those of spec/loss.md on smooth L1.

    >>> value, derivative = smooth_l1(np.float64([-2, -1, 0, 0.5, 1]))
    >>> value.tolist(), derivative.tolist()
    ([1.5, 0.5, 0.0, 0.125, 0.5], [-1.0, -1.0, 0.0, 0.5, 1.0])
    """
    check_profile(profile)
    x = _as_wide_array("x", x, as_array("x", x).ndim * ("",))  # smooth-l1.dtype
    half = x.dtype.type(0.5)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        near = np.abs(x) < 1
        value = np.where(near, half * x * x, np.abs(x) - half)  # smooth-l1.value
        derivative = np.where(near, x, np.sign(x))  # smooth-l1.derivative; np.sign(NaN) is NaN
    if profile == "caffe-2015":
        derivative = np.where(np.isnan(x), x.dtype.type(0), derivative)  # smooth-l1.not-finite
    return value, derivative


def softmax_log_loss(scores, labels, *, profile="exact"):
    """-log of the true class's softmax probability, for each RoI.

    scores: (R, K + 1), float32 or float64; logits.
    labels: (R,) integers in 0 .. K; the true classes u.
    profile: "exact", or "caffe-2015", which clamps the logarithm's argument at FLT_MIN.

    Returns losses (R,), not reduced, and their gradients to the scores (R, K + 1): row i is that of loss i.
    Raises ValueError or TypeError naming the argument: log-loss.error-scores, log-loss.error-labels.
    Source: the paper, section 2.3, L_cls. Clauses: those of spec/loss.md on the log loss; log-loss.bound bounds it.

    >>> losses, gradients = softmax_log_loss(np.float64([[1e4, -1e4], [0, 0]]), np.array([1, 0]))
    >>> losses.round(4).tolist(), gradients.tolist()
    ([20000.0, 0.6931], [[1.0, -1.0], [-0.5, 0.5]])
    """
    check_profile(profile)
    scores, labels = _scores_and_labels(scores, labels)
    rows = np.arange(len(scores))  # log-loss.row
    with np.errstate(all="ignore"):  # log-loss.not-finite: what is no number goes the way of the formula
        d = scores - scores.max(axis=1, keepdims=True)  # log-loss.stable
        S = np.exp(d).sum(axis=1, keepdims=True)
        p = np.exp(d) / S
        if profile == "exact":
            losses = np.log(S[:, 0]) - d[rows, labels]  # log-loss.value, log-loss.stable
        else:
            losses = -np.log(np.maximum(p[rows, labels], p.dtype.type(FLT_MIN)))  # log-loss.clamp
        p[rows, labels] -= 1  # log-loss.gradient
    return losses, p


def multi_task_loss(scores, deltas, labels, targets, *, lambda_=1.0, profile="exact"):
    """Eq. 1 over a minibatch: the log loss of every RoI, and the smooth L1 loss of the boxes of those with u >= 1.

    scores: (R, K + 1), float32 or float64; logits.
    deltas: (R, 4 (K + 1)), as scores; predicted offsets, class by class, background's first.
    labels: (R,) integers in 0 .. K; the true classes u.
    targets: (R, 4), as scores; true offsets for the RoI's own class; of background RoIs anything.
    lambda_: the weight of the box loss, at least 0.
    profile: "exact" or "caffe-2015".

    Returns L, L_cls, L_loc (each a number, as an array without axes), the gradients of L to scores and to deltas.
    Raises ValueError or TypeError naming the argument: multi-task-loss.error-shape, multi-task-loss.error-lambda.
    Source: the paper, section 2.3, Eqs. 1-3. Clauses: those of spec/loss.md on both; multi-task-loss.bound bounds it.

    >>> scores, deltas = np.zeros((2, 2)), np.full((2, 8), 2.0)
    >>> L, L_cls, L_loc, *_ = multi_task_loss(scores, deltas, np.array([0, 1]), np.zeros((2, 4)))
    >>> float(L_cls.round(4)), float(L_loc)
    (0.6931, 3.0)
    """
    losses, grad_scores = softmax_log_loss(scores, labels, profile=profile)
    kind, (R, columns) = grad_scores.dtype.type, grad_scores.shape
    deltas = _as_wide_array("deltas", deltas, (R, 4 * columns), kind)
    targets = _as_wide_array("targets", targets, (R, 4), kind)
    lambda_ = as_rounded("lambda_", lambda_, kind)  # multi-task-loss.error-lambda

    u = np.asarray(labels)[:, None]
    selected = ((u == np.arange(columns)) & (u >= 1))[:, :, None]  # multi-task-loss.indicator
    t, v = deltas.reshape(R, columns, 4), targets[:, None, :]
    zero, divisor = kind(0), kind(max(R, 1))  # multi-task-loss.no-rois
    with np.errstate(all="ignore"):
        difference = np.where(selected, t - v, zero)
        if profile == "caffe-2015":  # multi-task-loss.unselected: a weight of 0 times the delta
            difference = np.where(selected, difference, zero * t)
        values, derivatives = smooth_l1(difference, profile=profile)
        L_cls, L_loc = losses.sum() / divisor, values.sum() / divisor  # multi-task-loss.reduce
        L = L_cls + lambda_ * L_loc  # multi-task-loss.sum
        grad_deltas = lambda_ * derivatives.reshape(R, 4 * columns) / divisor  # multi-task-loss.gradients
        return np.asarray(L), np.asarray(L_cls), np.asarray(L_loc), grad_scores / divisor, grad_deltas


def _as_wide_array(name, value, shape, kind=None):
    """`value` as float32 or float64, as `kind` where that is given, of a shape as in as_float_array."""
    array = as_float_array(name, value, shape)
    if array.dtype.itemsize == 2:
        raise TypeError(f"{name} must be float32 or float64, got {array.dtype}; widen half types first")
    if kind is not None and array.dtype != kind:
        raise TypeError(f"{name} must have the type of scores, {kind.__name__}, got {array.dtype}")
    return array


def _scores_and_labels(scores, labels):
    """Clauses log-loss.error-scores and log-loss.error-labels."""
    scores = _as_wide_array("scores", scores, ("R", "K + 1"))
    R, columns = scores.shape
    if columns == 0:
        raise ValueError("scores must have shape (R, K + 1), with a column for background at least, got none")
    labels = as_array("labels", labels)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if labels.shape != (R,):
        raise ValueError(f"labels must have shape ({R},), one for each row of scores, got {labels.shape}")
    wrong = (labels < 0) | (labels >= columns)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"labels[{row}] is {labels[row]}, but scores has the classes 0..{columns - 1}")
    return scores, labels
