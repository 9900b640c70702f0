"""Smooth L1, the log loss and the multi-task loss: drawn input against the truth in float64, and the refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frcnn import reference
from frcnn.conformance import naive, tolerance
from frcnn.conformance.cases import DTYPES, Call
from frcnn.conformance.strategies import arrays, either_order

clause = pytest.mark.clause

BEFORE_ONE = float(np.nextafter(np.float32(1), np.float32(0)))
# The knee from both sides, zeros, and what float32 cannot square exactly.
KNEES = (-1.0, 1.0, BEFORE_ONE, -BEFORE_ONE, 2 - BEFORE_ONE, 0.0, -0.0, 0.5, -0.3, 0.1, 1 / 3, 7.7, -1e4, 3e38, 1e-12)
# Without what float32 sums cannot hold.
ORDINARY_KNEES = KNEES[:-2]
SCORES = (0.0, 1.0, -1.0, 0.1, 5.0, -20.0, 30.3)
# Probabilities around FLT_MIN: log FLT_MIN is -87.3365.
NEAR_CLAMP = (0.0, -86.0, -87.0, -87.3, -87.3365, -87.34, -88.0, -89.0, -104.0)
FAR_SCORES = (1e4, -1e4, 0.0, 9999.0, 3e38, -3e38)
SPECIAL_SCORES = (np.nan, np.inf, -np.inf, -np.inf, 0.0, 1.0)
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, 2.0)

types = st.sampled_from(("float32", "float64"))
label_types = st.sampled_from((np.int64, np.int32, np.uint8, np.int16, np.uint64))


def truth(operator, subject, *arguments, **options):
    """The answer in float64: of the second formulation where the reference is held to it, else the reference's."""
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arguments]
    formulation = naive.OPERATORS[operator] if subject.is_reference else getattr(reference, operator)
    return formulation(*wide, **options)


def check_types(subject, results, operator, arguments, options):
    """Every result has the type of the first argument."""
    __tracebackhide__ = True
    for number, result in enumerate(results):
        nothing, case = np.zeros(0, arguments[0].dtype), Call(operator, arguments, options)
        subject.require_same(f"{operator}'s result {number}, its type", nothing, np.ravel(result)[:0], case)


def check_smooth_l1(subject, x, profile):
    __tracebackhide__ = True
    results = subject.check("smooth_l1", x, bound=(None, 0.0), profile=profile)
    check_types(subject, results, "smooth_l1", (x,), {"profile": profile})


def check_log_loss(subject, scores, labels, profile):
    __tracebackhide__ = True
    arguments, options = (scores, labels), {"profile": profile}
    bounds = tolerance.log_loss_bounds(scores.astype(np.float64), labels, scores.dtype.name, profile)
    losses, gradients = truth("softmax_log_loss", subject, *arguments, **options)
    expected = np.where(losses > np.finfo(scores.dtype).max, np.inf, losses), gradients  # log-loss.stable
    results = subject.check("softmax_log_loss", *arguments, expected=expected, bound=bounds, **options)
    check_types(subject, results, "softmax_log_loss", arguments, options)


def check_multi_task_loss(subject, arguments, lambda_, profile):
    __tracebackhide__ = True
    scores, _, labels, _ = arguments
    options = {"lambda_": lambda_, "profile": profile}
    expected = truth("multi_task_loss", subject, *arguments, **options)
    wide = scores.astype(np.float64)
    bounds = tolerance.multi_task_loss_bounds(expected, wide, labels, lambda_, scores.dtype.name, profile)
    results = subject.check("multi_task_loss", *arguments, expected=expected, bound=bounds, **options)
    check_types(subject, results, "multi_task_loss", arguments, options)


def drawn(elements, shape, dtype_name, between=6.0):
    """An array of some of the elements and of numbers between them."""
    return arrays(elements, shape, dtype_name, between)


