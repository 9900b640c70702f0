"""Truncated SVD: what every choice of singular vectors has in common, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frcnn.conformance import tolerance
from frcnn.conformance.cases import DTYPES, Call
from frcnn.conformance.naive import svd
from frcnn.conformance.strategies import either_order

clause = pytest.mark.clause

W = np.array([[3, 0, 1], [0, 2, 0]], np.float32)
BIAS = np.array([0.5, -0.0], np.float32)

# Symmetric and orthogonal, with entries of 1/2: products with whole numbers are exact, and so are the singular values.
H = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2

types = st.sampled_from(("float32", "float64"))
ELEMENTS = st.sampled_from((0.0, 1.0, -1.0, 2.0, 0.1, -3.5)) | st.floats(-4, 4, width=32).map(
    lambda x: x if abs(x) > 1e-3 else 0.0
)


@st.composite
def known(draw):
    """(W, its singular values, its parts): W = sum of the parts, by falling singular value, each of rank 1."""
    values = np.array(sorted(draw(st.lists(st.integers(0, 6), min_size=4, max_size=4)), reverse=True))
    rows, columns = draw(st.permutations(range(4))), draw(st.permutations(range(4)))
    signs = np.array(draw(st.lists(st.sampled_from((-1, 1)), min_size=4, max_size=4)))
    padding = [(0, draw(st.integers(0, 3))), (0, draw(st.integers(0, 3)))]
    left, right = H[rows], signs[:, None] * H[columns]
    parts = [np.pad(s * np.outer(left[:, i], right[:, i]), padding) for i, s in enumerate(values)]
    total = np.sum(parts, axis=0)
    values = np.pad(values, (0, min(total.shape) - 4))
    return total, values.astype(np.float64), parts


@st.composite
def matrices(draw, dtype_name):
    """Weights of up to 6 x 6, many of them of less than full rank, in three sizes."""
    u, v = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    weights = draw(hnp.arrays(np.float64, (u, v), elements=ELEMENTS, fill=ELEMENTS))
    if draw(st.booleans()):
        weights[-1] = weights[0]
        weights[:, -1] = 2 * weights[:, 0]
    return (weights * draw(st.sampled_from((1.0, 2.0**-30, 2.0**30)))).astype(DTYPES[dtype_name])


@clause("svd-layers.best", "svd-layers.bound", "svd-layers.parameters", "svd-layers.dtype", "svd-layers.deficient")
@given(data=st.data(), dtype=types)
def test_the_product_is_as_near_as_a_matrix_of_its_rank_can_be(subject, dtype, data):
    weights = data.draw(either_order(data.draw(matrices(dtype))))
    t = data.draw(st.integers(1, min(weights.shape)))
    check_layers(subject, weights, t, svd.singular_values(weights))


@clause("svd-layers.bound", "svd-layers.best")
@pytest.mark.parametrize(("dtype_name", "small"), [("float32", 2.0**-14), ("float64", 2.0**-28)])
@pytest.mark.parametrize("t", [1, 2, 3])
def test_a_small_singular_value_beside_a_large_one_is_not_lost(subject, dtype_name, small, t):
    """Its square, an eigenvalue of W W^T, is below the roundoff of the large one's."""
    weights = np.outer(H[0], H[0]) + small * np.outer(H[1], H[1])
    check_layers(subject, weights.astype(DTYPES[dtype_name]), t, np.array([1, small, 0, 0]))


@clause("svd-layers.repeated", "svd-layers.best", "svd-layers.first", "svd-layers.second", "svd-layers.deficient")
@given(case=known(), dtype=types, data=st.data())
def test_known_singular_values_equal_ones_and_zeros_among_them(subject, dtype, case, data):
    weights, values, _ = case
    t = data.draw(st.integers(1, len(values)))
    check_layers(subject, weights.astype(DTYPES[dtype]), t, values)


@clause("svd-layers.choice", "svd-layers.product")
@given(case=known(), dtype=types, data=st.data())
def test_where_one_approximation_is_best_the_product_is_that(subject, dtype, case, data):
    weights, values, parts = case
    gaps = np.append(values[:-1] - values[1:], 0.0)
    gaps[[not values[t:].any() for t in range(1, len(values) + 1)]] = np.inf
    t = data.draw(st.sampled_from([t for t in range(1, len(values) + 1) if gaps[t - 1] > 0]))
    expected, weights = sum(parts[:t]).astype(DTYPES[dtype]), weights.astype(DTYPES[dtype])
    bound = tolerance.svd_product_bound(weights, values[0], gaps[t - 1], dtype)
    subject.check("svd_approximation", weights, t, expected=expected, bound=bound)


