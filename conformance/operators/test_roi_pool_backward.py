"""RoI pooling, the gradient: Eq. 4, sums within their bound, what caffe-2015 drops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn import reference
from frcnn.conformance import tolerance
from frcnn.conformance.cases import DTYPES, Pooling, Unpooling, pattern
from frcnn.conformance.operators import each_type
from frcnn.conformance.strategies import gradients, long_poolings, poolings
from frcnn.conformance.subject import unpooling_of

clause = pytest.mark.clause
# Implementations may add in one order or in any, by other code, whichever they do by default.
in_either_mode = pytest.mark.parametrize("deterministic", [None, False], ids=["default", "any-order"])


def pytest_generate_tests(metafunc):
    if "grid" in metafunc.fixturenames:
        metafunc.parametrize("grid", (7, 22) if metafunc.config.frcnn_run.effort == "quick" else (7, 22, 28, 44))


def unpooling(data, profile, dtype_name="float32", roi_type=None, source=poolings, deterministic=None):
    """A backward call after a forward one; argmax is the reference's, so that backward alone is in question."""
    options = {} if source is long_poolings else {"dtype_name": dtype_name, "roi_type": roi_type}
    case = data.draw(source(profile=profile, **options))
    _, argmax = reference.roi_pool(case.features, case.rois, case.output_size, case.spatial_scale, profile=profile)
    call = unpooling_of(case, argmax, data.draw(gradients(argmax.shape, dtype_name)))
    return call.having(deterministic=deterministic)


@clause("roi-pool.backward", "roi-pool.backward-sum")
@in_either_mode
@given(data=st.data())
def test_every_argmax_receives_its_gradient_and_gradients_add(subject, profile, deterministic, data):
    subject.check_backward(unpooling(data, profile, deterministic=deterministic))


@clause("roi-pool.backward-sum")
@in_either_mode
def test_subnormal_gradients_count_in_full_where_they_have_an_order(subject, profile, deterministic):
    """Alone on their cells, and three on one, whose sum is one float32."""
    grad_output = np.array([2.0**-149, -(2.0**-130), 2.0**-140, 2.0**-141, 3 * 2.0**-149], np.float32)
    rois = np.array([[0, x, 0, x, 0] for x in (0, 1, 2, 2, 2)], np.float32)
    argmax = rois[:, 1].astype(np.int64).reshape(-1, 1, 1, 1)
    case = Unpooling(grad_output.reshape(-1, 1, 1, 1), argmax, rois, (1, 1, 1, 3), profile=profile)
    subject.check_backward(case.having(deterministic=deterministic))


@clause("roi-pool.backward-sum")
@given(data=st.data())
def test_many_rois_on_one_cell_add_up(subject, profile, data):
    """One peak and RoIs that all hold it, in one or two images: every output's gradient lands on one cell."""
    images, side = data.draw(st.integers(1, 2)), data.draw(st.integers(3, 9))
    count = data.draw(st.integers(2, 24))
    peak = side // 2
    reach = st.integers(0, peak)
    rois = np.array(
        [
            (
                i % images,
                peak - data.draw(reach),
                peak - data.draw(reach),
                peak + data.draw(reach),
                peak + data.draw(reach),
            )
            for i in range(count)
        ],
        np.float32,
    )
    argmax = np.full((count, 2, 1, 1), peak * side + peak)
    grad_output = data.draw(gradients(argmax.shape))
    subject.check_backward(Unpooling(grad_output, argmax, rois, (images, 2, side, side), profile=profile))


@clause("roi-pool.backward-dropped")
@in_either_mode
@given(data=st.data())
def test_the_profile_decides_what_long_and_malformed_rois_drop(subject, profile, deterministic, data):
    subject.check_backward(unpooling(data, profile, source=long_poolings, deterministic=deterministic))


@clause("roi-pool.backward-dropped")
@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_every_extent_up_to_260_drops_what_the_profile_says(subject, profile, grid, axis):
    """The first and the last cell of each bin of each extent, every gradient a different power of two's multiple."""
    extents = np.arange(1, 261)
    longest = 262
    rois = np.zeros((len(extents), 5), np.float32)
    rois[:, 4 if axis == "rows" else 3] = extents - 1
    shape = (1, 2, longest, 1) if axis == "rows" else (1, 2, 1, longest)
    features = pattern("rising", shape)
    features[:, 1] *= -1
    size = (grid, 1) if axis == "rows" else (1, grid)
    _, argmax = reference.roi_pool(features, rois, size, profile=profile)
    grad_output = (1.0 + np.arange(argmax.size).reshape(argmax.shape) % 61).astype(np.float32)
    subject.check_backward(Unpooling(grad_output, argmax, rois, shape, profile=profile))


@clause("roi-pool.backward")
@given(data=st.data())
def test_backward_trusts_the_argmax_it_is_given(subject, profile, data):
    """Any argmax inside the RoI's bins will do: what forward chose is not computed again."""
    r = data.draw(st.integers(1, 5))
    rois = np.array([(0, 0, 0, 4, 4)] * r, np.float32)
    place = st.sampled_from([-1, *range(25)])
    argmax = np.array([data.draw(place) for _ in range(2 * r)], np.int64).reshape(r, 2, 1, 1)
    subject.check_backward(Unpooling(data.draw(gradients(argmax.shape)), argmax, rois, (1, 2, 5, 5), profile=profile))