@st.composite
def classifications(draw, elements=SCORES, between=6.0, least=0):
    """Scores of up to four RoIs and classes, and their labels."""
    R, columns = draw(st.integers(least, 4)), draw(st.integers(1, 4))
    scores = draw(drawn(elements, (R, columns), draw(types), between))
    labels = draw(hnp.arrays(draw(label_types), R, elements=st.integers(0, columns - 1)))
    return scores, labels


@st.composite
def detections(draw, elements=ORDINARY_KNEES, least=0, scores=SCORES):
    """What multi_task_loss takes: differences of offsets on the knee of smooth L1, beside it and far from it."""
    scores, labels = draw(classifications(scores, least=least))
    (R, columns), name = scores.shape, scores.dtype.name
    deltas = draw(drawn(elements, (R, 4 * columns), name))
    targets = draw(drawn((0.0, 0.0, 0.5, 1.0, -1.0), (R, 4), name, 2.0))
    return scores, deltas, labels, targets


# smooth L1


@clause("smooth-l1.value", "smooth-l1.derivative", "smooth-l1.dtype")
@given(data=st.data())
def test_smooth_l1_is_right_bit_for_bit_and_its_derivative_as_a_number(subject, profile, data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4))
    x = data.draw(drawn(KNEES, shape, data.draw(types), 2.0))
    check_smooth_l1(subject, data.draw(either_order(x)) if x.ndim > 1 else x, profile)


@clause("smooth-l1.value", "smooth-l1.derivative")
@pytest.mark.parametrize("dtype_name", ["float32", "float64"])
def test_smooth_l1_meets_itself_on_both_sides_of_each_knee(subject, profile, dtype_name):
    one = DTYPES[dtype_name].type(1)
    below, above = np.nextafter(one, 0 * one), np.nextafter(one, 2 * one)
    check_smooth_l1(subject, np.array([-above, -one, -below, -0.0, 0.0, below, one, above], one.dtype), profile)


@clause("smooth-l1.not-finite")
@given(data=st.data())
def test_smooth_l1_of_what_is_no_number_is_what_the_profile_says(subject, profile, data):
    check_smooth_l1(subject, data.draw(drawn(SPECIAL, (4,), data.draw(types))), profile)


@clause("smooth-l1.dtype")
@pytest.mark.parametrize("wrong", [np.ones(2, np.int64), np.ones(2, np.float16), np.ones(2, bool)], ids=["i", "h", "b"])
def test_smooth_l1_of_another_type_is_refused(subject, wrong):
    subject.check_refused(lambda: subject.call("smooth_l1", wrong), "x")


# log loss


@clause("log-loss.value", "log-loss.gradient", "log-loss.bound")
@given(data=st.data())
def test_the_log_loss_and_its_gradient_are_within_their_bounds(subject, profile, data):
    scores, labels = data.draw(classifications())
    check_log_loss(subject, scores, labels, profile)


@clause("log-loss.stable", "log-loss.bound")
@given(data=st.data())
def test_scores_far_apart_give_the_true_loss_and_beyond_the_type_infinity(subject, data):
    scores, labels = data.draw(classifications(FAR_SCORES, 9000.0))
    check_log_loss(subject, scores, labels, "exact")


@clause("log-loss.stable")
@pytest.mark.parametrize("dtype_name", ["float32", "float64"])
def test_a_loss_beyond_the_largest_number_is_infinite(subject, dtype_name):
    largest = np.finfo(DTYPES[dtype_name]).max
    check_log_loss(subject, np.array([[largest, -largest], [largest, 0.0]]), np.array([1, 1]), "exact")


@clause("log-loss.stable")
@pytest.mark.parametrize("dtype_name", ["float32", "float64"])
@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 3e38, -3e38], ids=str)
def test_a_shift_of_all_scores_changes_nothing(subject, profile, dtype_name, shift):
    scores = np.array([[0.0, 0.0, 0.0]], DTYPES[dtype_name]) + DTYPES[dtype_name].type(shift)
    check_log_loss(subject, scores, np.array([2]), profile)


