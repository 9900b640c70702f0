"""Sampling: overlaps and classes, the draw under given keys, the order of images, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from frcnn.conformance.box_strategies import box_arrays, types
from frcnn.conformance.cases import DTYPES

clause = pytest.mark.clause

BOXES = np.array([[0, 0, 9, 9], [0, 0, 9, 4], [20, 0, 29, 9]], np.float32)
CLASSES = np.array([1, 2, 3])
OVERLAPS = np.array([0.5, 0.3, 0.9], np.float32)
KEYS = np.array([0.5, 0.25, 0.75])

# On the thresholds, next to them in either type, and well inside.
SHARES = (0.0, 0.1, 0.1 - 2.0**-28, 0.1 + 2.0**-50, 0.3, 0.5, 0.5 - 2.0**-26, 0.5 - 2.0**-54, 0.4, 0.7, 1.0)
KEY_VALUES = (0.0, -0.0, 0.5, 0.25, 0.5 + 2.0**-40, 0.75, -3.0, np.inf, -np.inf)
MIN64 = np.iinfo(np.int64).min

key_types = st.sampled_from(("float32", "float64", "int32", "int64"))
class_types = st.sampled_from((np.int32, np.int64))
# Few, so that they meet, and those that a byte or two bytes do not hold.
class_numbers = st.integers(1, 5) | st.sampled_from((20, 200, 300, 40_000, 70_000, 2**31 - 1))


@st.composite
def key_arrays(draw, count):
    """Keys of every type, with ties in plenty, at the ends of the integers too."""
    kind = draw(key_types)
    if kind.startswith("int"):
        ends = np.iinfo(kind)
        values: st.SearchStrategy = st.sampled_from((0, 1, 2, 3, -1, ends.min, ends.max, ends.max - 1))
    else:
        values = st.one_of(st.sampled_from(KEY_VALUES), st.floats(0, 1, width=32))
    return np.array(draw(st.lists(values, min_size=count, max_size=count)), kind)


@st.composite
def draws(draw, most=20):
    """Arguments and options of one draw."""
    count, dtype = draw(st.integers(0, most)), DTYPES[draw(types)]
    overlaps = np.array(draw(st.lists(st.sampled_from(SHARES), min_size=count, max_size=count)), np.float64).astype(
        dtype
    )
    numbers = draw(st.lists(class_numbers, min_size=count, max_size=count))
    lo, hi, fg = sorted(draw(st.lists(st.sampled_from(SHARES[:2] + SHARES[4:]), min_size=3, max_size=3)))
    options = {
        "rois_per_image": draw(st.integers(1, 12) | st.sampled_from((64, 2**31 - 1))),
        "fg_fraction": draw(st.sampled_from((0.25, 0.5, 0.0, 1.0, 1 / 3, 0.05))),
    }
    if draw(st.booleans()):
        options |= {"bg_threshold_lo": lo, "bg_threshold_hi": hi, "fg_threshold": fg}
    return (overlaps, np.array(numbers, draw(class_types)), draw(key_arrays(count))), options


@clause(
    "roi-sampling.foreground",
    "roi-sampling.background",
    "roi-sampling.thresholds",
    "roi-sampling.quota",
    "roi-sampling.remainder",
    "roi-sampling.order",
    "roi-sampling.labels",
)
@given(draw=draws())
def test_the_minibatch_is_the_specs(subject, draw):
    arguments, options = draw
    subject.check("sample_rois", *arguments, **options)


@clause("roi-sampling.quota")
@pytest.mark.parametrize(("places", "fraction", "quota"), [(64, 0.25, 16), (2, 0.25, 0), (14, 0.25, 4), (1, 0.5, 0)])
def test_the_foreground_is_a_quarter_rounded_to_even(subject, places, fraction, quota):
    overlaps, classes, keys = np.full(2 * places, 0.75), np.full(2 * places, 3), np.arange(2 * places)[::-1].copy()
    drawn = np.arange(2 * places)[::-1][:quota]
    expected = (drawn, np.full(quota, 3))
    subject.check(
        "sample_rois", overlaps, classes, keys, expected=expected, rois_per_image=places, fg_fraction=fraction
    )


@clause("roi-sampling.keys", "roi-sampling.tie")
@given(draw=draws())
def test_only_the_order_of_the_keys_matters(subject, draw):
    """Ranks in place of the keys, of another type, leave the minibatch as it is."""
    (overlaps, classes, keys), options = draw
    expected = subject.check("sample_rois", overlaps, classes, keys, **options)
    ranks = np.unique(keys, return_inverse=True)[1].astype(np.int32)
    subject.check("sample_rois", overlaps, classes, ranks, expected=expected, **options)


@clause("roi-sampling.tie")
@given(draw=draws())
def test_equal_keys_leave_the_order_of_the_indices(subject, draw):
    (overlaps, classes, _), options = draw
    keys = np.array([0.0, -0.0] * len(overlaps))[: len(overlaps)]
    subject.check("sample_rois", overlaps, classes, keys, **options)


@clause("roi-sampling.keys", "roi-sampling.remainder")
def test_a_minibatch_of_the_papers_size_from_2000_rois(subject):
    generator = np.random.default_rng(3)
    overlaps = generator.random(2000).astype(np.float32)
    classes, keys = generator.integers(1, 21, 2000), generator.random(2000)
    subject.check("sample_rois", overlaps, classes, keys)


@clause("roi-sampling.tie", "roi-sampling.permutation")
@pytest.mark.parametrize("count", [17, 33, 100, 2000])
@pytest.mark.parametrize("kind", ["float32", "float64", "int64"])
def test_equal_keys_among_many_leave_the_order_of_the_indices(subject, profile, kind, count):
    """More than a sort of few goes about in order."""
    generator = np.random.default_rng(count)
    keys = generator.integers(-2, 3, count).astype(kind)
    if kind != "int64":
        keys *= generator.choice([-1.0, 1.0], count)  # both zeros
    overlaps, classes = generator.random(count), generator.integers(1, 21, count)
    subject.check("sample_rois", overlaps, classes, keys)
    subject.check("image_order", keys, profile=profile)


@clause(
    "roi-sampling.joined", "roi-sampling.own", "roi-sampling.best", "roi-sampling.none", "roi-sampling.overlap-type"
)
@given(data=st.data(), dtype=types, kind=class_types)
def test_overlaps_and_classes_are_the_specs(subject, profile, dtype, kind, data):
    truth = data.draw(box_arrays(dtype, most=4))
    proposals = data.draw(box_arrays(dtype, most=6))
    if len(truth) and data.draw(st.booleans()):  # some that are ground truth, and so tie where that is twice there
        proposals = np.concatenate([proposals, truth[data.draw(st.lists(st.integers(0, len(truth) - 1), max_size=3))]])
    classes = np.array(data.draw(st.lists(class_numbers, min_size=len(truth), max_size=len(truth))), kind)
    subject.check("match_rois", proposals, truth, classes, profile=profile)


@clause("roi-sampling.permutation", "roi-sampling.tail")
@given(data=st.data(), together=st.integers(1, 4), more=st.integers(0, 9))
def test_the_epoch_is_the_specs(subject, profile, together, more, data):
    keys = data.draw(key_arrays(together + more))
    subject.check("image_order", keys, images_per_batch=together, profile=profile)


@clause("roi-sampling.tail")
@pytest.mark.parametrize(("images", "exact", "caffe"), [(10022, 5011, 5010), (10021, 5010, 5010), (3, 1, 1), (2, 1, 1)])
def test_the_epoch_has_as_many_minibatches_as_the_rule_gives(subject, profile, images, exact, caffe):
    batches = exact if profile == "exact" else caffe
    expected = np.arange(2 * batches).reshape(batches, 2)
    subject.check("image_order", np.arange(images), expected=expected, profile=profile)


@clause("roi-sampling.error-boxes")
@pytest.mark.parametrize("name", ["proposals", "ground_truth"])
@pytest.mark.parametrize("wrong", [BOXES[:, :3], np.ones((3, 5), np.float32), BOXES[0], BOXES.astype(np.int64)])
def test_boxes_of_another_shape_or_type_are_refused(subject, profile, name, wrong):
    boxes = {"proposals": BOXES, "ground_truth": BOXES, name: wrong}
    refused(subject, "match_rois", (name,), boxes["proposals"], boxes["ground_truth"], CLASSES, profile=profile)


@clause("roi-sampling.error-boxes")
def test_boxes_of_two_types_are_refused(subject, profile):
    wrong = BOXES.astype(np.float64)
    refused(subject, "match_rois", ("ground_truth", "proposals"), BOXES, wrong, CLASSES, profile=profile)


@clause("roi-sampling.error-boxes")
@pytest.mark.parametrize("name", ["proposals", "ground_truth"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 16777218.0])
def test_a_coordinate_that_is_no_place_is_refused_with_its_row(subject, profile, name, value):
    wrong = BOXES.copy()
    wrong[1, 2] = wrong[2, 0] = value
    boxes = {"proposals": BOXES, "ground_truth": BOXES, name: wrong}
    refused(subject, "match_rois", (f"{name}[1]",), boxes["proposals"], boxes["ground_truth"], CLASSES, profile=profile)


@clause("roi-sampling.error-classes")
@pytest.mark.parametrize("wrong", [CLASSES[:2], CLASSES[:, None], np.array(1), CLASSES.astype(np.float32), KEYS > 0])
def test_classes_of_another_shape_or_type_are_refused(subject, wrong):
    refused(subject, "match_rois", ("ground_truth_class",), BOXES, BOXES, wrong)
    refused(subject, "sample_rois", ("overlap_class",), OVERLAPS, wrong, KEYS)


@clause("roi-sampling.error-classes")
def test_a_class_that_is_none_is_refused_with_its_row(subject):
    for bad in (0, -1, MIN64):
        refused(subject, "match_rois", ("ground_truth_class[1]",), BOXES, BOXES, np.array([1, bad, bad]))
    refused(subject, "sample_rois", ("overlap_class[1]",), OVERLAPS, np.array([1, -1, -1]), KEYS)
    refused(subject, "sample_rois", ("overlap_class[2]",), OVERLAPS, np.array([1, 0, 0]), KEYS)


@clause("roi-sampling.error-overlaps")
@pytest.mark.parametrize("wrong", [OVERLAPS[:, None], np.float32(1), OVERLAPS.astype(np.int64), OVERLAPS[:2]])
def test_overlaps_of_another_shape_or_type_are_refused(subject, wrong):
    # One too few is the keys' or the classes' fault as much.
    refused(subject, "sample_rois", ("overlaps_max", "overlap_class"), wrong, CLASSES, KEYS)


@clause("roi-sampling.error-overlaps")
@pytest.mark.parametrize("value", [np.nan, 1.5, -0.1, np.inf, np.float32(1) + np.float32(2.0**-23)])
def test_an_overlap_outside_0_to_1_is_refused_with_its_row(subject, value):
    refused(subject, "sample_rois", ("overlaps_max[1]",), np.array([0.5, value, value], np.float32), CLASSES, KEYS)


@clause("roi-sampling.error-keys")
@pytest.mark.parametrize("wrong", [KEYS[:2], KEYS[:, None], KEYS > 0, KEYS.astype(np.float16)])
def test_keys_of_another_shape_or_type_are_refused(subject, wrong):
    refused(subject, "sample_rois", ("keys",), OVERLAPS, CLASSES, wrong)
    if wrong.shape != (2,):
        refused(subject, "image_order", ("keys",), wrong)


@clause("roi-sampling.error-keys")
def test_a_key_of_nan_is_refused_with_its_row(subject):
    wrong = np.array([0.5, np.nan, np.nan])
    refused(subject, "sample_rois", ("keys[1]",), OVERLAPS, CLASSES, wrong)
    refused(subject, "image_order", ("keys[1]",), wrong)


@clause("roi-sampling.error-numbers")
@pytest.mark.parametrize("wrong", [0, -1, 0.5, 2.0, 2**31, "two", None, True])
def test_a_size_that_is_no_whole_number_is_refused(subject, wrong):
    refused(subject, "sample_rois", ("rois_per_image",), OVERLAPS, CLASSES, KEYS, rois_per_image=wrong)
    refused(subject, "image_order", ("images_per_batch",), KEYS, images_per_batch=wrong)


@clause("roi-sampling.error-numbers")
@pytest.mark.parametrize("images", [0, 1, 2])
def test_fewer_images_than_a_minibatch_has_are_refused(subject, profile, images):
    refused(subject, "image_order", ("images_per_batch",), KEYS[:images], images_per_batch=3, profile=profile)


@clause("roi-sampling.error-numbers")
@pytest.mark.parametrize("wrong", [np.nan, 1.1, -0.1, -1e-50, np.inf, "0.5", True, None])
def test_a_fraction_that_is_no_share_is_refused(subject, wrong):
    refused(subject, "sample_rois", ("fg_fraction",), OVERLAPS, CLASSES, KEYS, fg_fraction=wrong)


@clause("roi-sampling.error-thresholds")
@pytest.mark.parametrize("wrong", [np.nan, 1.1, -0.1, -1e-50, np.inf, "0.5", True, None])
@pytest.mark.parametrize("name", ["fg_threshold", "bg_threshold_lo", "bg_threshold_hi"])
def test_a_threshold_that_is_no_share_is_refused(subject, name, wrong):
    refused(subject, "sample_rois", (name,), OVERLAPS, CLASSES, KEYS, **{name: wrong})


@clause("roi-sampling.error-thresholds")
@pytest.mark.parametrize("wrong", [{"bg_threshold_hi": 0.6}, {"bg_threshold_lo": 0.55}, {"fg_threshold": 0.4}])
def test_thresholds_out_of_order_are_refused(subject, wrong):
    refused(subject, "sample_rois", tuple(wrong), OVERLAPS, CLASSES, KEYS, **wrong)


@clause("roi-sampling.error-profile")
@pytest.mark.parametrize("name", ["caffe", "Exact", ""])
def test_an_unknown_profile_is_refused(subject, name):
    refused(subject, "match_rois", ("profile",), BOXES, BOXES, CLASSES, profile=name)
    refused(subject, "image_order", ("profile",), KEYS, profile=name)


def refused(subject, operator, names, *arguments, **options):
    __tracebackhide__ = True
    subject.check_refused(lambda: subject.call(operator, *arguments, **options), *names)
