"""The scale of each box: drawn boxes and pyramids, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn.conformance.box_strategies import box_arrays, types

clause = pytest.mark.clause

GOOD = np.array([[0, 0, 9, 19], [5, 5, 14, 24], [1, 1, 1, 1]], np.float32)

ratios = st.sampled_from(
    (1.0, 2.0, 0.5, 480 / 375, 576 / 375, 688 / 375, 864 / 375, 1200 / 375, 0.1, 7.3, 1e-3, 2.0**24)
)


@clause("detect-scale.area", "detect-scale.distance", "detect-scale.arithmetic", "detect-scale.result")
@given(data=st.data(), dtype=types, scales=st.lists(ratios, min_size=1, max_size=6))
def test_each_box_has_the_scale_that_takes_it_closest_to_the_area(subject, dtype, scales, data):
    subject.check("select_scale", data.draw(box_arrays(dtype)), scales)


@clause("detect-scale.arithmetic", "detect-scale.tie")
@given(data=st.data(), dtype=types, scale=ratios)
def test_scales_a_rounding_apart_are_told_apart_or_tie_as_float64_has_it(subject, dtype, scale, data):
    boxes = data.draw(box_arrays(dtype))
    steps = data.draw(st.lists(st.integers(-2, 2), min_size=2, max_size=5))
    subject.check("select_scale", boxes, [min(scale + step * np.spacing(scale), 2.0**24) for step in steps])


@clause("detect-scale.distance", "detect-scale.arithmetic")
@given(data=st.data(), dtype=types, w=st.integers(100, 400), h=st.integers(100, 400))
def test_two_scales_on_either_side_of_the_area_are_compared_in_full(subject, dtype, w, h, data):
    """The second scale is where the distances would be equal, rounded, and moved a little."""
    first = data.draw(st.sampled_from((0.25, 0.5, 0.625, 0.75, 0.55, 0.7)))
    rest = max(2 * 50176 / (w * h) - first * first, 0.01)
    second = round(rest**0.5 * 1024) / 1024 if data.draw(st.booleans()) else rest**0.5
    boxes = np.array([[0, 0, w - 1, h - 1]], dtype)
    scales = data.draw(st.permutations((first, second)))
    subject.check("select_scale", boxes, np.array(scales))


@clause("detect-scale.arithmetic", "detect-scale.distance")
@given(seed=st.integers(0, 2**32 - 1), dtype=types)
def test_scales_of_float32_are_widened_before_they_are_squared(subject, dtype, seed):
    """Two on either side of the area, whose squares in float32 choose the other now and then: one pair in eight."""
    generator = np.random.default_rng(seed)
    w, h = generator.integers(100, 400, 2)
    first = np.float32(generator.uniform(0.3, 0.75))
    second = np.float32(max(2 * 50176 / (w * h) - float(first) ** 2, 0.05) ** 0.5)
    subject.check("select_scale", np.array([[0, 0, w - 1, h - 1]], dtype), np.array([first, second]))


@clause("detect-scale.tie")
@given(data=st.data(), dtype=types, scales=st.lists(ratios, min_size=1, max_size=3))
def test_of_equal_scales_the_first_is_chosen(subject, dtype, scales, data):
    boxes = data.draw(box_arrays(dtype))
    once = subject.call("select_scale", boxes, scales)
    subject.check("select_scale", boxes, scales * data.draw(st.sampled_from((2, 11))), expected=once)


@clause("detect-scale.result")
def test_no_box_has_no_scale(subject):
    subject.check("select_scale", np.zeros((0, 4), np.float32), [1.0, 2.0])


@clause("detect-scale.error-boxes")
@pytest.mark.parametrize("wrong", [GOOD[:, :3], np.ones((3, 5), np.float32), GOOD[0], GOOD.astype(np.int64)])
def test_boxes_of_another_shape_or_type_are_refused(subject, wrong):
    refused(subject, "boxes", wrong, [1.0])


@clause("detect-scale.error-boxes")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 16777218.0])
def test_a_coordinate_that_is_no_place_is_refused_with_its_row(subject, value):
    wrong = GOOD.copy()
    wrong[1, 2] = wrong[2, 0] = value
    refused(subject, "boxes[1]", wrong, [1.0])


@clause("detect-scale.error-scales")
@pytest.mark.parametrize("scales", [[], [[1.0]], 1.0, "1", None, [True], [1j], [1.0, "2"], [[1.0], [1.0, 2.0]]])
def test_scales_that_are_no_row_of_numbers_are_refused(subject, scales):
    refused(subject, "scales", GOOD, scales)


@clause("detect-scale.error-scales")
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, -np.inf, 16777218.0])
def test_a_scale_that_is_none_is_refused_with_its_place(subject, value):
    refused(subject, "scales[1]", GOOD, [1.0, value, value])


def refused(subject, name, boxes, scales):
    __tracebackhide__ = True
    subject.check_refused(lambda: subject.call("select_scale", boxes, scales), name)
