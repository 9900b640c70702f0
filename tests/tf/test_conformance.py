"""The op gives the reference's numbers: forward bit for bit, backward within the suite's derived bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frcnn import reference
from frcnn.backends.tf import library
from frcnn.conformance.cases import DTYPES, Pooling, pattern
from frcnn.conformance.strategies import ORDINARY, SPECIAL, TYING, gradients, long_poolings, poolings
from frcnn.conformance.subject import unpooling_of

hostile = settings(max_examples=60, deadline=None)
every_type = pytest.mark.parametrize("dtype_name", list(DTYPES))
elements = st.sampled_from((ORDINARY, TYING, SPECIAL))


@every_type
@hostile
@given(data=st.data())
def test_output_and_argmax_are_bitwise_the_reference_s(subject, profile, dtype_name, data):
    roi_type = data.draw(st.sampled_from(list(DTYPES)))
    case = data.draw(poolings(data.draw(elements), dtype_name, roi_type=roi_type, profile=profile))
    subject.check_forward(case)
    subject.check_forward(case.having(with_argmax=False))


@hostile
@given(data=st.data())
def test_long_rois_have_the_profile_s_own_windows(subject, profile, data):
    subject.check_forward(data.draw(long_poolings(profile=profile)))


@every_type
@hostile
@given(data=st.data())
def test_gradients_add_up_within_the_bound(subject, profile, dtype_name, data):
    case = data.draw(st.one_of(poolings(dtype_name=dtype_name, profile=profile), long_poolings(profile=profile)))
    argmax = reference.roi_pool(*_arguments(case), profile=profile)[1]
    subject.check_backward(unpooling_of(case, argmax, data.draw(gradients(argmax.shape, dtype_name))))


@hostile
@given(data=st.data())
def test_the_gather_is_the_exact_transpose_of_the_gradient(profile, data):
    _assert_transposed(data.draw(st.one_of(poolings(profile=profile), long_poolings(profile=profile))))


@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_the_gather_drops_what_the_gradient_drops(profile, axis):
    """At P = 22 and an extent of 58 the float32 edges of caffe-2015's two passes part for the first time."""
    rois, size = np.zeros((70, 5), np.float32), (1, 1, 70, 1)
    rois[:, 4] = np.arange(70)
    case = Pooling(pattern("rising", size), rois, (22, 1), profile=profile)
    if axis == "columns":
        turned = case.features.reshape(1, 1, 1, 70)
        case = case.having(features=turned, rois=rois[:, [0, 2, 1, 4, 3]], output_size=(1, 22))
    dropped = _assert_transposed(case)
    assert (dropped > 0) == (profile == "caffe-2015")


@pytest.mark.parametrize("shape", [(2, 3, 0, 4), (2, 3, 4, 0), (2, 0, 4, 4), (1, 1, 1, 1)])
@pytest.mark.parametrize("rois", [0, 1, 3])
def test_empty_maps_no_channels_and_no_rois_have_empty_answers(subject, profile, shape, rois):
    boxes = np.tile(np.float32([[0, 0, 0, 2, 2]]), (rois, 1))
    arguments = (np.ones(shape, np.float32), boxes, (2, 3))
    for expected, got in zip(
        reference.roi_pool(*arguments, profile=profile),
        subject.backend.roi_pool(*arguments, profile=profile),
        strict=True,
    ):
        np.testing.assert_array_equal(got, expected, strict=True)
    argmax = np.full((rois, shape[1], 2, 3), -1)
    got = subject.backend.roi_pool_backward(argmax.astype(np.float32), argmax, boxes, shape, profile=profile)
    np.testing.assert_array_equal(got, np.zeros(shape, np.float32), strict=True)


def _assert_transposed(case):
    """<backward(g), v> = <g, gather(v)>: all terms are small whole numbers, so no rounding is in the way.

    Returns how many gradients the gather drops, of those that have an argmax.
    """
    argmax = reference.roi_pool(*_arguments(case), profile=case.profile)[1].transpose(0, 2, 3, 1).astype(np.int32)
    N, C, H, W = case.features.shape
    draw = np.random.default_rng(11)
    g = draw.integers(-8, 9, argmax.shape).astype(np.float64)
    v = draw.integers(1, 9, (N, H, W, C)).astype(np.float64)
    ops, shared = library.load(), {"boxes": case.rois, "spatial_scale": case.spatial_scale, "profile": case.profile}
    scattered = ops.frcnn_roi_pool_grad(grad=g, argmax=argmax, input_size=(N, H, W, C), **shared).numpy()
    gathered = ops.frcnn_roi_pool_gather(grad=v, argmax=argmax, **shared).numpy()
    assert (scattered * v).sum() == (g * gathered).sum()
    return int(((argmax >= 0) & (gathered == 0)).sum())


def _arguments(case):
    return case.features, case.rois, case.output_size, case.spatial_scale
