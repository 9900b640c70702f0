"""What must be refused, by an error that names the argument and the first offending row; and what happens unchecked."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn.conformance.cases import DTYPES, Pooling, Unpooling, pattern
from frcnn.conformance.strategies import poolings

clause = pytest.mark.clause

# What a framework may call the argument.
FEATURES = ("features", "input")
ROIS = ("rois", "boxes")

GOOD = Pooling(pattern("rising", (2, 1, 3, 3)), np.array([[0, 0, 0, 2, 2], [1, 0, 0, 2, 2]], np.float32), (2, 2))


def with_row(row, place, case=GOOD, count=6):
    """The case with `count` good RoIs, of which `row` stands at `place`."""
    rois = np.tile(case.rois[:1], (count, 1)).astype(np.float32)
    rois[place] = row
    return case.having(rois=rois)


@clause("roi-pool.error-rank")
@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 3), (1, 1, 1, 3, 3)])
def test_features_of_another_rank_are_refused(subject, profile, shape):
    case = GOOD.having(features=np.ones(shape, np.float32), rois=GOOD.rois[:1], profile=profile)
    subject.check_refused(lambda: subject.pool(case), *FEATURES)


@clause("roi-pool.error-rank")
@pytest.mark.parametrize("shape", [(1, 4), (1, 6), (5,), (1, 1, 5)])
def test_rois_of_another_shape_are_refused(subject, profile, shape):
    case = GOOD.having(rois=np.zeros(shape, np.float32), profile=profile)
    subject.check_refused(lambda: subject.pool(case), *ROIS)


@clause("roi-pool.error-type")
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8, bool])
def test_features_that_are_not_floating_point_are_refused(subject, profile, dtype):
    case = GOOD.having(features=GOOD.features.astype(dtype), profile=profile)
    subject.check_refused(lambda: subject.pool(case), *FEATURES)


@clause("roi-pool.error-type")
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_rois_that_are_not_floating_point_are_refused(subject, profile, dtype):
    case = GOOD.having(rois=GOOD.rois.astype(dtype), profile=profile)
    subject.check_refused(lambda: subject.pool(case), *ROIS)


@clause("roi-pool.error-profile")
@pytest.mark.parametrize("name", ["caffe", "Exact", "", "caffe_2015"])
def test_an_unknown_profile_is_refused(subject, name):
    subject.check_refused(lambda: subject.pool(GOOD.having(profile=name)), "profile")


@clause("roi-pool.error-output-size")
@pytest.mark.parametrize("size", [(0, 7), (7, 0), (-1, 2), (2.5, 2), (2.0, 2), (7,), (1, 2, 3), "77", True, (2, True)])
def test_an_output_size_that_is_no_grid_is_refused(subject, profile, size):
    subject.check_refused(lambda: subject.pool(GOOD.having(output_size=size, profile=profile)), "output_size")


@clause("roi-pool.error-scale")
@pytest.mark.parametrize("scale", [0.0, -0.0, -1.0, np.nan, np.inf, -np.inf, 1e-50, 1e39, "0.5", True])
def test_a_scale_that_is_not_positive_and_finite_in_float32_is_refused(subject, profile, scale):
    subject.check_refused(lambda: subject.pool(GOOD.having(spatial_scale=scale, profile=profile)), "spatial_scale")


@clause("roi-pool.error-image-index")
@pytest.mark.parametrize("index", [-1, 2, 3, 0.5, 1.0000001, np.nan, np.inf, -np.inf, 1e9])
@pytest.mark.parametrize("place", [0, 3, 5])
def test_an_image_index_that_is_no_image_is_refused_with_its_row(subject, profile, index, place):
    case = with_row([index, 0, 0, 2, 2], place).having(profile=profile)
    subject.check_refused(lambda: subject.pool(case), *(f"{name}[{place}]" for name in ROIS))


@clause("roi-pool.error-coordinate")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 16777218.0, -16777218.0, 3e38])
@pytest.mark.parametrize("column", [1, 2, 3, 4])
def test_a_coordinate_that_is_no_place_is_refused_with_its_row(subject, profile, value, column):
    row = [0, 0, 0, 2, 2]
    row[column] = value
    case = with_row(row, 4).having(profile=profile)
    subject.check_refused(lambda: subject.pool(case), *(f"{name}[4]" for name in ROIS))


@clause("roi-pool.error-coordinate")
@pytest.mark.parametrize(("value", "scale"), [(1e6, 100.0), (-1e6, 100.0), (16777216.0, 1.5), (8388609.0, 2.0)])
def test_a_product_beyond_the_range_is_refused_with_its_row(subject, profile, value, scale):
    case = with_row([0, 0, 0, value, 0], 2).having(spatial_scale=scale, profile=profile)
    subject.check_refused(lambda: subject.pool(case), *(f"{name}[2]" for name in ROIS))


@clause("roi-pool.error-coordinate", "roi-pool.grid")
@pytest.mark.parametrize("corner", [16777216.0, -16777216.0])
def test_the_largest_coordinate_is_still_a_place(subject, profile, corner):
    """2^24 itself is in range; extents near 2^25 times P, which is 2^32 for 128 columns, must not overflow."""
    rows = [
        [0, corner, 0, 2, 2],
        [0, 0, corner, 2, 2],
        [0, 0, 0, corner, 2],
        [0, 0, 0, 2, corner],
        [0, -(2.0**24), 0, 2.0**24, 2],
    ]
    case = GOOD.having(rois=np.array(rows, np.float32), profile=profile)
    subject.check_forward(case.having(output_size=(7, 63)))
    # Of so long a RoI the map lies in the middle; of half of it at the end, where the product is largest.
    ending = np.array([[0, -(2.0**24), 0, 2, 2], [0, 0, -(2.0**24), 2, 2], *rows[-1:]], np.float32)
    for size in ((1, 128), (128, 1), (1, 256), (1, 300)):
        subject.check_forward(case.having(rois=ending, output_size=size))


@clause("roi-pool.error-image-index", "roi-pool.error-coordinate")
def test_the_first_offending_row_is_the_one_named(subject, profile):
    rois = np.tile(GOOD.rois[:1], (5, 1))
    rois[2, 0], rois[3, 1] = 7, np.nan
    swapped = rois.copy()
    swapped[[2, 3]] = swapped[[3, 2]]
    for case in (GOOD.having(rois=rois, profile=profile), GOOD.having(rois=swapped, profile=profile)):
        subject.check_refused(lambda case=case: subject.pool(case), *(f"{name}[2]" for name in ROIS))


@clause("roi-pool.error-argmax")
@pytest.mark.parametrize("place", [-2, 9, 10, 2**31 - 1, -(2**31)])
def test_backward_refuses_an_argmax_that_is_no_cell(subject, profile, place):
    argmax = np.array([0, place], np.int64).reshape(2, 1, 1, 1)
    case = Unpooling(np.ones((2, 1, 1, 1), np.float32), argmax, GOOD.rois, (2, 1, 3, 3), profile=profile)
    subject.check_refused(lambda: subject.unpool(case), "argmax")


BACKWARD = Unpooling(np.ones((2, 1, 1, 1), np.float32), np.zeros((2, 1, 1, 1), np.int64), GOOD.rois, (2, 1, 3, 3))


@clause("roi-pool.error-argmax")
@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 1, 1, 1), np.float32), np.zeros((2, 1, 1, 1), bool), np.zeros((2, 1, 1, 2), np.int64)]
)
def test_backward_refuses_an_argmax_of_another_type_or_shape(subject, profile, wrong):
    case = replace(BACKWARD, argmax=wrong, profile=profile)
    subject.check_refused(lambda: subject.unpool(case), "argmax")


@clause("roi-pool.error-rank")
@pytest.mark.parametrize("shape", [(2, 1, 1), (3, 1, 1, 1), (2, 2, 1, 1)])
def test_backward_refuses_a_gradient_of_another_shape(subject, profile, shape):
    ones, zeros = np.ones(shape, np.float32), np.zeros(shape, np.int64)
    case = replace(BACKWARD, grad_output=ones, argmax=zeros, profile=profile)
    subject.check_refused(lambda: subject.unpool(case), "grad_output", "grad")


@clause("roi-pool.error-rank")
@pytest.mark.parametrize("shape", [(1, 3, 3), (2, 1, -1, 3), (2, 1, 3.5, 3), (2, 1, 3.0, 3), (2, 1, 3, 3, 3)])
def test_backward_refuses_features_of_no_shape(subject, profile, shape):
    case = replace(BACKWARD, features_shape=shape, profile=profile)
    subject.check_refused(lambda: subject.unpool(case), "features_shape", "input_size")


@clause("roi-pool.error-type")
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_backward_refuses_a_gradient_that_is_not_floating_point(subject, profile, dtype):
    case = replace(BACKWARD, grad_output=np.ones((2, 1, 1, 1), dtype), profile=profile)
    subject.check_refused(lambda: subject.unpool(case), "grad_output", "grad")


@clause("roi-pool.error-image-index")
@pytest.mark.parametrize("index", [-1, 2, np.nan])
def test_backward_refuses_a_bad_image_index_too(subject, profile, index):
    rois = GOOD.rois.copy()
    rois[1, 0] = index
    zeros = np.zeros((2, 1, 1, 1))
    case = Unpooling(zeros.astype(np.float32), zeros.astype(np.int64), rois, (2, 1, 3, 3), profile=profile)
    subject.check_refused(lambda: subject.unpool(case), *(f"{name}[1]" for name in ROIS))


@clause("roi-pool.unchecked")
@given(data=st.data())
def test_unchecked_an_unusable_roi_is_empty_and_the_others_do_not_notice(subject, profile, data):
    case = data.draw(poolings(profile=profile, least_rois=1)).having(validate=False)
    rois = case.rois.astype(DTYPES["float32"])
    bad = st.sampled_from((np.nan, np.inf, -np.inf, -1.0, 0.5, 1e9, 2.0**25, -(2.0**25), 3e38))
    for _ in range(data.draw(st.integers(1, 4))):
        rois[data.draw(st.integers(0, len(rois) - 1)), data.draw(st.integers(0, 4))] = data.draw(bad)
    subject.check_forward(case.having(rois=rois))
