"""How far rounding may take the two steps: a bound for every weight, bias and velocity.

A running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 3.3). Beside each number x
stands a radius r, such that whatever an implementation computes in its place, in float64 and in any order, lies within
r of the number without any rounding. Two implementations are then within 2 r of each other. `size`, |x| + 2 r, bounds
what any of them has there. u is the unit roundoff, gamma(n) = n u / (1 - n u).

a + b               r_a + r_b + u (size_a + size_b)
A @ B, n terms      size_A @ r_B + r_A @ size_B + gamma(n) size_A @ size_B
                    The exact product moves by X_A X_B - A B = X_A (X_B - B) + (X_A - A) B; an inner product of n terms
                    in any order, fused or not (3.1). Not for a fast convolution, which no framework has in float64.
a sum of n          sum r + gamma(n) sum size
ReLU                r: it never widens a distance, and rounds nothing. Its sign must be certain, |x| > 2 r.
RoI pooling         the largest r of the sub-window. Which cell wins must be certain: positive features of one map are
                    farther apart than 4 r, and zeros are zeros everywhere.
its gradient        a sum with as many terms as there are outputs, to the same cells
gradient to scores  p (exp(2 d) - 1) / R + b, with d the largest r of the row and b the bound of tolerance.py
                    Scores that move by d at most change exp and the sum by exp(d) at most, each.
gradient to deltas  (r_t + r_v) / R where the class is the RoI's own, + b: the derivative of smooth L1 never widens
                    a distance, though it has two branches.
targets             tolerance.encode_bound
sgd_step            each product and sum as above; the rate may itself be off by tolerance.learning_rate_bound
"""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
from two_steps import gradients_of, start, train

from frcnn import reference
from frcnn.conformance import tolerance

U = tolerance.UNIT_ROUNDOFF["float64"]

# The radii are sums of positive terms, in float64 themselves; b is taken at NumPy's scores and not at every
# implementation's. Both are relative errors far below this.
OF_THE_BOUND_ITSELF = 1 + 2.0**-20


class Uncertain(AssertionError):
    """Rounding may decide which way the network goes; choose other numbers for it."""


class Ball:
    """An array and its radii."""

    __array_ufunc__ = None  # an array on the left leaves the operation to this class

    def __init__(self, middle, radius=0.0):
        self.middle = np.asarray(middle)
        self.radius = np.broadcast_to(radius, self.middle.shape)

    @property
    def shape(self):
        return self.middle.shape

    @property
    def size(self):
        return np.abs(self.middle) + 2 * self.radius

    @property
    def T(self):
        return self.transpose(1, 0)

    def transpose(self, *axes):
        return Ball(self.middle.transpose(axes), self.radius.transpose(axes))

    def reshape(self, *shape):
        return Ball(self.middle.reshape(shape), self.radius.reshape(shape))

    def sum(self, axis):
        gamma = tolerance.gamma(self.shape[axis], U)
        return Ball(self.middle.sum(axis=axis), self.radius.sum(axis=axis) + gamma * self.size.sum(axis=axis))

    def __add__(self, other):
        return Ball(self.middle + other.middle, self.radius + other.radius + U * (self.size + other.size))

    def __matmul__(self, other):
        other = as_ball(other)
        gamma = tolerance.gamma(self.shape[1], U)
        radius = self.size @ other.radius + self.radius @ other.size + gamma * (self.size @ other.size)
        return Ball(self.middle @ other.middle, radius)

    def __rmatmul__(self, other):
        return as_ball(other) @ self


def as_ball(value):
    return value if isinstance(value, Ball) else Ball(value)


def _relu(x):
    if (np.abs(x.middle) <= 2 * x.radius).any():
        raise Uncertain("a ReLU's input may have either sign")
    return Ball(np.maximum(x.middle, 0), np.where(x.middle > 0, x.radius, 0))


def _relu_backward(gradients, before):
    return Ball(gradients.middle * (before.middle > 0), gradients.radius * (before.middle > 0))


