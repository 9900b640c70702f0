"""Stochastic gradient descent: one update, many updates under a schedule that drops, and the refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frcnn.conformance import tolerance
from frcnn.conformance.cases import DTYPES, apart

clause = pytest.mark.clause

# Of both signs and several sizes, most of them not on a short binary grid; products stay far from the smallest normal.
ELEMENTS = (0.0, -0.0, 1.0, -1.0, 0.1, -0.3, 3.0, 1e-3, -7.7e3, 1 / 3, 1 + 2.0**-23)
RATES = (0.0, 0.001, 0.0001, 0.1, 0.75, 1.0, 2.0)
MULTIPLIERS = (0.0, 1.0, 2.0, 1 / 3)

types = st.sampled_from(("float32", "float64"))


def blobs(shape, dtype_name):
    values = st.sampled_from(ELEMENTS) | st.floats(-4, 4, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.0)
    return hnp.arrays(np.float64, shape, elements=values, fill=values).map(lambda a: a.astype(DTYPES[dtype_name]))


@st.composite
def updates(draw, **fixed):
    """Arguments and options of one update."""
    dtype_name, shape = draw(types), draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    weights, gradients, velocity = (draw(blobs(shape, dtype_name)) for _ in range(3))
    options = {
        "momentum": draw(st.sampled_from((0.0, 0.5, 0.75, 0.9, 1 / 3))),
        "weight_decay": draw(st.sampled_from((0.0, 0.0005, 0.75))),
        "lr_mult": draw(st.sampled_from(MULTIPLIERS)),
        "decay_mult": draw(st.sampled_from(MULTIPLIERS)),
    }
    return (weights, gradients, velocity, draw(st.sampled_from(RATES))), options | fixed


@clause("sgd-step.rates", "sgd-step.decay", "sgd-step.velocity", "sgd-step.update", "sgd-step.roundings")
@given(update=updates())
def test_an_update_is_bit_for_bit_the_one_in_the_order_of_the_page(subject, update):
    arguments, options = update
    subject.check("sgd_step", *arguments, **options)


@clause("sgd-step.velocity", "sgd-step.schedule", "sgd-step.update")
@given(data=st.data())
def test_a_schedule_with_a_drop_leaves_the_velocity_its_size(subject, data):
    """Six updates, the rate a tenth from the third on: each from the state that the one before gave."""
    dtype_name, shape = data.draw(types), (3,)
    weights, velocity = data.draw(blobs(shape, dtype_name)), np.zeros(shape, DTYPES[dtype_name])
    for iteration in range(6):
        rate = (0.1, 0.01, 0.001)[iteration // 2]
        gradients = data.draw(blobs(shape, dtype_name))
        weights, velocity = subject.check("sgd_step", weights, gradients, velocity, rate)


@clause("sgd-step.no-decay")
@given(update=updates(decay_mult=0.0), place=st.sampled_from((np.inf, -np.inf, np.nan)))
def test_without_decay_the_weights_do_not_reach_the_velocity(subject, update, place):
    (weights, *others), options = update
    subject.check("sgd_step", np.full_like(weights, place), *others, **options)


@clause("sgd-step.decay", "sgd-step.velocity")
@given(update=updates(), value=st.sampled_from((np.inf, -np.inf, np.nan)), which=st.integers(0, 2))
def test_infinities_and_nans_go_the_way_of_the_formula(subject, update, value, which):
    (*arrays, rate), options = update
    arrays[which] = np.full_like(arrays[which], value)
    subject.check("sgd_step", *arrays, rate, **options)


@clause("sgd-step.elementwise")
@given(update=updates(), order=st.permutations(range(24)))
def test_permuting_the_elements_permutes_the_result(subject, update, order):
    (*arrays, rate), options = update
    flat = [np.resize(array, 24) if array.size else np.zeros(24, array.dtype) for array in arrays]
    results = subject.call("sgd_step", *flat, rate, **options)
    shuffled = [blob[order] for blob in flat]
    subject.check("sgd_step", *shuffled, rate, expected=tuple(blob[order] for blob in results), **options)


@clause("sgd-step.dtype", "sgd-step.elementwise")
@pytest.mark.parametrize("dtype_name", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (2, 3, 4, 5)], ids=str)
def test_every_shape_and_type_comes_back_as_it_went_in(subject, dtype_name, shape):
    """And each order in memory, of which each blob may have its own."""
    blob = np.linspace(0.3, 1, int(np.prod(shape))).reshape(shape).astype(DTYPES[dtype_name])
    subject.check("sgd_step", blob, blob, blob, 0.001)
    if len(shape) > 1:
        subject.check("sgd_step", blob, np.asfortranarray(blob), apart(blob), 0.001)


@clause("sgd-step.schedule")
@pytest.mark.parametrize(("base", "gamma", "step"), [(0.001, 0.1, 30000), (0.001, 0.1, 40000), (0.5, 0.25, 1)])
def test_the_rate_drops_with_the_first_update_after_each_step(subject, base, gamma, step):
    for drops in (0, 1, 2, 3):
        for iteration in (drops * step, (drops + 1) * step - 1):
            check_rate(subject, iteration, base, gamma, step)


@clause("sgd-step.schedule")
@given(
    iteration=st.integers(0, 10**6) | st.integers(2**24, 2**24 + 10),
    base=st.sampled_from((0.0, 0.001, 1.0, 3.0)),
    gamma=st.sampled_from((0.1, 0.5, 1 / 3, 0.9, 1.0)),
    step=st.sampled_from((1, 3, 7, 1000, 30000, 2**24 + 1)),
)
def test_the_rate_of_any_update_is_base_times_a_power_of_gamma(subject, iteration, base, gamma, step):
    check_rate(subject, iteration, base, gamma, step)


def check_rate(subject, iteration, base, gamma, step):
    __tracebackhide__ = True
    # Drops beyond the 8000th change nothing that a float64 holds, but for a gamma of 1 that changes nothing at all.
    exact = base * gamma ** (iteration // step)
    bound = tolerance.learning_rate_bound(exact, iteration // step)
    subject.check("learning_rate", iteration, base, gamma, step, bound=bound)


ONE = np.ones(2, np.float32)


@clause("sgd-step.error-blob")
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    "wrong",
    [np.ones(2, np.int32), np.ones(2, np.float16), np.ones(2, np.float64), np.ones(3, np.float32), ONE[:, None]],
    ids=["int32", "float16", "float64", "longer", "rank"],
)
def test_blobs_of_another_shape_or_type_are_refused(subject, position, wrong):
    arrays = [ONE, ONE, ONE]
    arrays[position] = wrong
    subject.check_refused(
        lambda: subject.call("sgd_step", *arrays, 0.1), *(["gradients"] if position == 0 else []), NAMES[position]
    )


NAMES = ("weights", "gradients", "velocity")


@clause("sgd-step.error-number")
@pytest.mark.parametrize("name", ["learning_rate", "weight_decay", "lr_mult", "decay_mult", "momentum"])
@pytest.mark.parametrize("wrong", [-1.0, -1e-50, np.nan, np.inf, -np.inf, 1e39, "0.1", True, None], ids=repr)
def test_numbers_that_are_none_or_negative_or_too_large_are_refused_by_name(subject, name, wrong):
    options = {"learning_rate": 0.1, name: wrong}
    subject.check_refused(lambda: subject.call("sgd_step", ONE, ONE, ONE, **options), name)


@clause("sgd-step.error-number")
def test_a_momentum_that_is_one_and_a_rate_that_overflows_in_the_product_are_refused(subject):
    for momentum in (1.0, 0.99999999):  # in float32 the second is 1 too
        subject.check_refused(lambda m=momentum: subject.call("sgd_step", ONE, ONE, ONE, 0.1, momentum=m), "momentum")
    subject.check_refused(lambda: subject.call("sgd_step", ONE, ONE, ONE, 1e38, lr_mult=10.0), "lr_mult")
    subject.check_refused(
        lambda: subject.call("sgd_step", ONE, ONE, ONE, 0.1, weight_decay=1e38, decay_mult=10.0), "decay_mult"
    )


@clause("sgd-step.error-schedule")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        *(("iteration", value) for value in (-1, 0.5, 1.0, 2**53 + 1, None, "1", True)),
        *(("step", value) for value in (0, -1, 2.5, 2.0, 2**53 + 1, True)),
        *(("base", value) for value in (-1.0, np.nan, np.inf, "1")),
        *(("gamma", value) for value in (0.0, -0.1, 2.0, np.nan, None)),
    ],
)
def test_a_schedule_that_is_none_is_refused_by_name(subject, name, wrong):
    options = {"iteration": 1, "base": 0.1, "gamma": 0.1, "step": 10, name: wrong}
    subject.check_refused(lambda: subject.call("learning_rate", **options), name)
