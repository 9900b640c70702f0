"""Real input: conv5_3 maps of photographs at the paper's scale, their selective-search boxes, 7 x 7 at 1/16."""

import numpy as np
import pytest

from frcnn import reference
from frcnn.conformance.cases import Pooling
from frcnn.conformance.photographs import load
from frcnn.conformance.subject import differing, unpooling_of

# How much of each photograph a backend is held to: boxes, channels. What is slow by its nature takes a part of it.
SUBSETS = {"interpreter": (16, 32), "numpy": (12, 4)}


@pytest.mark.clause("roi-pool.max", "roi-pool.argmax", "roi-pool.backward", "roi-pool.backward-sum")
def test_the_boxes_of_a_photograph_pool_bit_for_bit(subject, profile, photograph):
    case = pooling(load(photograph), profile, SUBSETS.get(subject.backend.executed))
    subject.facts["subset"] = f"{len(case.rois)} boxes, {case.features.shape[1]} channels"
    _, argmax = subject.check_forward(case)
    grad_output = np.random.default_rng(0).standard_normal(argmax.shape, np.float32)
    subject.check_backward(unpooling_of(case, argmax, grad_output))


@pytest.mark.clause("roi-pool.grid")
def test_the_two_profiles_are_told_apart_by_the_same_bins(subject, photograph):
    """How many bins of a photograph the profiles disagree on is a fact about the operator: every backend finds it."""
    counts = []
    for pool in (subject.pool, lambda case: reference.roi_pool(*arguments(case), profile=case.profile)):
        (exact, place), (caffe, caffe_place) = (
            pool(pooling(load(photograph), profile, (64, 16))) for profile in ("exact", "caffe-2015")
        )
        counts.append(int((differing(exact, caffe) | (place != caffe_place)).sum()))
    subject.facts.update(bins_that_differ=counts[0], bins=exact.size)
    assert counts[0] == counts[1], f"the profiles differ in {counts[0]} bins here, in {counts[1]} by the reference"


def pooling(real, profile, subset=None):
    """The paper's pooling of a RealMap, or of evenly spaced boxes and channels of it."""
    rois, features = real.rois, real.features
    if subset:
        boxes, channels = subset
        rois = rois[np.linspace(0, len(rois) - 1, min(boxes, len(rois))).astype(int)]
        features = features[:, np.linspace(0, features.shape[1] - 1, channels).astype(int)]
    return Pooling(np.ascontiguousarray(features), rois, (7, 7), 1 / 16, profile)


def arguments(case):
    return case.features, case.rois, case.output_size, case.spatial_scale