@clause("svd-layers.product", "svd-layers.best", "svd-layers.dtype")
@given(data=st.data(), dtype=types)
def test_the_one_layer_is_as_near_as_the_two(subject, dtype, data):
    weights = data.draw(matrices(dtype))
    t = data.draw(st.integers(1, min(weights.shape)))
    product = subject.call("svd_approximation", weights, t)
    case = Call("svd_approximation", (weights, t), {})
    subject.require_same("the type and shape", np.zeros_like(weights), np.zeros_like(product), case)
    check_errors(subject, weights, product.astype(np.float64), svd.singular_values(weights)[t:], case)


@clause("svd-layers.bias", "svd-layers.dtype")
@given(data=st.data(), dtype=types)
def test_the_second_layer_keeps_the_bias(subject, dtype, data):
    weights = data.draw(matrices(dtype))
    bias = data.draw(hnp.arrays(np.float64, len(weights), elements=st.sampled_from((0.0, -0.0, 0.1, np.inf, np.nan))))
    bias = bias.astype(DTYPES[dtype])
    subject.check("truncated_svd", weights, 1, bias, expected=(None, None, bias))
    subject.check("truncated_svd", weights, 1, expected=(None, None, np.zeros(len(weights), DTYPES[dtype])))


@clause("svd-layers.error-weights")
@pytest.mark.parametrize(
    "wrong",
    [
        W[0],
        W[None],
        W[:0],
        W[:, :0],
        W.astype(np.float16),
        W.astype(np.int64),
        np.full((2, 2), np.finfo(np.float64).max),
        np.array([[3e38, 3e38]], np.float32),  # s_1 is 4.2e38
    ],
)
def test_weights_that_are_no_matrix_are_refused(subject, wrong):
    refused(subject, "weights", wrong, 1)


@clause("svd-layers.error-weights")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused_with_its_place(subject, value):
    wrong = W.copy()
    wrong[0, 2] = wrong[1, 0] = value
    refused(subject, "weights[0, 2]", wrong, 1)


@clause("svd-layers.error-rank")
@pytest.mark.parametrize("wrong", [0, -1, 3, 2**40, 1.5, 2.0, "one", None, True])
def test_a_rank_out_of_range_is_refused(subject, wrong):
    refused(subject, "t", W, wrong)


@clause("svd-layers.error-bias")
@pytest.mark.parametrize("wrong", [np.zeros(3, np.float32), BIAS[:, None], BIAS[0], BIAS.astype(np.float64)])
def test_a_bias_of_another_shape_or_type_is_refused(subject, wrong):
    subject.check_refused(lambda: subject.call("truncated_svd", W, 1, wrong), "bias")


def check_layers(subject, weights, t, values):
    """Shapes, type, orthogonality, lengths and errors of the two layers; values are the singular values."""
    __tracebackhide__ = True
    first, second, _ = subject.call("truncated_svd", weights, t)
    case, (u, v) = Call("truncated_svd", (weights, t), {}), weights.shape
    for name, layer, shape in (("first", first, (t, v)), ("second", second, (u, t))):
        subject.require_same(
            f"the type and shape of {name}", np.zeros(shape, weights.dtype), np.zeros_like(layer), case
        )
    first, second = first.astype(np.float64), second.astype(np.float64)
    unit, squares = tolerance.svd_gram_bounds(weights, weights.dtype.name)
    subject.require_close("second^T second", np.eye(t), second.T @ second, unit, case)
    subject.require_close("first first^T", np.diag(values[:t] ** 2), first @ first.T, squares, case)
    check_errors(subject, weights, second @ first, values[t:], case)


def check_errors(subject, weights, product, dropped, case):
    """Both errors of the product are what the values that were dropped say."""
    __tracebackhide__ = True
    rest, bound = weights.astype(np.float64) - product, tolerance.svd_error_bound(weights, weights.dtype.name)
    expected = np.array([np.linalg.norm(dropped), dropped.max(initial=0.0)])
    got = np.array([np.linalg.norm(rest), np.linalg.norm(rest, 2)])
    subject.require_close("the Frobenius and spectral errors", expected, got, bound, case)


def refused(subject, name, weights, t):
    __tracebackhide__ = True
    for operator in ("truncated_svd", "svd_approximation"):
        subject.check_refused(lambda operator=operator: subject.call(operator, weights, t), name)
