"""The operators compose: two steps of training in NumPy equal the same two steps in torch, within a derived bound.

TensorFlow's are in tests/tf. The network is composition/two_steps.py, the bound composition/bounds.py.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from bounds import bounds, largest_share
from torch.nn import functional
from two_steps import GRID, PLAIN, SCALE, gradients_of, minibatches, multipliers, start, train, two_steps

from frcnn import reference
from frcnn.backends import torch as frcnn_torch


@pytest.fixture(scope="module")
def batches():
    return minibatches(reference, np.asarray)


def torch_gradients(parameters, batch):
    leaves = {name: blob.clone().requires_grad_() for name, blob in parameters.items()}

    def connected(x, name):
        return functional.linear(x, leaves[f"{name}.weight"], leaves[f"{name}.bias"])

    z = functional.conv2d(batch.images, leaves["conv.weight"], leaves["conv.bias"], stride=2, padding=1)
    pooled = frcnn_torch.roi_pool(functional.relu(z), batch.rois, GRID, SCALE)
    hidden = functional.relu(connected(pooled.flatten(1), "fc"))
    scores, deltas = connected(hidden, "cls_score"), connected(hidden, "bbox_pred")
    loss, _, _ = frcnn_torch.multi_task_loss(scores, deltas, batch.labels, batch.targets)
    return dict(zip(leaves, torch.autograd.grad(loss, tuple(leaves.values())), strict=True))


def test_torch_draws_the_same_minibatches(batches):
    for ours, theirs in zip(batches, minibatches(frcnn_torch, torch.from_numpy), strict=True):
        for name in ("images", "rois", "labels"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_two_steps_in_torch_end_where_those_of_the_reference_do(batches):
    drawn = [batch.having(torch.from_numpy) for batch in minibatches(frcnn_torch, torch.from_numpy)]
    ends = train(*start(torch.from_numpy), drawn, torch_gradients, frcnn_torch)
    for ours, theirs, allowed in zip(two_steps(batches), ends, bounds(batches), strict=True):
        assert largest_share(ours, theirs, allowed) <= 1


def test_the_minibatches_hold_foreground_of_several_classes_and_background(batches):
    for batch in batches:
        assert 0 in batch.labels
        assert len(set(batch.labels) - {0}) > 1


def test_the_two_steps_are_of_different_images_and_teach_every_layer(batches):
    assert not np.array_equal(batches[0].images, batches[1].images)
    for batch in batches:
        assert all(gradient.any() for gradient in gradients_of(start()[0], batch, PLAIN).values())


def rate_outside_of_the_velocity(weights, gradients, velocity, rate, *, lr_mult, decay_mult):
    """torch.optim.SGD's rule."""
    velocity = 0.9 * velocity + gradients + 0.0005 * decay_mult * weights
    return weights - rate * lr_mult * velocity, velocity


def biases_treated_as_weights(*blobs, lr_mult, decay_mult):
    return reference.sgd_step(*blobs, **multipliers("fc.weight"))


def biases_that_decay(*blobs, lr_mult, decay_mult):
    return reference.sgd_step(*blobs, lr_mult=lr_mult, decay_mult=1.0)


def loss_over_foreground(scores, deltas, labels, targets):
    *losses, to_scores, to_deltas = reference.multi_task_loss(scores, deltas, labels, targets)
    more = len(labels) / np.count_nonzero(labels)
    return *losses, more * to_scores, more * to_deltas


def boxes_weighted_by_a_millionth_less(*minibatch):
    return reference.multi_task_loss(*minibatch, lambda_=1 - 1e-6)


def corners_rounded_down(features, rois, *grid):
    return reference.roi_pool(features, np.concatenate([rois[:, :1], np.floor(rois[:, 1:])], axis=1), *grid)


def activations_in_float32(x):
    return PLAIN.relu(x).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize(
    "fault",
    [
        {"sgd_step": rate_outside_of_the_velocity},
        {"sgd_step": biases_treated_as_weights},
        {"sgd_step": biases_that_decay},
        {"multi_task_loss": loss_over_foreground},
        {"multi_task_loss": boxes_weighted_by_a_millionth_less},
        {"roi_pool": corners_rounded_down},
        {"relu": activations_in_float32},
    ],
    ids=lambda fault: next(iter(fault.values())).__name__.replace("_", "-"),
)
def test_the_bound_notices_another_reading(batches, fault):
    """By far: in the weights alone, since a velocity without the rate is another quantity."""
    right, wrong = two_steps(batches)[0], two_steps(batches, SimpleNamespace(**vars(PLAIN) | fault))[0]
    assert largest_share(right, wrong, bounds(batches)[0]) > 1000