@clause("log-loss.clamp", "log-loss.gradient")
@given(data=st.data())
def test_the_loss_ends_at_flt_min_where_the_profile_says_so(subject, profile, data):
    scores, labels = data.draw(classifications(NEAR_CLAMP, 200.0))
    check_log_loss(subject, scores, labels, profile)


@clause("log-loss.not-finite")
@given(data=st.data())
def test_scores_that_are_no_numbers_go_the_way_of_the_formula(subject, profile, data):
    scores, labels = data.draw(classifications(SPECIAL_SCORES))
    check_log_loss(subject, scores, labels, profile)


@clause("log-loss.row")
@given(data=st.data())
def test_a_row_is_judged_alone(subject, profile, data):
    """The rows of NaN beside it change nothing, and the losses are in the order of the rows."""
    scores, labels = data.draw(classifications(least=1))
    spoilt = np.repeat(scores, 2, axis=0)
    spoilt[1::2] = np.nan
    check_log_loss(subject, spoilt, np.repeat(labels, 2), profile)


@clause("log-loss.row")
@pytest.mark.parametrize("columns", [1, 2, 21])
def test_no_rois_have_no_losses(subject, profile, columns):
    arguments = np.zeros((0, columns), np.float32), np.zeros(0, np.int64)
    subject.check("softmax_log_loss", *arguments, profile=profile)


@clause("log-loss.error-scores")
@pytest.mark.parametrize(
    "wrong",
    [np.zeros(2), np.zeros((0, 0)), np.zeros((2, 3, 1)), np.zeros((2, 3), np.int64), np.zeros((2, 3), np.float16)],
    ids=["rank-1", "no-column", "rank-3", "int64", "float16"],
)
def test_scores_of_another_shape_or_type_are_refused(subject, wrong):
    labels = np.zeros(len(wrong), np.int64)
    subject.check_refused(lambda: subject.call("softmax_log_loss", wrong, labels), "scores")


WRONG_LABELS = [
    pytest.param(np.array([0, -1]), "labels[1]", id="-1"),
    pytest.param(np.array([-100, 0]), "labels[0]", id="-100"),
    pytest.param(np.array([3, 4]), "labels[0]", id="K+1"),
    pytest.param(np.array([0.0, 1.0]), "labels", id="float"),
    pytest.param(np.array([True, False]), "labels", id="bool"),
    pytest.param(np.array([0, 1, 2]), "labels", id="one-too-many"),
    pytest.param(np.array([[0], [1]]), "labels", id="column"),
]


@clause("log-loss.error-labels")
@pytest.mark.parametrize(("labels", "name"), WRONG_LABELS)
def test_labels_that_are_no_classes_are_refused_by_row(subject, profile, labels, name):
    scores = np.zeros((2, 3), np.float32)
    subject.check_refused(lambda: subject.call("softmax_log_loss", scores, labels, profile=profile), name)


# both


@clause(
    "multi-task-loss.sum",
    "multi-task-loss.reduce",
    "multi-task-loss.indicator",
    "multi-task-loss.gradients",
    "multi-task-loss.bound",
)
@given(data=st.data(), lambda_=st.sampled_from((1.0, 0.0, 0.1, 2.0, 10)))
def test_the_loss_its_parts_and_its_gradients_are_within_their_bounds(subject, profile, data, lambda_):
    check_multi_task_loss(subject, data.draw(detections()), lambda_, profile)


@clause("multi-task-loss.reduce")
@given(data=st.data())
def test_as_many_rois_of_background_halve_the_box_loss(subject, profile, data):
    scores, deltas, labels, targets = data.draw(detections(least=1))
    doubled = (
        np.tile(scores, (2, 1)),
        np.tile(deltas, (2, 1)),
        np.append(labels, 0 * labels),
        np.tile(targets, (2, 1)),
    )
    check_multi_task_loss(subject, doubled, 1.0, profile)


