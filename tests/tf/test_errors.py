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
    (ValueError, r"output_size must be 2 whole numbers in 1\.\.2\^63 - 1, got \(0, 7\)", {"output_size": (0, 7)}),
    (ValueError, r"output_size must be 2 whole numbers in 1\.\.2\^63 - 1, got \(1, 2, 3\)", {"output_size": (1, 2, 3)}),
    # Twice, since TensorFlow ended the process with the call after the first.
    (ValueError, r"output_size must be 2 whole numbers in 1\.\.2\^63 - 1, got", {"output_size": 2**63}),
    (ValueError, r"output_size must be 2 whole numbers in 1\.\.2\^63 - 1, got", {"output_size": (2, 2**70)}),
    (TypeError, r"output_size must be 2 whole numbers, got 2.5", {"output_size": 2.5}),
    (ValueError, r"spatial_scale must be positive and finite in float32, got 0.0", {"spatial_scale": 0.0}),
    (ValueError, r"spatial_scale must be positive and finite in float32, got nan", {"spatial_scale": np.nan}),
    (ValueError, r"spatial_scale must be positive and finite in float32, got 1e-50", {"spatial_scale": 1e-50}),
    (TypeError, r"spatial_scale must be a number, got 'a'", {"spatial_scale": "a"}),
    (ValueError, r"profile must be one of exact, caffe-2015, got 'caffe'", {"profile": "caffe"}),
    (TypeError, r"differentiable must be True or False, got 1", {"differentiable": 1}),
    (TypeError, r"differentiable must be True or False, got None", {"differentiable": None}),
    (TypeError, r"validate must be True or False, got 0", {"validate": 0}),
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

ROW = tf.constant([[0.0, 0, 9, 9]])
ONE, THREE = tf.constant([1]), tf.constant([1, 1, 1])
STATISTICS = tf.zeros((2, 4), tf.float64), tf.ones((2, 4), tf.float64)
LAYER = tf.ones((8, 5)), tf.ones(8)

