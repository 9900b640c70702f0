"""Pyramid pooling: every level on drawn input, the order of the bins, the gradient, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn import reference
from frcnn.conformance import naive, tolerance
from frcnn.conformance.cases import DTYPES, Call, pattern
from frcnn.conformance.strategies import SPECIAL, TYING, either_order, gradients, long_poolings, poolings

clause = pytest.mark.clause

FEATURES, ROIS = ("features", "input"), ("rois", "boxes")
GOOD, ROI = pattern("rising", (2, 1, 3, 3)), np.array([[0, 0, 0, 2, 2], [1, 0, 0, 2, 2]], np.float32)

dtypes = st.sampled_from(tuple(DTYPES))
pyramids = st.lists(st.sampled_from((1, 2, 3, 4, 6, 7, 9)), min_size=1, max_size=4).map(tuple)


@clause("spp-pool.level", "spp-pool.order")
@given(data=st.data(), levels=pyramids, dtype=dtypes)
def test_every_level_pools_hostile_rois_bit_for_bit(subject, profile, dtype, levels, data):
    elements = data.draw(st.sampled_from((SPECIAL, TYING, (0.5, -1.0, -2.5, 100.0))))
    case = data.draw(poolings(elements, dtype, profile=profile))
    subject.check("spp_pool", case.features, case.rois, levels, case.spatial_scale, profile=profile)


@clause("spp-pool.level")
@given(data=st.data(), levels=st.sampled_from(((7, 1), (1, 2, 4), (1, 2, 3, 6))))
def test_long_rois_show_the_right_windows_at_every_level(subject, profile, levels, data):
    case = data.draw(long_poolings(profile=profile))
    subject.check("spp_pool", case.features, case.rois, levels, case.spatial_scale, profile=profile)


@clause("spp-pool.one-level")
@given(data=st.data(), level=st.integers(1, 7), dtype=dtypes)
def test_one_level_is_roi_pooling_with_its_grid_made_flat(subject, profile, dtype, level, data):
    case = data.draw(poolings(SPECIAL, dtype, profile=profile)).having(output_size=(level, level))
    arguments = case.features, case.rois, (level,), case.spatial_scale
    got = subject.call("spp_pool", *arguments, profile=profile)
    flat = subject.pool(case)[0].reshape(len(case.rois), case.features.shape[1], level * level)
    subject.require_same("spp_pool", flat, got, Call("spp_pool", arguments, {"profile": profile}))


@clause("spp-pool.order")
@given(data=st.data(), levels=pyramids)
def test_levels_stand_in_the_order_they_are_named(subject, profile, levels, data):
    """A pyramid is the pyramids of its levels, side by side."""
    case = data.draw(poolings(profile=profile))
    arguments, options = (case.features, case.rois), {"profile": profile}
    each = [subject.call("spp_pool", *arguments, (level,), case.spatial_scale, **options) for level in levels]
    together = np.concatenate(each, axis=2)
    subject.check("spp_pool", *arguments, levels, case.spatial_scale, expected=together, **options)


@clause("spp-pool.default-levels")
@given(data=st.data())
def test_the_default_is_21_bins(subject, profile, data):
    case = data.draw(poolings(profile=profile))
    named = subject.call("spp_pool", case.features, case.rois, (1, 2, 4), profile=profile)
    subject.check("spp_pool", case.features, case.rois, profile=profile, expected=named)


@clause("spp-pool.backward")
@given(data=st.data(), levels=pyramids, dtype=dtypes)
def test_a_cell_receives_the_gradients_of_every_level(subject, profile, dtype, levels, data):
    case = data.draw(poolings(TYING, dtype, profile=profile))
    shape = len(case.rois), case.features.shape[1], sum(level * level for level in levels)
    check_gradient(subject, data.draw(either_order(data.draw(gradients(shape, dtype)))), case, levels)


@clause("spp-pool.backward")
@pytest.mark.parametrize("dtype_name", ["float16", "bfloat16"])
def test_half_types_add_up_every_level_before_they_round(subject, profile, dtype_name):
    """1 / u, which has no successor in the type, and ones: lost one at a time, they count together."""
    features, roi = np.ones((1, 1, 1, 1), DTYPES[dtype_name]), np.zeros((1, 5), np.float32)
    large = round(1 / tolerance.UNIT_ROUNDOFF[dtype_name])
    gradient = np.array([[[large, 1, 1]]], np.float64).astype(DTYPES[dtype_name])
    whole = np.array([[[[large + 2]]]], np.float64).astype(DTYPES[dtype_name])
    subject.check("spp_pool_backward", gradient, features, roi, (1, 1, 1), profile=profile, expected=whole)


@clause("spp-pool.error-levels")
@pytest.mark.parametrize(
    "levels", [(), (0,), (1, -2), (1.5,), (1.0,), (1, np.nan), 4, "124", (1, True), ((1, 2), (3, 4))]
)
def test_levels_that_are_no_grids_are_refused(subject, profile, levels):
    refused(subject, ("levels",), GOOD, ROI, levels, profile=profile)


@clause("spp-pool.error-roi-pool")
@pytest.mark.parametrize(
    ("names", "features", "rois", "options"),
    [
        (FEATURES, GOOD[0], ROI, {}),
        (FEATURES, GOOD.astype(np.int32), ROI, {}),
        (ROIS, GOOD, ROI[:, 1:], {}),
        (ROIS, GOOD, ROI.astype(np.int64), {}),
        (("rois[1]", "boxes[1]"), GOOD, np.array([[0, 0, 0, 2, 2], [2, 0, 0, 2, 2]], np.float32), {}),
        (("rois[1]", "boxes[1]"), GOOD, np.array([[0, 0, 0, 2, 2], [0, 0, np.nan, 2, 2]], np.float32), {}),
        (("spatial_scale",), GOOD, ROI, {"spatial_scale": 0.0}),
        (("profile",), GOOD, ROI, {"profile": "caffe"}),
    ],
)
def test_what_roi_pooling_refuses_is_refused(subject, names, features, rois, options):
    refused(subject, names, features, rois, (1, 2), **options)


@clause("spp-pool.error-gradient")
@pytest.mark.parametrize(
    "wrong",
    [
        *(np.ones(shape, np.float32) for shape in ((2, 1, 4), (2, 5), (1, 1, 5), (2, 2, 5))),
        np.ones((2, 1, 5), np.float64),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_a_gradient_of_another_shape_or_type_is_refused(subject, profile, wrong):
    arguments = wrong, GOOD, ROI, (1, 2)
    subject.check_refused(lambda: subject.call("spp_pool_backward", *arguments, profile=profile), "grad_output", "grad")


def refused(subject, names, *arguments, **options):
    __tracebackhide__ = True
    subject.check_refused(lambda: subject.call("spp_pool", *arguments, **options), *names)


def check_gradient(subject, gradient, case, levels):
    """Within the bound of the sum of all levels' terms; a cell that none reaches is 0."""
    __tracebackhide__ = True
    formulation = (naive.OPERATORS if subject.is_reference else vars(reference))["spp_pool_backward"]
    features, exact = case.features.astype(np.float64), gradient.astype(np.float64)
    call, options = (case.rois, levels, case.spatial_scale), {"profile": case.profile}
    total, sizes, terms = (
        formulation(part, features, *call, **options) for part in (exact, np.abs(exact), np.ones_like(exact))
    )
    bound = np.where(terms > 0, tolerance.sum_bound(terms, sizes, total, gradient.dtype.name, in_order=False), 0.0)
    subject.check("spp_pool_backward", gradient, case.features, *call, expected=total, bound=bound, **options)
