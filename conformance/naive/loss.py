"""The losses once more: exact fractions where numbers are rational, 60 decimal digits where exp and log come in."""

from decimal import Decimal, localcontext
from fractions import Fraction
from math import inf, isfinite, isinf, isnan, nan

import numpy as np

LEAST = Decimal(2) ** -126


def smooth_l1(x, *, profile="exact"):
    """As frcnn.reference.smooth_l1, for input that is known to be good."""
    value, derivative = np.empty_like(x), np.empty_like(x)
    for place in np.ndindex(*x.shape):
        value[place], derivative[place] = (float(part) for part in _one(x[place], profile))
    return value, derivative


def softmax_log_loss(scores, labels, *, profile="exact"):
    """As frcnn.reference.softmax_log_loss, for input that is known to be good."""
    losses, gradients = np.empty(len(scores), scores.dtype), np.empty_like(scores)
    for i, (row, u) in enumerate(zip(scores.tolist(), labels.tolist(), strict=True)):
        losses[i], gradients[i] = _row(row, u, profile)
    return losses, gradients


def multi_task_loss(scores, deltas, labels, targets, *, lambda_=1.0, profile="exact"):
    """As frcnn.reference.multi_task_loss, for input that is known to be good."""
    R, columns = scores.shape
    share = Fraction(1, max(R, 1))
    losses, grad_scores = softmax_log_loss(scores, labels, profile=profile)
    boxes, slopes = [], np.zeros_like(deltas)
    for i, k, offset in np.ndindex(R, columns, 4):
        t, column = deltas[i, 4 * k + offset], 4 * k + offset
        if k == labels[i] != 0:
            value, slope = _one(_minus(t, targets[i, offset]), profile)
            boxes.append(value)
            slopes[i, column] = float(slope) * lambda_ * float(share)
        elif profile == "caffe-2015" and not isfinite(t):
            boxes.append(nan)
    L_cls, L_loc = (_total(terms) * float(share) for terms in (losses.tolist(), boxes))
    numbers = (np.array(number, scores.dtype) for number in (L_cls + lambda_ * L_loc, L_cls, L_loc))
    return *numbers, (grad_scores * float(share)).astype(scores.dtype), slopes


def _one(x, profile):
    """Value and derivative of one number, exact where it is finite."""
    if isnan(x):
        return nan, (nan if profile == "exact" else 0.0)
    if isinf(x):
        return inf, (1.0 if x > 0 else -1.0)
    x = x if isinstance(x, Fraction) else Fraction(float(x))
    if x >= 1:
        return x - Fraction(1, 2), 1
    if x <= -1:
        return -x - Fraction(1, 2), -1
    return x * x / 2, x


def _minus(t, v):
    return Fraction(float(t)) - Fraction(float(v)) if isfinite(t) and isfinite(v) else float(t) - float(v)


def _total(terms):
    """Their sum, exact where all are finite."""
    if all(isfinite(term) for term in terms):
        return float(sum(map(Fraction, terms)))
    return float(sum(map(float, terms)))


def _row(scores, u, profile):
    """Loss and gradient of one RoI."""
    if any(isnan(s) or s == inf for s in scores) or max(scores) == -inf:
        return nan, [nan] * len(scores)
    with localcontext() as context:
        context.prec = 60
        # Relative to the true class, so that no maximum is taken, unless a Decimal's exponent does not reach so far.
        near = max(scores) - scores[u] < 1e5
        base = Decimal(scores[u] if near else max(scores))
        sizes = [(Decimal(s) - base).exp() if s > -inf else Decimal(0) for s in scores]
        total = sum(sizes, Decimal(0))
        gradient = [float(size / total - (j == u)) for j, size in enumerate(sizes)]
        clamped = profile == "caffe-2015"
        loss = -max(sizes[u] / total, LEAST).ln() if clamped else total.ln() + base - Decimal(scores[u])
        return float(loss), gradient