@clause("roi-pool.backward-linear")
@given(data=st.data())
def test_backward_is_the_transpose_of_the_gather(subject, profile, data):
    case = unpooling(data, profile)
    grad_features = subject.unpool(case).astype(np.float64)
    total, bound = subject.gradient_bound(case)
    weights = (
        np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))).integers(-8, 9, case.features_shape).astype(float)
    )
    # <backward(g), f> against the same with the exact sums, which is <g, f at argmax> over the gradients kept.
    difference = float((grad_features * weights).sum()) - float((total * weights).sum())
    subject.require_close(
        "<backward(g), f>",
        np.float64(0),
        np.float64(difference),
        tolerance.inner_product_bound(bound, weights, total * weights),
        case,
    )


@clause("roi-pool.accumulate", "roi-pool.dtype")
@pytest.mark.parametrize("dtype_name", ["float16", "bfloat16"])
@pytest.mark.parametrize("count", [2, 65, 257, 600])
@in_either_mode
def test_half_types_add_in_float32(subject, profile, deterministic, dtype_name, count):
    """One gradient of 256 and many small ones, which a sum kept in the half type would lose one after another."""
    for small in (1.0, 0.5, 0.0625):
        grad_output = np.full((count, 1, 1, 1), small)
        grad_output[0] = 256.0
        rois = np.zeros((count, 5), np.float32)
        argmax = np.zeros((count, 1, 1, 1), np.int64)
        case = Unpooling(grad_output.astype(DTYPES[dtype_name]), argmax, rois, (1, 1, 1, 1), profile=profile)
        subject.check_backward(case.having(deterministic=deterministic))


@each_type("roi-pool.dtype", types=("float16", "bfloat16", "float32"))
@in_either_mode
@given(data=st.data())
def test_gradients_and_rois_each_have_their_own_type(subject, profile, deterministic, dtype_name, data):
    subject.check_backward(unpooling(data, profile, dtype_name, deterministic=deterministic))


@clause("roi-pool.dtype-float64")
@pytest.mark.parametrize("roi_type", ["float32", "float64"])
@given(data=st.data())
def test_float64_gradients_add_in_float64(subject, profile, roi_type, data):
    subject.check_backward(unpooling(data, profile, "float64", roi_type))


@clause("roi-pool.repeatable")
@given(data=st.data())
def test_the_deterministic_mode_gives_the_same_bits(subject, profile, data):
    case = unpooling(data, profile)
    case = case.having(deterministic=True)
    once, again = subject.unpool(case), subject.unpool(case)
    subject.require_same("grad_features", once, again, case)


@clause("roi-pool.repeatable")
def test_gradients_whose_order_shows_are_added_in_one_order(subject, profile):
    """On one cell 1 and twice 2^-24: 1 where 1 comes first, more where it comes last. And 2,000 of many sizes."""
    sizes = 10.0 ** (np.arange(2000) % 7 - 3) * (1 + np.arange(2000) % 3)
    for gradients_of_rois in (np.array([1, 2.0**-24, 2.0**-24]), sizes):
        grad_output = gradients_of_rois.astype(np.float32).reshape(-1, 1, 1, 1)
        rois = np.zeros((len(grad_output), 5), np.float32)
        case = Unpooling(grad_output, np.zeros(grad_output.shape, np.int64), rois, (1, 1, 1, 1), profile=profile)
        case = case.having(deterministic=True)
        once, again = subject.unpool(case), subject.unpool(case)
        subject.require_same("grad_features", once, again, case)


@clause("roi-pool.dtype", "roi-pool.backward-dropped")
@in_either_mode
def test_rois_keep_their_type_beside_half_gradients(subject, profile, deterministic):
    """Pixel 259 is 260 in bfloat16: cast to the gradient's type, the RoI would begin behind its own argmax."""
    grad_output = np.ones((1, 1, 1, 1), DTYPES["bfloat16"])
    rois = np.array([[0, 259, 0, 259, 0]], np.float32)
    argmax = np.full((1, 1, 1, 1), 259)
    case = Unpooling(grad_output, argmax, rois, (1, 1, 1, 300), profile=profile)
    subject.check_backward(case.having(deterministic=deterministic))


@clause("roi-pool.no-rois", "roi-pool.channel")
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (0, 3, 4, 5), (2, 0, 4, 5)])
def test_no_roi_gives_no_gradient(subject, profile, shape):
    nothing = np.zeros((0, shape[1], 7, 6), np.float32)
    subject.check_backward(
        Unpooling(nothing, nothing.astype(np.int64), np.zeros((0, 5), np.float32), shape, profile=profile)
    )


@clause("roi-pool.one-cell")
def test_the_one_cell_of_a_map_collects_every_gradient(subject, profile):
    case = Pooling(np.ones((1, 1, 1, 1), np.float32), np.zeros((1, 5), np.float32), (3, 3), profile=profile)
    grad_output = np.array([[[[1, -2, 0.1], [4, 0.3, -8], [0.7, 16, 1e-3]]]], np.float32)
    subject.check_backward(unpooling_of(case, np.zeros((1, 1, 3, 3), np.int64), grad_output))
