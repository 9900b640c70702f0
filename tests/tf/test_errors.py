"""What is refused, by whom, and with which sentence; and that nothing is touched out of bounds where nobody looks."""

import numpy as np
import pytest
import tensorflow as tf

from frcnn.backends import UnavailableBackend
from frcnn.backends import tf as frcnn_tf
from frcnn.backends.tf import library
from frcnn.backends.tf.backend import TensorFlowBackend

INPUT = np.arange(2 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 1)
BOXES = np.float32([[0, 0, 0, 2, 2], [1, 0, 0, 2, 2]])

STATIC = [
    (ValueError, r"input must have shape \(N, H, W, C\), got \(3, 3, 1\)", {"input": INPUT[0]}),
    (TypeError, r"input must have one of the types float16, .*, got int64", {"input": INPUT.astype(np.int64)}),
    (TypeError, r"input must be a tensor", {"input": object()}),
    (ValueError, r"boxes must have shape \(R, 5\), got \(2, 4\)", {"boxes": BOXES[:, 1:]}),
    (TypeError, r"boxes must have one of the types float16, .*, got int32", {"boxes": BOXES.astype(np.int32)}),
    (ValueError, r"output_size must be 2 whole numbers of at least 1, got \(0, 7\)", {"output_size": (0, 7)}),
    (ValueError, r"output_size must be 2 whole numbers of at least 1, got \(1, 2, 3\)", {"output_size": (1, 2, 3)}),
    (TypeError, r"output_size must be 2 whole numbers, got 2.5", {"output_size": 2.5}),
    (ValueError, r"spatial_scale must be positive and finite in float32, got 0.0", {"spatial_scale": 0.0}),
    (ValueError, r"spatial_scale must be positive and finite in float32, got nan", {"spatial_scale": np.nan}),
    (ValueError, r"spatial_scale must be positive and finite in float32, got 1e-50", {"spatial_scale": 1e-50}),
    (TypeError, r"spatial_scale must be a number, got 'a'", {"spatial_scale": "a"}),
    (ValueError, r"profile must be one of exact, caffe-2015, got 'caffe'", {"profile": "caffe"}),
]

VALUES = [
    ([2, 0, 0, 2, 2], "boxes[1] has image index 2, but input holds 2 images (0..1)"),
    ([-1, 0, 0, 2, 2], "boxes[1] has image index -1, but input holds 2 images (0..1)"),
    ([0.5, 0, 0, 2, 2], "boxes[1] has image index 0.5, but input holds 2 images (0..1)"),
    ([np.nan, 0, 0, 2, 2], "boxes[1] has image index nan, but input holds 2 images (0..1)"),
    (
        [0, 0, np.inf, 2, 2],
        "boxes[1] has y1 = inf, inf on the map; "
        "coordinates must be finite and at most 2^24 in size, before and after spatial_scale",
    ),
    (
        [0, 0, 0, 3e7, 2],
        "boxes[1] has x2 = 3e+07, 3e+07 on the map; "
        "coordinates must be finite and at most 2^24 in size, before and after spatial_scale",
    ),
]


def pool(**changes):
    return frcnn_tf.roi_pool(**{"input": INPUT, "boxes": BOXES, "output_size": 2} | changes)


def with_row(row):
    return np.float32([BOXES[0], row, [9, 9, 9, 9, 9]])


@pytest.mark.parametrize(("kind", "message", "changes"), STATIC)
def test_what_is_known_without_running_is_refused_by_name(kind, message, changes):
    with pytest.raises(kind, match=message):
        pool(**changes)
    with pytest.raises(kind, match=message):
        tf.function(lambda: pool(**changes))()


@pytest.mark.parametrize(("row", "sentence"), VALUES)
def test_the_first_offending_row_is_named_at_run_time(row, sentence):
    for call in (pool, tf.function(pool)):
        with pytest.raises(tf.errors.InvalidArgumentError) as caught:
            call(boxes=tf.constant(with_row(row)))
        assert sentence in caught.value.message


@pytest.mark.parametrize(("row", "sentence"), VALUES)
def test_the_adapter_gives_the_bare_sentence(backend, row, sentence):
    with pytest.raises(ValueError, match="boxes") as caught:
        backend.roi_pool(INPUT.transpose(0, 3, 1, 2), with_row(row), 2)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("input", "boxes", "sentence"),
    [
        (INPUT[0], BOXES, "input must have shape (N, H, W, C), got [3,3,1]"),
        (INPUT, BOXES[0], "boxes must have shape (R, 5), got [5]"),
        (INPUT, BOXES[:, :4], "boxes must have shape (R, 5), got [2,4]"),
        (np.empty((0, 2**16, 2**15, 1), np.float32), BOXES[:0], "input must have fewer than 2^31 cells in a map"),
    ],
)
def test_shapes_that_only_running_tells_are_refused_by_the_op(input, boxes, sentence):
    traced = tf.function(pool).get_concrete_function(input=tf.TensorSpec(None), boxes=tf.TensorSpec(None))
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        traced(input=tf.constant(input), boxes=tf.constant(boxes))
    assert sentence in caught.value.message


