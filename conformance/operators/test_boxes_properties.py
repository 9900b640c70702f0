"""Boxes: overlaps, clipping, flipping, encoding and decoding on drawn input, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn import reference
from frcnn.conformance import tolerance
from frcnn.conformance.box_strategies import BROKEN, FAR, WHOLE, box_arrays, types
from frcnn.conformance.cases import DTYPES

clause = pytest.mark.clause

GOOD = np.array([[0, 0, 9, 19], [5, 5, 14, 24], [1, 1, 1, 1]], np.float32)
SHIFTS = (0.0, 0.1, -0.3, 0.5, 1.0, -2.0, 17.3, 1e-4)
# exp(60) times any width is still finite in float32, exp(-30) of 1e-14 still a normal number.
STRETCHES = (0.0, 0.1, -0.2, 0.6931, -1.5, 4.2, 8.0, 60.0, -30.0)


@clause("box-iou.extents", "box-iou.order", "box-iou.type", "box-iou.malformed", "box-iou.pairs")
@given(data=st.data(), dtype=types)
def test_overlaps_are_those_of_inclusive_corners_bit_for_bit(subject, dtype, data):
    subject.check("iou", data.draw(box_arrays(dtype)), data.draw(box_arrays(dtype)))


@clause("box-iou.order")
@given(data=st.data(), dtype=types)
def test_overlap_does_not_depend_on_which_box_comes_first(subject, dtype, data):
    a, b = data.draw(box_arrays(dtype)), data.draw(box_arrays(dtype))
    subject.check("iou", a, b, expected=np.asarray(subject.call("iou", b, a)).T)


@clause("box-iou.order", "box-iou.malformed")
@given(data=st.data(), dtype=types)
def test_a_box_overlaps_itself_wholly_and_a_malformed_one_not_at_all(subject, dtype, data):
    box = data.draw(box_arrays(dtype, least=1, most=1))
    holds = bool((box[0, 2] - box[0, 0] + 1 > 0) and (box[0, 3] - box[0, 1] + 1 > 0))
    subject.check("iou", box, box, expected=np.array([[holds]], box.dtype))


@clause("box-clip.bounds", "box-clip.kept", "box-clip.infinity", "box-clip.classes")
@given(data=st.data(), dtype=types)
def test_coordinates_are_clipped_where_the_profile_says(subject, profile, dtype, data):
    values = st.sampled_from((*WHOLE, *BROKEN, *FAR, -0.0, np.inf, -np.inf, 1e30))
    shape = data.draw(st.integers(0, 3)), 4 * data.draw(st.integers(0, 3))
    flat = data.draw(st.lists(values, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    boxes = np.array(flat, np.float64).reshape(shape).astype(DTYPES[dtype])
    size = data.draw(st.sampled_from(((1, 1), (5, 9), (9, 5), (1, 2**24))))
    subject.check("clip_boxes", boxes, size, profile=profile)


@clause("box-flip.columns", "box-flip.rows")
@given(data=st.data(), dtype=types, width=st.sampled_from((1, 2, 10, 33, 1000, 2**24)))
def test_flipping_mirrors_the_columns_alone(subject, dtype, width, data):
    subject.check("flip_boxes", data.draw(box_arrays(dtype)), width)


@clause("box-encode.extents", "box-encode.centre", "box-encode.shift", "box-encode.log", "box-encode.type")
@given(data=st.data(), dtype=types)
def test_targets_are_shifts_in_extents_and_logs_of_ratios(subject, profile, dtype, data):
    proposals, truth = paired(data, dtype)
    targets = reference.encode_boxes(proposals, truth, profile=profile)
    subject.check("encode_boxes", proposals, truth, profile=profile, bound=tolerance.encode_bound(targets, dtype))


@clause("box-decode.centre", "box-decode.size", "box-decode.corners", "box-decode.classes", "box-decode.type")
@given(data=st.data(), dtype=types)
def test_boxes_are_decoded_for_each_class(subject, profile, dtype, data):
    check_decoding(subject, data, dtype, profile, STRETCHES)


@clause("box-decode.overflow")
@given(data=st.data(), dtype=types)
def test_what_overflows_is_infinite(subject, profile, dtype, data):
    check_decoding(subject, data, dtype, profile, (0.0, 4.2, 60.0, 800.0, 1e4))


@clause("box-decode.inverse")
@given(data=st.data(), dtype=types)
def test_decoding_undoes_encoding(subject, profile, dtype, data):
    proposals, truth = paired(data, dtype)
    targets = np.asarray(subject.call("encode_boxes", proposals, truth, profile=profile))
    bound = tolerance.inverse_bound(proposals, truth, dtype, profile)
    subject.check("decode_boxes", proposals, targets, profile=profile, expected=truth, bound=bound)


@clause("box-error.shape")
@pytest.mark.parametrize("shape", [(1, 5), (4,), (1, 1, 4), (1, 3), (4, 0)])
def test_boxes_of_another_shape_are_refused(subject, shape):
    wrong = np.zeros(shape, np.float32)
    refused(subject, "iou", "a", wrong, GOOD)
    refused(subject, "iou", "b", GOOD, wrong)
    refused(subject, "flip_boxes", "boxes", wrong, 10)
    refused(subject, "encode_boxes", "proposals", wrong, GOOD)
    refused(subject, "encode_boxes", "ground_truth", GOOD, wrong)
    refused(subject, "decode_boxes", "proposals", wrong, GOOD)


@clause("box-error.shape")
@pytest.mark.parametrize("shape", [(3, 6), (4,), (3, 1, 4), (3, 3)])
def test_rows_that_are_not_boxes_of_classes_are_refused(subject, shape):
    refused(subject, "clip_boxes", "boxes", np.zeros(shape, np.float32), (9, 9))
    refused(subject, "decode_boxes", "deltas", GOOD, np.zeros(shape, np.float32))


@clause("box-error.shape")
def test_ground_truth_and_deltas_have_a_row_a_proposal(subject, profile):
    refused(subject, "encode_boxes", "ground_truth", GOOD, GOOD[:1], profile=profile)
    refused(subject, "decode_boxes", "deltas", GOOD, GOOD[:1], profile=profile)


@clause("box-error.type")
@pytest.mark.parametrize("name", ["int32", "int64", "bool", "float16"])
def test_boxes_of_another_type_are_refused(subject, name):
    wrong = GOOD.astype(name)
    refused(subject, "iou", "a", wrong, wrong)
    refused(subject, "clip_boxes", "boxes", wrong, (9, 9))
    refused(subject, "flip_boxes", "boxes", wrong, 9)
    refused(subject, "encode_boxes", "proposals", wrong, wrong)
    refused(subject, "decode_boxes", "proposals", wrong, wrong)


@clause("box-error.type")
def test_two_types_in_one_call_are_refused(subject):
    wide = GOOD.astype(np.float64)
    refused(subject, "iou", "b", GOOD, wide)
    refused(subject, "encode_boxes", "ground_truth", GOOD, wide)
    refused(subject, "decode_boxes", "deltas", wide, GOOD)


@clause("box-error.coordinate")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 16777218.0, -16777218.0])
@pytest.mark.parametrize("column", [0, 3])
def test_a_coordinate_that_is_no_place_is_refused_with_its_row(subject, value, column):
    wrong = GOOD.copy()
    wrong[1, column] = wrong[2, column] = value
    refused(subject, "iou", "a[1]", wrong, GOOD)
    refused(subject, "iou", "b[1]", GOOD, wrong)
    refused(subject, "flip_boxes", "boxes[1]", wrong, 9)
    refused(subject, "encode_boxes", "proposals[1]", wrong, GOOD)
    refused(subject, "encode_boxes", "ground_truth[1]", GOOD, wrong)
    refused(subject, "decode_boxes", "proposals[1]", wrong, GOOD)


@clause("box-error.number")
def test_numbers_that_cannot_be_clipped_or_decoded_are_refused_with_their_row(subject, profile):
    for value in (np.nan, np.inf, -np.inf):
        wrong = GOOD.copy()
        wrong[2, 3] = value
        refused(subject, "decode_boxes", "deltas[2]", GOOD, wrong, profile=profile)
    wrong[2, 3] = np.nan
    refused(subject, "clip_boxes", "boxes[2]", wrong, (9, 9), profile=profile)


@clause("box-error.extent")
@pytest.mark.parametrize(("profile", "past"), [("exact", -1.0), ("exact", -3.0), ("caffe-2015", -0.5)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_box_without_extent_has_no_targets(subject, profile, past, axis):
    wrong = GOOD.copy()
    wrong[1, axis + 2] = wrong[1, axis] + past
    refused(subject, "encode_boxes", "proposals[1]", wrong, GOOD, profile=profile)
    refused(subject, "encode_boxes", "ground_truth[1]", GOOD, wrong, profile=profile)
    refused(subject, "decode_boxes", "proposals[1]", wrong, GOOD, profile=profile)


@clause("box-error.image-size")
@pytest.mark.parametrize("side", [0, -1, 2.5, 2.0, 2**24 + 1, np.nan, "9", True])
def test_a_side_that_is_no_number_of_pixels_is_refused(subject, side):
    refused(subject, "clip_boxes", "image_size", GOOD, (9, side))
    refused(subject, "clip_boxes", "image_size", GOOD, (side, 9))
    refused(subject, "flip_boxes", "width", GOOD, side)


@clause("box-error.image-size")
def test_the_largest_side_is_still_one(subject, profile):
    subject.check("clip_boxes", GOOD, (2**24, 2**24), profile=profile)
    subject.check("flip_boxes", GOOD, 2**24)


@clause("box-error.image-size")
@pytest.mark.parametrize("size", [(9,), (9, 9, 3), 9])
def test_an_image_size_has_two_sides(subject, size):
    refused(subject, "clip_boxes", "image_size", GOOD, size)


@clause("box-error.profile")
@pytest.mark.parametrize("name", ["caffe", "Exact", ""])
def test_an_unknown_profile_is_refused(subject, name):
    refused(subject, "clip_boxes", "profile", GOOD, (9, 9), profile=name)
    refused(subject, "encode_boxes", "profile", GOOD, GOOD, profile=name)
    refused(subject, "decode_boxes", "profile", GOOD, GOOD, profile=name)


def refused(subject, operator, name, *arguments, **options):
    __tracebackhide__ = True
    subject.check_refused(lambda: subject.call(operator, *arguments, **options), name)


def paired(data, dtype):
    """Proposals and as many ground-truth boxes, all of positive extent."""
    proposals = data.draw(box_arrays(dtype, malformed=False))
    truth = data.draw(box_arrays(dtype, least=len(proposals), most=len(proposals), malformed=False))
    return proposals, truth


def check_decoding(subject, data, dtype, profile, stretches):
    __tracebackhide__ = True
    proposals = data.draw(box_arrays(dtype, most=3, malformed=False))
    pairs = st.tuples(*[st.sampled_from(SHIFTS)] * 2, *[st.sampled_from(stretches)] * 2)
    K = data.draw(st.integers(0, 2))
    rows = data.draw(st.lists(pairs, min_size=K * len(proposals), max_size=K * len(proposals)))
    deltas = np.array(rows, np.float64).reshape(len(proposals), 4 * K).astype(DTYPES[dtype])
    bound = tolerance.decode_bound(reference.decode_boxes(proposals, deltas, profile=profile), dtype)
    subject.check("decode_boxes", proposals, deltas, profile=profile, bound=bound)
