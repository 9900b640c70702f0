"""Average precision and the challenge's marks on drawn curves and detections, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn.conformance.cases import DTYPES

clause = pytest.mark.clause

DETECTIONS = np.array([[0, 0.9, 0, 0, 9, 9], [0, 0.8, 0, 0, 9, 5], [1, 0.7, 3, 3, 5, 5]], np.float64)
OBJECTS = np.array([[0, 0, 0, 9, 9, 0], [1, 3, 3, 5, 5, 1]], np.float64)
RECALL, PRECISION = np.array([0.25, 0.25, 0.5]), np.array([1.0, 0.5, 2 / 3])

types = st.sampled_from(("float32", "float64"))
methods = st.sampled_from(("11-point", "area"))
thresholds = st.sampled_from((0.5, 0.3, 0.7, 0.1, 1.0, 0.75, 1 / 3))
scores = st.sampled_from((1.0, 0.5, 0.9, 0.25, 0.0, -0.0, -2.0, np.inf, -np.inf))
# Rows of pixels: overlaps are ratios of small numbers, often exactly the threshold, and often equal to each other.
segments = st.tuples(st.integers(-2, 8), st.sampled_from((0, 1, 2, 3, 4, 4, 5, 7, 9, -1))).map(
    lambda s: (float(s[0]), 0.0, float(s[0] + s[1]), 0.0)
)
broken = st.tuples(*[st.sampled_from((0.1, 1 / 3, 2.5, 7.25, 9.7))] * 2).map(lambda p: (0.1, p[0], 9.3 + p[1], 12.7))
boxes = segments | segments | broken
images = st.sampled_from((0.0, 0.0, 0.0, 1.0, 1.0, 7.0, 2.0**24))


@st.composite
def detections(draw, most=10, values=scores):
    rows = draw(st.lists(st.tuples(images, values, boxes), max_size=most))
    return np.array([(i, s, *box) for i, s, box in rows], np.float64).reshape(-1, 6)


@st.composite
def objects(draw, most=6):
    rows = draw(st.lists(st.tuples(images, boxes, st.sampled_from((0.0, 0.0, 1.0))), max_size=most))
    return np.array([(i, *box, difficult) for i, box, difficult in rows], np.float64).reshape(-1, 6)


@st.composite
def curves(draw):
    """Recall and precision as counts of up to 12 objects give them, or any numbers between 0 and 1."""
    if draw(st.booleans()):
        hits = np.array(draw(st.lists(st.booleans(), max_size=20)), np.int64)
        true = np.cumsum(hits)
        found = int(true[-1]) if len(true) else 0
        total = max(found, draw(st.sampled_from((1, 3, 7, 10, 12, 20))))
        return true / total, true / np.arange(1, len(hits) + 1)
    share = st.floats(0, 1) | st.sampled_from(
        [k / 10 for k in range(11)] + [np.nextafter(k / 10, 0) for k in range(11)]
    )
    recall = sorted(draw(st.lists(share.map(abs), max_size=12)))
    precision = draw(st.lists(share.map(abs), min_size=len(recall), max_size=len(recall)))
    return np.array(recall, np.float64), np.array(precision, np.float64)


@clause(
    "average-precision.eleven-points",
    "average-precision.tenths",
    "average-precision.area",
    "average-precision.order",
    "average-precision.no-points",
)
@given(curve=curves(), method=methods)
def test_the_average_precision_of_a_curve_is_the_specs(subject, curve, method):
    subject.check("average_precision", *curve, method=method)


@clause("average-precision.tenths")
@given(n=st.integers(1, 10**6) | st.integers(2**47, 2**48 - 1), k=st.integers(1, 10), below=st.integers(0, 1))
def test_a_recall_reaches_a_tenth_as_a_fraction_does(subject, n, k, below):
    """The smallest m / n that is at least k / 10, and the one before it, with one point of precision 1."""
    least = -(-k * n // 10)
    m = least - below
    reached = sum(10 * m >= tenth * n for tenth in range(11))
    subject.check(
        "average_precision", np.array([m / n]), np.array([1.0]), method="11-point", expected=np.float64(reached / 11)
    )


@clause("average-precision.area", "average-precision.eleven-points")
@given(curve=curves(), method=methods, place=st.integers(0, 20))
def test_a_point_below_the_curve_changes_nothing(subject, curve, method, place):
    """A detection more that is false: the recall before it, and a precision of 0."""
    recall, precision = curve
    place = min(place, len(recall))
    before = recall[place - 1] if place else 0.0
    expected = np.float64(subject.call("average_precision", recall, precision, method=method))
    arguments = np.insert(recall, place, before), np.insert(precision, place, 0.0)
    subject.check("average_precision", *arguments, method=method, expected=expected)


@clause(
    "voc-evaluation.order",
    "voc-evaluation.overlap",
    "voc-evaluation.largest",
    "voc-evaluation.threshold",
    "voc-evaluation.elsewhere",
    "voc-evaluation.marks",
    "voc-evaluation.recall",
    "voc-evaluation.precision",
    "voc-evaluation.result",
)
@given(found=detections(), truth=objects(), threshold=thresholds, method=methods)
def test_marks_curve_and_average_are_the_specs(subject, found, truth, threshold, method):
    subject.check("evaluate_voc", found, truth, iou_threshold=threshold, method=method)


@clause(
    "voc-evaluation.order",
    "voc-evaluation.largest",
    "voc-evaluation.threshold",
    "voc-evaluation.difficult",
    "voc-evaluation.duplicate",
    "voc-evaluation.recall",
    "voc-evaluation.precision",
    "voc-evaluation.no-object",
)
@given(
    found=st.lists(st.tuples(scores, st.integers(4, 9)), min_size=1, max_size=8),
    truth=st.lists(st.tuples(st.integers(4, 9), st.booleans()), max_size=4),
    method=methods,
)
def test_many_detections_of_few_objects_are_the_specs(subject, found, truth, method):
    """All begin at one pixel in one image, so that nearly every detection finds an object."""
    rows = np.array([(0, score, 0, 0, last, 0) for score, last in found], np.float64)
    each = np.array([(0, 0, 0, last, 0, difficult) for last, difficult in truth], np.float64).reshape(-1, 6)
    subject.check("evaluate_voc", rows, each, method=method)


@clause("voc-evaluation.order", "voc-evaluation.duplicate", "average-precision.area", "average-precision.eleven-points")
@pytest.mark.parametrize("kinds", [("float64", "float64"), ("float64", "float32"), ("float32", "float64")], ids=str)
@pytest.mark.parametrize("method", ["11-point", "area"])
def test_many_detections_with_equal_scores_are_the_specs(subject, method, kinds):
    """More than a sort of few goes about in order; in float64 scores differ that are one in float32."""
    generator = np.random.default_rng(5)
    image = generator.integers(0, 4, (200, 1))
    score = generator.integers(0, 9, (200, 1)) / 8 + 2.0**-40 * generator.integers(0, 2, (200, 1))
    corners = generator.integers(0, 30, (200, 2))
    found = np.concatenate([image, score, corners, corners + generator.integers(6, 14, (200, 2))], axis=1)
    chosen = generator.permutation(200)[:60]
    truth = np.concatenate([found[chosen][:, [0, 2, 3, 4, 5]], generator.integers(0, 2, (60, 1))], axis=1)
    subject.check("evaluate_voc", found.astype(kinds[0]), truth.astype(kinds[1]), method=method)


@clause("voc-evaluation.order", "voc-evaluation.marks")
@given(found=detections(), truth=objects(), method=methods, data=st.data())
def test_the_order_given_decides_ties_alone(subject, found, truth, method, data):
    """Scores that all differ, drawn in any order: the marks go with their rows, all else stays."""
    found[:, 1] = -np.arange(len(found))
    order = np.array(data.draw(st.permutations(range(len(found)))), np.int64)
    marks, *others = subject.call("evaluate_voc", found, truth, method=method)
    expected = (marks[order], *others)
    subject.check("evaluate_voc", found[order], truth, method=method, expected=expected)


@clause("voc-evaluation.difficult", "voc-evaluation.recall")
@given(found=detections(), truth=objects(), method=methods, more=st.integers(1, 3))
def test_difficult_objects_that_nothing_touches_change_nothing(subject, found, truth, method, more):
    far = np.array([(0, 500 + 20 * i, 0, 509 + 20 * i, 9, 1) for i in range(more)], np.float64)
    expected = subject.call("evaluate_voc", found, truth, method=method)
    subject.check("evaluate_voc", found, np.concatenate([far, truth]), method=method, expected=expected)


@clause("voc-evaluation.elsewhere", "voc-evaluation.overlap")
@given(found=detections(), truth=objects(), method=methods)
def test_images_are_names_that_may_be_exchanged(subject, found, truth, method):
    expected = subject.call("evaluate_voc", found, truth, method=method)
    renamed = [rows.copy() for rows in (found, truth)]
    for rows in renamed:
        rows[:, 0] = np.choose(np.searchsorted((0, 1, 7, 2**24), rows[:, 0]), (5, 2**20, 0, 3))
    subject.check("evaluate_voc", *renamed, method=method, expected=expected)


@clause("voc-evaluation.type")
@given(found=detections(), truth=objects(), kinds=st.tuples(types, types), method=methods)
def test_float32_is_widened_before_anything_else(subject, found, truth, kinds, method):
    narrow = found.astype(DTYPES[kinds[0]]), truth.astype(DTYPES[kinds[1]])
    expected = subject.call("evaluate_voc", *(rows.astype(np.float64) for rows in narrow), method=method)
    subject.check("evaluate_voc", *narrow, method=method, expected=expected)


@clause("voc-evaluation.no-detection", "voc-evaluation.no-object")
@pytest.mark.parametrize("method", ["11-point", "area"])
def test_nothing_found_is_zero_and_nothing_to_find_is_no_number(subject, method):
    none, empty = np.zeros((0, 6)), (np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
    subject.check("evaluate_voc", none, OBJECTS, method=method, expected=(*empty, np.float64(0)))
    for truth in (none, OBJECTS[1:]):
        subject.check("evaluate_voc", none, truth, method=method, expected=(*empty, np.float64(np.nan)))


@clause("average-precision.error-curve")
@pytest.mark.parametrize(
    ("name", "recall", "precision"),
    [
        ("recall", RECALL.astype(np.float32), PRECISION),
        ("precision", RECALL, PRECISION.astype(np.float32)),
        ("precision", RECALL, np.ones(3, np.int64)),
        ("recall", RECALL[:, None], PRECISION),
        ("recall", np.float64(1), PRECISION),
        ("precision", RECALL, PRECISION[:2]),
        ("recall[1]", np.array([0, np.nan, 2]), PRECISION),
        ("recall[0]", np.array([-0.1, 0.5, 0.5]), PRECISION),
        ("precision[2]", RECALL, np.array([0, 1, 1.5])),
        ("precision[0]", RECALL, np.array([np.inf, 1, 1.5])),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["11-point", "area"])
def test_a_curve_that_is_none_is_refused(subject, name, recall, precision, method):
    subject.check_refused(lambda: subject.call("average_precision", recall, precision, method=method), name)


@clause("average-precision.error-recall")
@pytest.mark.parametrize("method", ["11-point", "area"])
def test_a_recall_that_falls_is_refused(subject, method):
    recall = np.array([0.6, 0.6, 0.5, 0.1])
    subject.check_refused(lambda: subject.call("average_precision", recall, recall, method=method), "recall[2]")


@clause("average-precision.error-method")
@pytest.mark.parametrize("options", [{"method": "voc07"}, {"method": ""}, {"method": None}, {}], ids=str)
def test_an_unknown_method_or_none_is_refused(subject, options):
    subject.check_refused(lambda: subject.call("average_precision", RECALL, PRECISION, **options), "method")
    subject.check_refused(lambda: subject.call("evaluate_voc", DETECTIONS, OBJECTS, **options), "method")


@clause("voc-evaluation.error-rows")
@pytest.mark.parametrize("name", ["detections", "ground_truth"])
@pytest.mark.parametrize(
    "wrong",
    [np.zeros((3, 5)), np.zeros((2, 7)), np.zeros(6), np.zeros((0, 4)), np.zeros((1, 6), int), np.zeros((1, 6), "f2")],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_rows_of_another_shape_or_type_are_refused(subject, name, wrong):
    refused(subject, name, **{name: wrong})


@clause("voc-evaluation.error-image")
@pytest.mark.parametrize("name", ["detections", "ground_truth"])
@pytest.mark.parametrize("value", [-1, 0.5, np.nan, np.inf, 16777218])
def test_an_image_index_that_is_no_whole_number_is_refused_with_its_row(subject, name, value):
    refused(subject, f"{name}[1]", **{name: having(name, 0, value)})


@clause("voc-evaluation.error-coordinate")
@pytest.mark.parametrize("name", ["detections", "ground_truth"])
@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("value", [np.nan, -np.inf, 16777218])
def test_a_coordinate_that_is_no_place_is_refused_with_its_row(subject, name, column, value):
    refused(subject, f"{name}[1]", **{name: having(name, column + (2 if name == "detections" else 1), value)})


@clause("voc-evaluation.error-score")
def test_a_score_of_nan_is_refused_with_its_row(subject):
    refused(subject, "detections[1]", detections=having("detections", 1, np.nan))


@clause("voc-evaluation.error-difficult")
@pytest.mark.parametrize("value", [2, 0.5, -1, np.nan, np.inf])
def test_a_difficult_that_is_neither_is_refused_with_its_row(subject, value):
    refused(subject, "ground_truth[1]", ground_truth=having("ground_truth", 5, value))


@clause("voc-evaluation.error-threshold")
@pytest.mark.parametrize("value", [0, -0.5, 1.1, np.nan, np.inf, "0.5", True, None])
def test_a_threshold_that_is_no_share_is_refused(subject, value):
    refused(subject, "iou_threshold", iou_threshold=value)


def having(name, column, value):
    rows = (DETECTIONS if name == "detections" else OBJECTS).copy()
    rows[1:, column] = value
    return rows


def refused(subject, name, detections=DETECTIONS, ground_truth=OBJECTS, iou_threshold=0.5):
    __tracebackhide__ = True
    options = {"iou_threshold": iou_threshold, "method": "area"}
    subject.check_refused(lambda: subject.call("evaluate_voc", detections, ground_truth, **options), name)
