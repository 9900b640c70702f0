"""The steps from scores to detections: drawn sets of images, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn.conformance.box_strategies import box_arrays, types
from frcnn.conformance.cases import DTYPES

clause = pytest.mark.clause

SCORES = np.array([[0.1, 0.9, 0.5], [0.2, 0.8, 0.5], [0.3, 0.7, 0.5]], np.float32)
BOXES = np.tile(np.array([[0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]], np.float32), (1, 3))
IMAGES = np.array([0, 1, 0])

numbers = st.sampled_from((1.0, 0.5, 0.5 + 2.0**-30, 0.1, 0.25, 0.75, 0.0, -0.0, -3.0, np.inf, -np.inf))
limits = st.integers(1, 4)


@clause("detect-steps.classes", "detect-steps.nms-last", "detect-steps.result")
@given(data=st.data(), box_type=types, score_type=types, threshold=st.sampled_from((0.0, 0.3, 0.5, 1.0)))
def test_sets_within_the_limits_are_suppressed_class_by_class(subject, profile, box_type, score_type, threshold, data):
    subject.check("detect", *drawn(data, box_type, score_type), threshold, profile=profile)


@clause("detect-steps.per-image", "detect-steps.threshold", "detect-steps.above", "detect-steps.nms-last")
@given(data=st.data(), dtype=types, per_image=limits, per_class=limits)
def test_sets_beyond_the_limits_keep_what_the_spec_keeps(subject, profile, dtype, per_image, per_class, data):
    options = {"per_image": per_image, "per_class": per_class, "profile": profile}
    subject.check("detect", *drawn(data, dtype, dtype), **options)


@clause("detect-steps.per-image", "detect-steps.threshold", "detect-steps.above")
@given(data=st.data(), dtype=types, per_image=limits, per_class=limits)
def test_limits_alone_decide_where_no_box_meets_another(subject, dtype, per_image, per_class, data):
    scores, _, images, count = drawn(data, dtype, dtype)
    corners = [(20 * row, 0, 20 * row + 9, 9) for row in range(len(scores))]
    boxes = np.tile(np.array(corners, dtype).reshape(-1, 4), (1, scores.shape[1]))
    subject.check("detect", scores, boxes, images, count, per_image=per_image, per_class=per_class)


@clause("detect-steps.threshold")
@given(data=st.data(), dtype=types, per_class=limits)
def test_the_order_of_the_images_does_not_matter(subject, dtype, per_class, data):
    scores, boxes, images, count = drawn(data, dtype, dtype)
    order = np.array(data.draw(st.permutations(range(count))), np.int64)
    first = np.asarray(subject.call("detect", scores, boxes, images, count, per_class=per_class))
    renamed = first.copy()
    renamed[:, 1] = order[first[:, 1]]
    renamed = renamed[np.lexsort((renamed[:, 1], renamed[:, 0]))]
    subject.check("detect", scores, boxes, order[images], count, per_class=per_class, expected=renamed)


@clause("detect-steps.per-image", "detect-steps.threshold")
def test_the_limits_are_100_an_image_and_40_on_average(subject, profile):
    """Of 130 rows apart, 100 are taken of the first image; with 3 images 120 may be, with 2 the limit is 80."""
    rows = np.arange(130)
    scores = np.stack([rows, 1.0 / (rows + 1)], axis=1).astype(np.float32)
    corners = np.stack([20 * rows, 0 * rows, 20 * rows + 9, 0 * rows + 9], axis=1)
    boxes, images = np.tile(corners, (1, 2)).astype(np.float32), (rows >= 110).astype(np.int64)
    for count, taken in ((4, 120), (3, 120), (2, 79)):
        left = [*range(100), *range(110, 130)] if taken == 120 else list(range(taken))
        expected = np.array([(1, images[row], row) for row in left], np.int64)
        subject.check("detect", scores, boxes, images, count, profile=profile, expected=expected)


@clause("detect-steps.per-image", "detect-steps.threshold", "detect-steps.above", "detect-steps.nms-last")
@pytest.mark.parametrize(
    "limits", [{}, {"per_image": 40}, {"per_class": 20}, {"per_image": 30, "per_class": 25}], ids=str
)
def test_many_rows_with_equal_scores_are_kept_as_few_are(subject, profile, limits):
    """More than a sort of few goes about in order, in three images and two classes."""
    generator = np.random.default_rng(3)
    scores = (generator.integers(0, 8, (150, 3)) / 8).astype(np.float32)
    corners, extents = generator.integers(0, 90, (150, 3, 2)), generator.integers(9, 14, (150, 3, 2))
    boxes = np.concatenate([corners, corners + extents], axis=2).reshape(150, 12).astype(np.float32)
    subject.check("detect", scores, boxes, generator.integers(0, 3, 150), 3, profile=profile, **limits)


@clause("detect-steps.threshold", "detect-steps.error-limits")
@pytest.mark.parametrize(
    ("count", "per_class"), [(2, 2**31 - 1), (2**31 - 1, 2**31 - 1), (2**16, 2**16), (3, 2**31 // 3)]
)
def test_limits_whose_product_is_beyond_32_bits_leave_every_row(subject, profile, count, per_class):
    options = {"per_image": 2**31 - 1, "per_class": per_class, "profile": profile}
    subject.check("detect", SCORES, BOXES, IMAGES, count, **options)


@clause("detect-steps.classes")
@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64"])
def test_images_are_of_any_integer_type(subject, kind):
    subject.check("detect", SCORES, BOXES, IMAGES.astype(kind), 2)


@clause("detect-steps.nms-last", "detect-steps.threshold")
@pytest.mark.parametrize(("score_type", "box_type"), [("float64", "float32"), ("float32", "float64")])
def test_scores_keep_their_type_beside_boxes_of_another(subject, profile, score_type, box_type):
    """Scores that float32 does not tell apart, and an overlap that is beyond the threshold in float64 alone."""
    scores = np.array([[0, 0.5], [0, 0.5 + 2.0**-40], [0, 0.25]]).astype(score_type)
    boxes = np.tile(np.array([[0, 0, 9, 9], [0, 0, 9, 9.1], [0.1, 0, 9, 6.01]]), (1, 2)).astype(box_type)
    for per_class in (1, 40):
        subject.check("detect", scores, boxes, np.zeros(3, np.int64), 1, per_class=per_class, profile=profile)


@clause("detect-steps.result")
@pytest.mark.parametrize(("rows", "columns", "count"), [(0, 1, 0), (0, 3, 0), (0, 3, 2), (2, 1, 1)])
def test_nothing_to_detect_is_no_error(subject, rows, columns, count):
    scores, boxes = np.zeros((rows, columns), np.float32), np.zeros((rows, 4 * columns), np.float32)
    expected = np.zeros((0, 3), np.int64)
    subject.check("detect", scores, boxes, np.zeros(rows, np.int64), count, expected=expected)


@clause("detect-steps.error-scores")
@pytest.mark.parametrize("wrong", [SCORES[0], SCORES[:, :0], SCORES[None], SCORES.astype(np.int64)])
def test_scores_of_another_shape_or_type_are_refused(subject, wrong):
    refused(subject, "scores", wrong, BOXES, IMAGES, 2)


@clause("detect-steps.error-scores")
def test_a_score_of_nan_is_refused_with_its_row(subject):
    wrong = SCORES.copy()
    wrong[1, 0] = wrong[2, 1] = np.nan
    refused(subject, "scores[1]", wrong, BOXES, IMAGES, 2)


@clause("detect-steps.error-boxes")
@pytest.mark.parametrize("wrong", [BOXES[:2], BOXES[:, :8], BOXES[0], BOXES.astype(np.int64)])
def test_boxes_of_another_shape_or_type_are_refused(subject, wrong):
    refused(subject, "boxes", SCORES, wrong, IMAGES, 2)


@clause("detect-steps.error-boxes")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 16777218.0])
def test_a_coordinate_that_is_no_place_is_refused_with_its_row(subject, value):
    wrong = BOXES.copy()
    wrong[1, 7] = wrong[2, 4] = value
    refused(subject, "boxes[1]", SCORES, wrong, IMAGES, 2)


@clause("detect-steps.error-images")
@pytest.mark.parametrize("wrong", [IMAGES[:2], IMAGES[:, None], IMAGES.astype(np.float32)])
def test_images_of_another_shape_or_type_are_refused(subject, wrong):
    refused(subject, "images", SCORES, BOXES, wrong, 2)


@clause("detect-steps.error-images")
@pytest.mark.parametrize("value", [-1, 2])
def test_an_image_that_is_not_there_is_refused_with_its_row(subject, value):
    refused(subject, "images[1]", SCORES, BOXES, np.array([0, value, value]), 2)


@clause("detect-steps.error-limits")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("image_count", value) for value in (-1, 2.5, 2.0, 2**31)),
        *((name, value) for name in ("per_image", "per_class") for value in (0, -1, 2.5, 2.0, 2**31, True)),
    ],
)
def test_limits_that_are_no_numbers_of_rows_are_refused(subject, name, value):
    count = value if name == "image_count" else 2
    refused(subject, name, SCORES, BOXES, IMAGES, count, **({} if name == "image_count" else {name: value}))


@clause("detect-steps.error-nms")
@pytest.mark.parametrize("rows", [0, 3])
def test_what_suppression_refuses_is_refused_whatever_there_is_to_suppress(subject, rows):
    call = SCORES[:rows], BOXES[:rows], IMAGES[:rows], 2
    for threshold in (np.nan, -0.1, 1.1, "0.3", True):
        refused(subject, "iou_threshold", *call, threshold)
    refused(subject, "profile", *call, profile="caffe")


def refused(subject, name, *arguments, **options):
    __tracebackhide__ = True
    subject.check_refused(lambda: subject.call("detect", *arguments, **options), name)


def drawn(data, box_type, score_type):
    """Scores, boxes, images and their number: up to 8 rows of up to 3 images in any order, up to 2 classes."""
    K, count = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3))
    boxes = data.draw(box_arrays(box_type, most=8))
    R = len(boxes)
    orders = [np.array(data.draw(st.permutations(range(R))), np.int64) for _ in range(K)]
    scores = np.array(data.draw(st.lists(numbers, min_size=R * (K + 1), max_size=R * (K + 1))), np.float64)
    images = np.array(data.draw(st.lists(st.integers(0, count - 1), min_size=R, max_size=R)), np.int64)
    all_boxes = np.concatenate([boxes, *(boxes[order] for order in orders)], axis=1)
    return scores.reshape(R, K + 1).astype(DTYPES[score_type]), all_boxes, images, count