@clause("multi-task-loss.unselected")
@given(data=st.data())
def test_what_does_not_enter_counts_as_the_profile_says(subject, profile, data):
    scores, deltas, labels, targets = data.draw(detections(least=1))
    where = np.ones((len(labels), scores.shape[1], 4), bool)
    where[np.arange(len(labels)), labels] = (labels == 0)[:, None]
    spoil = data.draw(drawn(SPECIAL, deltas.shape, deltas.dtype.name))
    deltas = np.where(where.reshape(deltas.shape), spoil, deltas)
    targets = np.where((labels == 0)[:, None], targets.dtype.type(np.nan), targets)
    check_multi_task_loss(subject, (scores, deltas, labels, targets), 1.0, profile)


@clause("multi-task-loss.indicator", "smooth-l1.not-finite")
@given(data=st.data(), where=st.sampled_from(("deltas", "targets")))
def test_what_is_no_number_and_enters_shows_in_loss_and_gradient(subject, profile, data, where):
    scores, deltas, labels, targets = data.draw(detections(least=1))
    if where == "deltas":
        deltas = data.draw(drawn(SPECIAL, deltas.shape, deltas.dtype.name))
    else:
        targets = data.draw(drawn(SPECIAL, targets.shape, targets.dtype.name))
    check_multi_task_loss(subject, (scores, deltas, labels, targets), 1.0, profile)


@clause("multi-task-loss.sum")
@pytest.mark.parametrize("dtype_name", ["float32", "float64"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_box_loss_that_is_no_number_shows_with_a_lambda_of_0_too(subject, profile, dtype_name, value):
    deltas = np.zeros((1, 8), DTYPES[dtype_name])
    deltas[0, 4] = value
    arguments = np.zeros((1, 2), deltas.dtype), deltas, np.array([1]), np.zeros((1, 4), deltas.dtype)
    check_multi_task_loss(subject, arguments, 0.0, profile)


@clause("multi-task-loss.no-rois")
@pytest.mark.parametrize("dtype_name", ["float32", "float64"])
def test_no_rois_have_no_loss(subject, profile, dtype_name):
    kind = DTYPES[dtype_name]
    arguments = np.zeros((0, 3), kind), np.zeros((0, 12), kind), np.zeros(0, np.int64), np.zeros((0, 4), kind)
    subject.check("multi_task_loss", *arguments, profile=profile)


GOOD = {
    "scores": np.zeros((2, 3), np.float32),
    "deltas": np.zeros((2, 12), np.float32),
    "labels": np.array([0, 2]),
    "targets": np.zeros((2, 4), np.float32),
}


@clause("multi-task-loss.error-shape")
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("deltas", np.zeros((2, 8), np.float32)),
        ("deltas", np.zeros((2, 3, 4), np.float32)),
        ("deltas", np.zeros((1, 12), np.float32)),
        ("deltas", np.zeros((2, 12))),
        ("targets", np.zeros((2, 12), np.float32)),
        ("targets", np.zeros((4,), np.float32)),
        ("targets", np.zeros((2, 4))),
        ("targets", np.zeros((2, 4), np.int32)),
        ("scores", np.zeros((2, 3), np.float16)),
        ("labels", np.array([0, 3])),
    ],
    ids=str,
)
def test_shapes_and_types_that_do_not_fit_are_refused_by_name(subject, name, wrong):
    subject.check_refused(lambda: subject.call("multi_task_loss", **(GOOD | {name: wrong})), name)


@clause("multi-task-loss.error-lambda")
@pytest.mark.parametrize("wrong", [-1.0, -1e-50, np.nan, np.inf, 1e39, "1", True, None], ids=repr)
def test_a_lambda_that_is_none_is_refused(subject, wrong):
    subject.check_refused(lambda: subject.call("multi_task_loss", **GOOD, lambda_=wrong), "lambda_")