def test_unchecked_an_unusable_roi_pools_to_zero_and_takes_no_gradient(profile):
    bad = np.float32(
        [[2, 0, 0, 2, 2], [np.nan, 0, 0, 2, 2], [-1e9, 0, 0, 2, 2], [0, np.inf, 0, 2, 2], [1, 0, 0, 3e38, 2]]
    )
    boxes = np.concatenate([bad, BOXES])
    input = tf.constant(INPUT + 1)
    with tf.GradientTape() as tape:
        tape.watch(input)
        output = pool(input=input, boxes=boxes, profile=profile, validate=False)
    with tf.GradientTape() as good_tape:
        good_tape.watch(input)
        good = pool(input=input, profile=profile)
    np.testing.assert_array_equal(output, np.concatenate([np.zeros((5, 2, 2, 1), np.float32), good]))
    np.testing.assert_array_equal(tape.gradient(output, input), good_tape.gradient(good, input))


def test_a_garbled_argmax_is_left_out_unchecked_and_refused_checked(profile):
    ops = library.load()
    draw = np.random.default_rng(3)
    argmax = draw.integers(-(2**31), 2**31 - 1, (2, 3, 3, 4), np.int32)
    argmax[:, 0] = draw.integers(-1, 12, (2, 3, 4))
    clean = np.where((argmax >= 0) & (argmax < 9), argmax, -1)
    grad, map = draw.normal(size=argmax.shape), draw.normal(size=(2, 3, 3, 4))
    shared = {"boxes": BOXES, "spatial_scale": 1.0, "profile": profile}
    for op, arguments in (
        (ops.frcnn_roi_pool_grad, {"grad": grad, "input_size": map.shape}),
        (ops.frcnn_roi_pool_gather, {"grad": map}),
    ):
        unchecked = op(argmax=argmax, validate=False, **arguments, **shared)
        np.testing.assert_array_equal(unchecked, op(argmax=clean, **arguments, **shared))
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"argmax must lie in -1\.\.8 for a map of 3 x 3"):
            op(argmax=argmax, **arguments, **shared)


@pytest.mark.parametrize(
    ("message", "changes"),
    [
        (r"grad_output must have shape \(2, 1, P_h, P_w\)", {"grad_output": np.ones((2, 2, 2, 2), np.float32)}),
        (r"argmax must hold integers in the shape of grad_output", {"argmax": np.zeros((2, 1, 2, 2))}),
        (r"argmax must lie in -1\.\.8 for a map of 3 x 3", {"argmax": np.full((2, 1, 2, 2), 9)}),
        (r"argmax must lie in -1\.\.8 for a map of 3 x 3", {"argmax": np.full((2, 1, 2, 2), 2**32)}),
        (r"features_shape must be 4 whole numbers", {"features_shape": (1, 3, 3)}),
        (r"boxes\[1\] has image index 1, but input holds 1 images \(0..0\)", {"features_shape": (1, 1, 3, 3)}),
        (r"profile must be one of", {"profile": "caffe"}),
    ],
)
def test_the_adapter_s_backward_refuses_what_does_not_fit(backend, message, changes):
    good = {
        "grad_output": np.ones((2, 1, 2, 2), np.float32),
        "argmax": np.zeros((2, 1, 2, 2), np.int64),
        "rois": BOXES,
        "features_shape": (2, 1, 3, 3),
    }
    with pytest.raises(ValueError, match=message):
        backend.roi_pool_backward(**good | changes)


def test_there_is_no_kernel_for_a_gpu_and_the_backend_says_so():
    with pytest.raises(UnavailableBackend, match="cpu only, none for cuda"):
        TensorFlowBackend(device="cuda")


def test_what_an_adapter_says_is_the_bare_sentence():
    """Not TensorFlow's "Expected 'tf.Tensor(False, ...)' to be true. Summarized data: b'...'"."""
    from frcnn.backends.tf.backend import TensorFlowBackend

    with pytest.raises(ValueError, match=r"^scores\[1\] is NaN, which has no place in an order$"):
        TensorFlowBackend().nms(np.float32([[0, 0, 9, 9]] * 2), np.float32([0.5, np.nan]), 0.3)
