"""Non-maximum suppression on drawn boxes, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn.conformance.box_strategies import box_arrays, types
from frcnn.conformance.cases import DTYPES

clause = pytest.mark.clause

GOOD = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]], np.float32)
SCORES = np.array([0.6, 0.9, 0.7], np.float32)

scores = st.sampled_from((1.0, 0.5, 0.5 + 2.0**-30, 1.0 - 2.0**-30, 0.1, 0.0, -0.0, -3.0, np.inf, -np.inf))
thresholds = st.sampled_from((0.3, 0.5, 0.7, 0.0, 1.0, 0.1, 1 / 3, 0.6))


@clause("nms-greedy.order", "nms-greedy.tie", "nms-greedy.overlap", "nms-greedy.type", "nms-greedy.result")
@given(data=st.data(), box_type=types, score_type=types, threshold=thresholds)
def test_the_keep_list_is_the_specs(subject, profile, box_type, score_type, threshold, data):
    boxes = data.draw(box_arrays(box_type, most=8))
    check(subject, boxes, drawn_scores(data, len(boxes), score_type), threshold, profile)


@clause("nms-greedy.threshold", "nms-greedy.kept")
@given(data=st.data(), dtype=types, tenths=st.integers(0, 10))
def test_overlaps_of_whole_tenths_meet_the_threshold(subject, profile, dtype, tenths, data):
    """Rows of ten pixels and parts of them: every overlap is a ratio of small numbers, often the threshold itself."""
    firsts = data.draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=7))
    rows = [(first, 0, min(first + extent, 9), 0) for first, extent in firsts]
    boxes = np.array([(0, 0, 9, 0), *rows], DTYPES[dtype])
    check(subject, boxes, drawn_scores(data, len(boxes), dtype), tenths / 10, profile)


@clause("nms-greedy.kept")
@given(data=st.data(), dtype=types, threshold=thresholds)
def test_only_boxes_that_are_kept_remove_others(subject, profile, dtype, threshold, data):
    """A chain in which each box overlaps the next few, in drawn order."""
    order = data.draw(st.permutations(range(7)))
    boxes = np.array([(3 * i, 0, 3 * i + 9, 3) for i in order], DTYPES[dtype])
    check(subject, boxes, np.arange(7, 0, -1).astype(dtype), threshold, profile)


@clause("nms-greedy.kept", "nms-greedy.order", "nms-greedy.tie")
@pytest.mark.parametrize("count", [31, 33, 65, 129, 257])
def test_many_boxes_suppress_each_other_as_few_do(subject, profile, count):
    """More than the bits of one word of a mask, and more than a sort of few goes about in order. Scores tie in tens."""
    generator = np.random.default_rng(count)
    corners, extents = generator.integers(0, 90, (count, 2)), generator.integers(9, 14, (count, 2))
    boxes = np.concatenate([corners, corners + extents], axis=1).astype(np.float32)
    check(subject, boxes, generator.integers(0, count // 10, count).astype(np.float32), 0.3, profile)


@clause("nms-greedy.order", "nms-greedy.type")
@pytest.mark.parametrize("box_type", ["float32", "float64"])
def test_scores_of_float64_keep_their_order_beside_boxes_of_any_type(subject, profile, box_type):
    """In caffe-2015 they are one float32, so that the first goes first."""
    check(subject, GOOD.astype(box_type)[::2], np.array([0.5, 0.5 + 2.0**-40]), 0.3, profile)


@clause("nms-greedy.error-boxes")
@pytest.mark.parametrize("wrong", [GOOD[:, :3], np.ones((3, 5), np.float32), GOOD[0], GOOD.astype(np.int64)])
def test_boxes_of_another_shape_or_type_are_refused(subject, profile, wrong):
    refused(subject, "boxes", wrong, SCORES, 0.3, profile)


@clause("nms-greedy.error-boxes")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 16777218.0])
def test_a_coordinate_that_is_no_place_is_refused_with_its_row(subject, profile, value):
    wrong = GOOD.copy()
    wrong[1, 2] = wrong[2, 0] = value
    refused(subject, "boxes[1]", wrong, SCORES, 0.3, profile)


@clause("nms-greedy.error-scores")
@pytest.mark.parametrize("wrong", [SCORES[:2], SCORES[:, None], np.float32(1), SCORES.astype(np.int64)])
def test_scores_of_another_shape_or_type_are_refused(subject, profile, wrong):
    refused(subject, "scores", GOOD, wrong, 0.3, profile)


@clause("nms-greedy.error-scores")
def test_a_score_of_nan_is_refused_with_its_row(subject, profile):
    refused(subject, "scores[1]", GOOD, np.array([0.5, np.nan, np.nan], np.float32), 0.3, profile)


@clause("nms-greedy.error-threshold")
@pytest.mark.parametrize("threshold", [np.nan, -0.1, 1.1, np.inf, "0.3", True, None])
def test_a_threshold_that_is_no_share_is_refused(subject, profile, threshold):
    refused(subject, "iou_threshold", GOOD, SCORES, threshold, profile)


@clause("nms-greedy.error-profile")
@pytest.mark.parametrize("name", ["caffe", "Exact", ""])
def test_an_unknown_profile_is_refused(subject, name):
    refused(subject, "profile", GOOD, SCORES, 0.3, name)


def check(subject, boxes, values, threshold, profile):
    __tracebackhide__ = True
    subject.check("nms", boxes, values, threshold, profile=profile)


def refused(subject, name, boxes, values, threshold, profile):
    __tracebackhide__ = True
    subject.check_refused(lambda: subject.call("nms", boxes, values, threshold, profile=profile), name)


def drawn_scores(data, count, dtype):
    """Scores that tie often, and more often in float32."""
    return np.array(data.draw(st.lists(scores, min_size=count, max_size=count)), np.float64).astype(DTYPES[dtype])
