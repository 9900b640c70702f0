"""Real input: conv5_3 maps of photographs at the paper's scale, their selective-search boxes, 7 x 7 at 1/16."""

import numpy as np
import pytest

from frcnn import reference
from frcnn.conformance.cases import Pooling
from frcnn.conformance.photographs import SPATIAL_SCALE, load
from frcnn.conformance.subject import differing, unpooling_of

GRID = (7, 7)

# How many boxes and channels of each photograph a backend is held to, evenly spaced: all channels of as many boxes as a
# training minibatch has, and a part of that for what is slow by its nature.
SUBSET = (128, 512)
SLOW = {"interpreter": (12, 16), "numpy": (12, 4)}


def some_of(photograph, subject, profile):
    """The boxes and channels of the photograph that this backend is held to."""
    boxes, channels = SLOW.get(subject.backend.executed, SUBSET)
    real = load(photograph)
    features = real.features[:, evenly(real.features.shape[1], channels)]
    case = Pooling(features, real.rois[evenly(len(real.rois), boxes)], GRID, SPATIAL_SCALE, profile)
    subject.facts["subset"] = f"{len(case.rois)} boxes and {channels} channels"
    return case


@pytest.mark.clause("roi-pool.max", "roi-pool.argmax")
def test_the_boxes_of_a_photograph_pool_bit_for_bit(subject, profile, photograph):
    subject.check_forward(some_of(photograph, subject, profile))


@pytest.mark.clause("roi-pool.backward", "roi-pool.backward-sum")
def test_gradients_go_back_through_the_boxes_of_a_photograph(subject, profile, photograph):
    case = some_of(photograph, subject, profile)
    _, argmax = subject.expected(case)
    grad_output = np.random.default_rng(0).standard_normal(argmax.shape, np.float32)
    subject.check_backward(unpooling_of(case, argmax, grad_output))


@pytest.mark.clause("roi-pool.grid")
@pytest.mark.parametrize("profile", ["caffe-2015"])
def test_the_profile_differs_from_exact_in_the_bins_that_the_reference_says(subject, profile, photograph):
    """Of all boxes of the photograph, those whose windows the profiles place differently are pooled with both.

    The others cannot differ: the map of a ReLU holds neither NaN nor -inf.
    """
    real = load(photograph)
    exact, caffe = (windows(real, each) for each in ("exact", profile))
    apart = (exact != caffe).any(axis=(1, 2))
    case = Pooling(real.features, real.rois[apart], GRID, SPATIAL_SCALE)
    answers = [subject.check_forward(case.having(profile=each)) for each in ("exact", profile)]
    (output, argmax), (caffe_output, caffe_argmax) = answers
    subject.facts.update(
        boxes=len(real.rois),
        boxes_apart=int(apart.sum()),
        bins=len(real.rois) * real.features.shape[1] * GRID[0] * GRID[1],
        bins_apart=int((differing(output, caffe_output) | (argmax != caffe_argmax)).sum()),
    )


def windows(real, profile):
    """Rows and columns of every box's sub-windows, (R, P_h + P_w, 2)."""
    rchw = reference.project_rois(real.rois, SPATIAL_SCALE)[:, 1:]
    return np.concatenate(reference.pool_windows(rchw, GRID, real.features.shape[2:], profile=profile), axis=1)


def evenly(length, count):
    """At most `count` places at equal distances over a list."""
    return np.linspace(0, length - 1, min(count, length)).astype(int)