# A function and its arguments, of which the one that the sentence names has another number of rows than the others.
UNEVEN = [
    ("ground_truth must have shape (3, 4), got (1, 4)", frcnn_tf.encode_boxes, (tf.tile(ROW, (3, 1)), ROW)),
    ("ground_truth must have shape (1, 4), got (3, 4)", frcnn_tf.encode_boxes, (ROW, tf.tile(ROW, (3, 1)))),
    ("deltas must have shape (3, 4), got (1, 4)", frcnn_tf.decode_boxes, (tf.tile(ROW, (3, 1)), tf.zeros((1, 4)))),
    ("deltas must have shape (1, 8), got (3, 8)", frcnn_tf.decode_boxes, (ROW, tf.zeros((3, 8)))),
    ("scores must have shape (2), got (1)", lambda *two: frcnn_tf.nms(*two, 0.3), (tf.tile(ROW, (2, 1)), tf.ones(1))),
    ("scores must have shape (2), got (3)", lambda *two: frcnn_tf.nms(*two, 0.3), (tf.tile(ROW, (2, 1)), tf.ones(3))),
    ("ground_truth_class must have shape (1), got (3)", frcnn_tf.match_rois, (ROW, ROW, THREE)),
    ("ground_truth_class must have shape (2), got (1)", frcnn_tf.match_rois, (ROW, tf.tile(ROW, (2, 1)), ONE)),
    ("overlap_class must have shape (3), got (1)", frcnn_tf.sample_rois, (tf.ones(3), ONE, tf.ones(3))),
    ("keys must have shape (3), got (1)", frcnn_tf.sample_rois, (tf.ones(3), THREE, tf.ones(1))),
    ("labels must have shape (3), got (1)", frcnn_tf.softmax_log_loss, (tf.zeros((3, 2)), ONE)),
    (
        "labels must have shape (3), got (1)",
        frcnn_tf.multi_task_loss,
        (tf.zeros((3, 2)), tf.zeros((3, 8)), ONE, tf.zeros((3, 4))),
    ),
    (
        "deltas must have shape (3, 8), got (1, 8)",
        frcnn_tf.multi_task_loss,
        (tf.zeros((3, 2)), tf.zeros((1, 8)), THREE, ROW),
    ),
    (
        "targets must have shape (3, 4), got (1, 4)",
        frcnn_tf.multi_task_loss,
        (tf.zeros((3, 2)), tf.zeros((3, 8)), THREE, ROW),
    ),
    ("labels must have shape (3), got (1)", lambda *two: frcnn_tf.target_statistics(*two, 2), (tf.zeros((3, 4)), ONE)),
    (
        "labels must have shape (3), got (1)",
        lambda *two: frcnn_tf.normalise_targets(*two, *STATISTICS),
        (tf.zeros((3, 4)), ONE),
    ),
    ("labels must have shape (1), got (3)", lambda *two: frcnn_tf.normalise_targets(*two, *STATISTICS), (ROW, THREE)),
    (
        "weights must have shape (8, 5), got (1, 5)",
        lambda w: frcnn_tf.fold_statistics(w, LAYER[1], *STATISTICS),
        (tf.ones((1, 5)),),
    ),
    ("bias must have shape (8), got (1)", lambda b: frcnn_tf.fold_statistics(LAYER[0], b, *STATISTICS), (tf.ones(1),)),
    ("bias must have shape (8), got (1)", lambda b: frcnn_tf.truncated_svd(LAYER[0], 1, b), (tf.ones(1),)),
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


@pytest.mark.parametrize(("sentence", "function", "arguments"), UNEVEN)
def test_rows_that_only_running_counts_are_as_many_or_refused_by_name(sentence, function, arguments):
    with pytest.raises(ValueError, match=sentence.split()[0]):
        function(*arguments)
    specs = [tf.TensorSpec((None, *argument.shape[1:]), argument.dtype) for argument in arguments]
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.function(function, input_signature=specs, autograph=False)(*arguments)
    assert sentence in caught.value.message


def test_sizes_that_only_running_tells_do_not_broadcast():
    """Columns, and the number of axes: a row of 4 would do for 4 rows of 4."""
    specs = [tf.TensorSpec(shape) for shape in ((None, 2), (None, None), None)]
    specs.insert(2, tf.TensorSpec(None, tf.int32))
    traced = tf.function(frcnn_tf.multi_task_loss, input_signature=specs, autograph=False)
    good = [tf.zeros((4, 2)), tf.zeros((4, 8)), tf.ones(4, tf.int32), tf.zeros((4, 4))]
    assert traced(*good)[2].numpy() == 0
    for place, name, bad in (
        (1, "deltas", tf.zeros((4, 16))),
        (3, "targets", tf.zeros((4, 1))),
        (3, "targets", ROW[0]),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{name} must have shape \(4, \d\), got \("):
            traced(*good[:place], bad, *good[place + 1 :])


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


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("iou_threshold", lambda number: frcnn_tf.nms(tf.zeros((1, 4)), tf.zeros(1), number)),
        ("spatial_scale", lambda number: frcnn_tf.roi_pool(INPUT, BOXES, 2, number)),
        ("momentum", lambda number: frcnn_tf.sgd_step(tf.ones(2), tf.ones(2), tf.ones(2), 0.1, momentum=number)),
        (
            "lambda_",
            lambda number: frcnn_tf.multi_task_loss(
                tf.zeros((1, 2)), tf.zeros((1, 8)), tf.constant([1]), tf.zeros((1, 4)), lambda_=number
            ),
        ),
    ],
)
def test_in_a_graph_a_tensor_or_a_variable_is_no_number_and_the_error_says_so(name, call):
    with pytest.raises(TypeError, match=f"{name} must be a number, got <tf.Tensor"):
        tf.function(call)(tf.constant(0.5))
    variable = tf.Variable(0.5)
    with pytest.raises(TypeError, match=f"{name} must be a number, got <tf.Variable"):
        tf.function(lambda: call(variable))()


@pytest.mark.parametrize("call", [tuple, lambda size: size[0]], ids=["two", "one"])
def test_in_a_graph_a_variable_is_no_output_size_and_the_error_says_so(call):
    sizes = [tf.Variable(2)] * 2
    with pytest.raises(TypeError, match=r"output_size must be 2 whole numbers, got .*<tf\.Variable"):
        tf.function(lambda: frcnn_tf.roi_pool(INPUT, BOXES, call(sizes)))()


def test_detect_in_a_graph_is_an_error_that_says_so():
    with pytest.raises(NotImplementedError, match="detect runs eagerly alone"):
        tf.function(lambda: frcnn_tf.detect(tf.ones((1, 2)), tf.ones((1, 8)), tf.constant([0]), 1))()
