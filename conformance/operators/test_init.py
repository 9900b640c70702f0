"""First weights: the product, the two layers, the moments of what is drawn, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frcnn.conformance import tolerance
from frcnn.conformance.cases import Call

clause = pytest.mark.clause

DRAWS = 100_000
NORMALS = st.sampled_from((0.0, -0.0, 1.0, -1.0, 0.1, -2.3, 1 / 3, 3 + 2.0**-30, 100.0)) | st.floats(-5, 5).map(
    lambda x: x if abs(x) > 1e-6 else 0.0
)


def normals(shape):
    return hnp.arrays(np.float64, shape, elements=NORMALS)


@clause("gaussian-fill.product", "gaussian-fill.shape")
@given(
    numbers=normals(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=3)),
    std=st.sampled_from((0.01, 0.001, 0.0, 1.0, 1 / 3, 1 + 2.0**-24, 5)),
)
def test_weights_are_the_normal_numbers_times_the_std(subject, numbers, std):
    subject.check("gaussian_fill", numbers, std)


@clause("gaussian-fill.layers")
@given(data=st.data(), K1=st.integers(0, 3), D=st.integers(0, 3))
def test_each_layer_has_its_std_and_biases_of_zero(subject, K1, D, data):
    subject.check("new_layers", data.draw(normals((K1, D))), data.draw(normals((4 * K1, D))))


@clause("gaussian-fill.draw")
@pytest.mark.parametrize("seed", [3, 4])
def test_what_is_drawn_has_the_moments_of_the_normal_distribution(subject, seed):
    """The seed is fixed, so this passes or fails for good."""
    generator = np.random.default_rng(seed)
    drawn = np.concatenate([subject.call("draw_normals", (DRAWS // 4, 2), generator).ravel() for _ in range(2)])
    moments = np.array([(drawn**k).mean() for k in (1, 2, 3, 4)] + [(drawn[1:] * drawn[:-1]).mean()])
    case = Call("draw_normals", ((DRAWS // 4, 2), generator), {})
    expected = np.array([0.0, 1.0, 0.0, 3.0, 0.0])
    subject.require_close("the moments", expected, moments, tolerance.moment_bounds(DRAWS - 1), case)


@clause("gaussian-fill.draw")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("generator", ((2, 3), 3)),
        ("generator", ((2, 3), None)),
        *(("shape", (value, np.random.default_rng(3))) for value in (7, (-1, 2), (2.5,), None)),
    ],
)
def test_what_draws_nothing_is_refused_by_name(subject, name, arguments):
    subject.check_refused(lambda: subject.call("draw_normals", *arguments), name)


@clause("gaussian-fill.error-normals")
@pytest.mark.parametrize(
    "wrong", [np.ones(2, "f4"), np.ones(2, int), np.array([1, np.nan]), np.array([-np.inf])], ids=str
)
def test_normal_numbers_that_are_none_are_refused(subject, wrong):
    subject.check_refused(lambda: subject.call("gaussian_fill", wrong, 0.01), "normals")


@clause("gaussian-fill.error-normals")
@pytest.mark.parametrize(
    ("name", "shapes"),
    [("score_normals", ((2,), (8,))), ("box_normals", ((2, 3), (7, 3))), ("box_normals", ((2, 3), (8, 4)))],
)
def test_layers_that_do_not_belong_together_are_refused(subject, name, shapes):
    subject.check_refused(lambda: subject.call("new_layers", *map(np.zeros, shapes)), name)


@clause("gaussian-fill.error-std")
@pytest.mark.parametrize("wrong", [-1, -1e-30, np.nan, np.inf, "0.01", True, None, [0.01]], ids=repr)
def test_a_std_that_is_none_is_refused(subject, wrong):
    subject.check_refused(lambda: subject.call("gaussian_fill", np.zeros(2), wrong), "std")
