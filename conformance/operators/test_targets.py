"""Normalised targets: their statistics, the map and the fold that undoes it, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn import reference
from frcnn.conformance import naive, tolerance
from frcnn.conformance.cases import DTYPES, Call

clause = pytest.mark.clause

# Of both signs and many sizes, and far from 0 with little between them, where squares cancel.
VALUES = (0.0, -0.0, 0.1, -0.3, 0.5, 1.3, -2.0, 1 / 3, 17.3, 1e-4, -7.7e3, 4096.5, 4096.75, 1e8, 1e8 + 8, 3e30)
STDS = (1.0, 0.1, 0.2, 3.0, 1 / 3, 7.25, 1e-3, 1 + 2.0**-24)
# Products and sums of few of these are exact in float32.
SHORT = (0.0, 1.0, -1.0, 0.5, 3.0, -2.0, 0.25, 7.0)

types = st.sampled_from(("float32", "float64"))
label_types = st.sampled_from((np.int32, np.int64))


@st.composite
def targets(draw, dtype_name, class_count, most=9):
    """Targets (R, 4) and labels (R,); a class may have none, one, or one and the same again and again."""
    count = draw(st.integers(0, most))
    rows = draw(st.lists(st.tuples(*[st.sampled_from(VALUES)] * 4), min_size=count, max_size=count))
    labels = draw(st.lists(st.integers(0, class_count - 1), min_size=count, max_size=count))
    array = np.array(rows, np.float64).reshape(-1, 4).astype(DTYPES[dtype_name])
    return array, np.array(labels, draw(label_types))


@st.composite
def statistics(draw, class_count, means=VALUES[:11], stds=STDS):
    numbers = [
        draw(st.lists(st.sampled_from(values), min_size=4 * class_count, max_size=4 * class_count))
        for values in (means, stds)
    ]
    return tuple(np.array(row, np.float64).reshape(-1, 4) for row in numbers)


def check_statistics(subject, array, labels, class_count, profile):
    __tracebackhide__ = True
    formulation = (naive.targets if subject.is_reference else reference).target_statistics
    expected = formulation(array, labels, class_count, profile=profile)
    bound = tolerance.target_bounds(array, labels, expected[1], profile)
    return subject.check(
        "target_statistics", array, labels, class_count, profile=profile, expected=expected, bound=bound
    )


@clause("box-targets.classes", "box-targets.mean", "box-targets.std", "box-targets.empty", "box-targets.background")
@given(data=st.data(), dtype=types, class_count=st.integers(1, 4))
def test_each_class_and_column_has_its_own_mean_and_std(subject, profile, dtype, class_count, data):
    drawn, labels = data.draw(targets(dtype, class_count))
    check_statistics(subject, drawn, labels, class_count, profile)


@clause("box-targets.constant", "box-targets.std", "box-targets.type")
@given(data=st.data(), dtype=types, times=st.sampled_from((1, 2, 3, 6, 7, 127, 128, 129, 200)))
def test_targets_repeated_many_times_have_no_spread(subject, profile, dtype, times, data):
    """In caffe-2015 the difference of the squares is a rounding error, of either sign."""
    array, labels = data.draw(targets(dtype, 2, most=1))
    check_statistics(subject, np.repeat(array, times, axis=0), np.repeat(labels, times), 2, profile)


@clause("box-targets.std", "box-targets.type")
@given(data=st.data(), far=st.sampled_from((0.0, 1e8, -1e8, 2.0**27 + 1, 3e12)), times=st.sampled_from((1, 20)))
def test_a_spread_that_is_small_beside_the_mean_is_found(subject, profile, far, times, data):
    array, labels = data.draw(targets("float64", 3))
    near = np.where(np.abs(array) <= 20, array, 1.0) + far
    check_statistics(subject, np.tile(near, (times, 1)), np.tile(labels, times), 3, profile)


@clause("box-targets.background", "box-targets.classes")
@given(data=st.data(), dtype=types)
def test_background_and_the_other_classes_change_no_statistics(subject, profile, dtype, data):
    array, labels = data.draw(targets(dtype, 3))
    expected = subject.call("target_statistics", array[labels == 1], labels[labels == 1], 2, profile=profile)
    got = subject.call("target_statistics", array, labels, 3, profile=profile)
    bounds = tolerance.target_bounds(array, labels, np.concatenate([expected[1], expected[1][:1]]), profile)
    case = Call("target_statistics", (array, labels, 3), {"profile": profile})
    for want, have, bound in zip(expected, got, bounds, strict=True):
        subject.require_close("the first two classes", want, have[:2], bound[:2], case)


@clause("box-targets.normalised", "box-targets.kept")
@given(data=st.data(), dtype=types, class_count=st.integers(1, 4))
def test_targets_are_normalised_bit_for_bit_and_background_is_not(subject, dtype, class_count, data):
    array, labels = data.draw(targets(dtype, class_count))
    subject.check("normalise_targets", array, labels, *data.draw(statistics(class_count)))


@clause("box-targets.folded")
@given(data=st.data(), dtype=types, class_count=st.integers(1, 3), D=st.integers(0, 3))
def test_statistics_are_folded_bit_for_bit(subject, dtype, class_count, D, data):
    rows = 4 * class_count
    values = st.lists(st.sampled_from(VALUES), min_size=rows * (D + 1), max_size=rows * (D + 1))
    layer = np.array(data.draw(values), np.float64).reshape(rows, D + 1).astype(DTYPES[dtype])
    subject.check("fold_statistics", layer[:, 1:], layer[:, 0], *data.draw(statistics(class_count)))


@clause("box-targets.inverse", "box-targets.folded")
@given(data=st.data(), dtype=types, x=st.lists(st.sampled_from(SHORT), min_size=2, max_size=2))
def test_the_folded_layer_predicts_what_the_layer_predicts_not_normalised(subject, dtype, x, data):
    """Short binary numbers, so that every product and sum is exact in whatever order."""
    means, stds = data.draw(statistics(2, SHORT, (0.0, 1.0, 0.5, 2.0, 3.0)))
    values = data.draw(st.lists(st.sampled_from(SHORT), min_size=24, max_size=24))
    layer = np.array(values, DTYPES[dtype]).reshape(8, 3)
    weights, bias, x = layer[:, 1:], layer[:, 0], np.array(x, DTYPES[dtype])
    folded, shifted = subject.call("fold_statistics", weights, bias, means, stds)
    case = Call("fold_statistics", (weights, bias, means, stds), {})
    expected = (weights @ x + bias) * stds.ravel() + means.ravel()
    subject.require_close(
        "the folded layer's output", expected, folded @ x + shifted, tolerance.equal(expected, dtype), case
    )


@clause("box-targets.folded")
@pytest.mark.parametrize("dtype_name", ["float32", "float64"])
def test_what_overflows_in_folding_is_infinite(subject, dtype_name):
    largest = np.finfo(DTYPES[dtype_name]).max
    layer = np.full((8, 1), largest), np.array([largest, -largest] * 4)
    subject.check("fold_statistics", *layer, np.zeros((2, 4)), np.full((2, 4), 2.0))


@clause("box-targets.mean", "box-targets.error-count", "box-targets.error-labels")
@pytest.mark.parametrize(("count", "labels"), [(301, [300, 44, 300, 255]), (65536, [65535, 1, 32768, 65535])])
def test_classes_are_as_many_as_are_counted(subject, profile, count, labels):
    """Beyond what a byte holds, and the most there may be."""
    array = np.arange(16, dtype=np.float32).reshape(4, 4)
    check_statistics(subject, array, np.array(labels), count, profile)


GOOD = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [0, 0, 0, 0]], np.float32)
LABELS = np.array([1, 1, 0])
STATISTICS = np.zeros((2, 4)), np.ones((2, 4))
LAYER = np.ones((8, 3), np.float32), np.ones(8, np.float32)


def refuse_both(subject, name, array=GOOD, labels=LABELS):
    __tracebackhide__ = True
    subject.check_refused(lambda: subject.call("target_statistics", array, labels, 2), name)
    subject.check_refused(lambda: subject.call("normalise_targets", array, labels, *STATISTICS), name)


@clause("box-targets.error-targets")
@pytest.mark.parametrize(
    "wrong",
    [np.zeros(4, "f4"), np.zeros((3, 5), "f4"), np.zeros((3, 4), int), np.zeros((3, 4), "f2"), np.zeros((3, 4, 1))],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_targets_of_another_shape_or_type_are_refused(subject, wrong):
    refuse_both(subject, "targets", wrong)


@clause("box-targets.error-targets")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**129, -(2.0**129)])
@pytest.mark.parametrize("row", [1, 2])
def test_a_target_that_is_no_number_is_refused_with_its_row(subject, value, row):
    array = GOOD.astype(np.float64)
    array[row, 2] = value
    refuse_both(subject, f"targets[{row}]", array)


@clause("box-targets.error-labels")
@pytest.mark.parametrize("value", [-1, 2, 2**31 - 1])
def test_a_label_of_no_class_is_refused_with_its_row(subject, value):
    refuse_both(subject, "labels[1]", labels=np.array([1, value, 0]))


@clause("box-targets.error-labels")
@pytest.mark.parametrize("wrong", [np.zeros(2, int), np.zeros(4, int), np.zeros((3, 1), int), np.zeros(3)], ids=str)
def test_labels_of_another_shape_or_type_are_refused(subject, wrong):
    refuse_both(subject, "labels", labels=wrong)


@clause("box-targets.error-count")
@pytest.mark.parametrize("value", [0, -1, 2.5, 2.0, 65537, "2", None, True])
def test_a_class_count_that_is_none_is_refused(subject, value):
    none = np.zeros((0, 4)), np.zeros(0, int)
    subject.check_refused(lambda: subject.call("target_statistics", *none, value), "class_count")


def refuse_statistics(subject, name, means, stds):
    __tracebackhide__ = True
    subject.check_refused(lambda: subject.call("normalise_targets", GOOD, LABELS, means, stds), name)
    subject.check_refused(lambda: subject.call("fold_statistics", *LAYER, means, stds), name)


@clause("box-targets.error-statistics")
@pytest.mark.parametrize("name", ["means", "stds"])
@pytest.mark.parametrize(
    "wrong",
    [
        np.ones(8),
        np.ones((2, 3)),
        np.ones((2, 4), "f4"),
        np.ones((2, 4), int),
        np.full((2, 4), np.nan),
        np.array([[1, 1, 1, 1], [1, 1, np.inf, 1]], np.float64),
    ],
    ids=["rank", "columns", "float32", "int64", "nan", "infinity"],
)
def test_statistics_of_another_shape_or_type_or_not_finite_are_refused(subject, name, wrong):
    refuse_statistics(subject, name, **dict(zip(("means", "stds"), STATISTICS, strict=True)) | {name: wrong})


@clause("box-targets.error-statistics")
def test_a_negative_std_and_as_many_stds_as_there_are_no_means_are_refused(subject):
    refuse_statistics(subject, "stds", np.zeros((2, 4)), np.array([[1.0] * 4, [1, -1, 1, 1]]))
    refuse_statistics(subject, "stds", np.zeros((2, 4)), np.ones((3, 4)))


@clause("box-targets.error-zero")
def test_a_class_that_has_targets_and_a_std_of_zero_is_refused(subject):
    means, stds = np.zeros((3, 4)), np.array([[0.0] * 4, [1, 1, 1, 1], [1, 1, 1, 0]])
    subject.check("normalise_targets", GOOD, LABELS, means, stds)
    labels = np.array([1, 2, 0])
    subject.check_refused(lambda: subject.call("normalise_targets", GOOD, labels, means, stds), "stds")


@clause("box-targets.error-layer")
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("weights", (np.ones((7, 3), "f4"), np.ones(8, "f4"))),
        ("weights", (np.ones(8, "f4"), np.ones(8, "f4"))),
        ("weights", (np.ones((8, 3), int), np.ones(8, int))),
        ("weights", (np.ones((8, 3), "f2"), np.ones(8, "f2"))),
        ("bias", (np.ones((8, 3), "f4"), np.ones(4, "f4"))),
        ("bias", (np.ones((8, 3), "f4"), np.ones((8, 1), "f4"))),
        ("bias", (np.ones((8, 3), "f4"), np.ones(8))),
    ],
    ids=["7 rows", "vector", "int64", "float16", "4 rows", "matrix", "two types"],
)
def test_a_layer_that_has_not_four_rows_a_class_is_refused(subject, name, layer):
    subject.check_refused(lambda: subject.call("fold_statistics", *layer, *STATISTICS), name)


@clause("box-targets.error-profile")
@pytest.mark.parametrize("value", ["caffe", "", None])
def test_an_unknown_profile_is_refused(subject, value):
    subject.check_refused(lambda: subject.call("target_statistics", GOOD, LABELS, 2, profile=value), "profile")