def _roi_pool(features, rois, output_size, scale):
    for cells in features.middle.reshape(-1, features.shape[2] * features.shape[3]):
        if np.diff(np.sort(cells[cells > 0])).min() <= 4 * features.radius.max():
            raise Uncertain("two cells may each be the larger one")
    output, argmax = reference.roi_pool(features.middle, rois, output_size, scale)
    return Ball(output, reference.roi_pool(features.radius, rois, output_size, scale)[0]), argmax


def _roi_pool_backward(gradients, *where):
    middle, radius, size = (
        reference.roi_pool_backward(part, *where) for part in (gradients.middle, gradients.radius, gradients.size)
    )
    return Ball(middle, radius + tolerance.gamma(np.prod(gradients.shape[::2]) * gradients.shape[3], U) * size)


def _multi_task_loss(scores, deltas, labels, targets):
    results = reference.multi_task_loss(scores.middle, deltas.middle, labels, targets.middle)
    *_, of_scores, of_deltas = tolerance.multi_task_loss_bounds(results, scores.middle, labels, 1.0, "float64", "exact")
    R, columns = scores.shape
    true = labels[:, None] == np.arange(columns)
    p = results[3] * R + true
    to_scores = p * np.expm1(2 * scores.radius.max(axis=1, keepdims=True)) / R + of_scores
    own = np.repeat(true & (labels[:, None] >= 1), 4, axis=1)
    to_deltas = np.where(own, deltas.radius + np.tile(targets.radius, columns), 0) / R + of_deltas
    return *results[:3], Ball(results[3], to_scores), Ball(results[4], to_deltas)


def _sgd_step(weights, gradients, velocity, rate, *, lr_mult, decay_mult, momentum=0.9, weight_decay=0.0005):
    middle = reference.sgd_step(
        weights.middle, gradients.middle, velocity.middle, rate, lr_mult=lr_mult, decay_mult=decay_mult
    )
    # Each factor is rounded once, the product with it once; the rate is a number of its own in each implementation.
    gradients = gradients + _scaled(weights, weight_decay * decay_mult, 2 * U)
    off = tolerance.learning_rate_bound(rate, 1) / rate
    moved = _scaled(velocity, momentum, U) + _scaled(gradients, rate * lr_mult, off + 2 * U)
    velocity = Ball(middle[1], moved.radius)
    return Ball(middle[0], weights.radius + velocity.radius + U * (weights.size + velocity.size)), velocity


def _scaled(ball, factor, off):
    """A product with a positive number that is `off` off, relatively, rounding of the product included."""
    return Ball(ball.middle * factor, factor * (ball.radius + off * ball.size))


BALLS = SimpleNamespace(
    relu=_relu,
    relu_backward=_relu_backward,
    roi_pool=_roi_pool,
    roi_pool_backward=_roi_pool_backward,
    multi_task_loss=_multi_task_loss,
    learning_rate=reference.learning_rate,
    sgd_step=_sgd_step,
)


def bounds(batches):
    """How far two implementations may be apart after both steps: of each parameter and of each velocity."""
    batches = [replace(b, targets=Ball(b.targets, tolerance.encode_bound(b.targets, "float64"))) for b in batches]
    ends = train(*start(Ball), batches, partial(gradients_of, operators=BALLS), BALLS)
    return tuple({name: 2 * ball.radius * OF_THE_BOUND_ITSELF for name, ball in end.items()} for end in ends)


def largest_share(first, second, allowed):
    """The largest of all differences, as a share of what is allowed there."""
    assert first.keys() == second.keys() == allowed.keys()
    shares = []
    for name, most in allowed.items():
        apart = np.abs(np.asarray(first[name]) - np.asarray(second[name]))
        # What is allowed is 0 where no operation is inexact, as for the background's offsets, which nothing teaches.
        shares.append(np.divide(apart, most, out=np.where(apart == 0, 0.0, np.inf), where=most > 0).max())
    return max(shares)
