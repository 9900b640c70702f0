"""frcnn.backends.tf.roi_pool as TensorFlow sees it: eager and traced, shapes, gradients of every order."""

import numpy as np
import pytest
import tensorflow as tf

from frcnn.backends import tf as frcnn_tf

BOXES = np.float32([[1, 0, 0, 5, 4], [0, 2, 1, 9, 9], [1, 4, 4, 1, 1], [0, -3, -3, 2, 2], [1, 40, 40, 50, 50]])


def whole_numbers(shape, dtype=np.float64):
    """All different and at least 1 apart, so that a step of 1/1024 changes no maximum and no sum is rounded."""
    return np.random.default_rng(7).permutation(int(np.prod(shape))).reshape(shape).astype(dtype)


def pool(input, boxes=BOXES, profile="exact"):
    return frcnn_tf.roi_pool(input, boxes, (3, 2), 0.5, profile=profile)


def pulled_back(input, upstream, boxes=BOXES, profile="exact"):
    """The gradient of `input` for the gradient `upstream` of the output."""
    with tf.GradientTape() as tape:
        tape.watch(input)
        output = pool(input, boxes, profile)
    return tape.gradient(output, input, upstream)


def test_the_gradient_is_that_of_finite_differences(profile):
    boxes = BOXES[[0, 1, 3, 4]]  # caffe-2015's backward is not the derivative of its forward for a malformed RoI
    theoretical, numerical = tf.test.compute_gradient(
        lambda input: pool(input, boxes, profile), [whole_numbers((2, 5, 6, 2))]
    )
    np.testing.assert_array_equal(theoretical[0], numerical[0])


def test_the_gradient_of_the_gradient_is_that_of_finite_differences(profile):
    input = tf.constant(whole_numbers((2, 5, 6, 2)))
    theoretical, numerical = tf.test.compute_gradient(
        lambda upstream: pulled_back(input, upstream, profile=profile), [whole_numbers((5, 3, 2, 2))]
    )
    np.testing.assert_array_equal(theoretical[0], numerical[0])


def test_the_third_order_is_there_too(profile):
    """The gradient of the gather is the scatter again: differentiate <gather(v), w> by v."""
    input, v = tf.constant(whole_numbers((2, 5, 6, 2))), tf.constant(whole_numbers((2, 5, 6, 2)))
    upstream = tf.constant(whole_numbers((5, 3, 2, 2)))
    with tf.GradientTape() as outer:
        outer.watch(v)
        with tf.GradientTape() as inner:
            inner.watch(upstream)
            scattered = pulled_back(input, upstream, profile=profile)
        gathered = inner.gradient(scattered, upstream, v)
    np.testing.assert_array_equal(outer.gradient(gathered, v, upstream), scattered)


def test_the_gradient_s_own_input_gradient_is_zero():
    """The output is piecewise linear: a Hessian-vector product through the op alone has nothing to say of input."""
    input = tf.constant(whole_numbers((2, 5, 6, 2)))
    with tf.GradientTape() as outer:
        outer.watch(input)
        first = pulled_back(input, tf.ones((5, 3, 2, 2), tf.float64))
    assert outer.gradient(first, input) is None


def test_nested_tapes_give_the_second_order_of_a_loss():
    """Of sum(output^2) / 2 the Hessian times v is the scatter of the gather of v."""
    input, v = tf.constant(whole_numbers((2, 5, 6, 2))), tf.constant(whole_numbers((2, 5, 6, 2)))
    with tf.GradientTape() as outer:
        outer.watch(input)
        with tf.GradientTape() as inner:
            inner.watch(input)
            loss = tf.reduce_sum(pool(input) ** 2) / 2
        gradient = inner.gradient(loss, input)
    hessian_times_v = outer.gradient(gradient, input, v)
    # The map is linear near input, so its Jacobian times v is its change along a small step, exact in binary.
    step = 2.0**-12
    along_v = (pool(input + step * v) - pool(input)) / step
    np.testing.assert_array_equal(hessian_times_v, pulled_back(input, along_v))


@pytest.mark.parametrize("P", [2**40, 2**60])
def test_no_box_gives_no_gradient_whatever_the_grid(profile, P):
    """Of that size were the spans of sub-windows that the kernel makes; 2^60 of them ended the process."""
    input = tf.constant(whole_numbers((2, 5, 6, 2), np.float32))
    with tf.GradientTape() as tape:
        tape.watch(input)
        output = frcnn_tf.roi_pool(input, tf.zeros((0, 5)), (P, 1), profile=profile)
    given = tf.zeros(output.shape)
    np.testing.assert_array_equal(tape.gradient(output, input, given), tf.zeros_like(input))


def test_boxes_have_no_gradient():
    input, boxes = tf.constant(whole_numbers((2, 5, 6, 2))), tf.constant(BOXES)
    with tf.GradientTape() as tape:
        tape.watch(boxes)
        output = pool(input, boxes)
    assert tape.gradient(output, boxes) is None


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_traced_function_computes_the_same_bits(profile, dtype):
    input, upstream = tf.constant(whole_numbers((2, 5, 6, 2), dtype)), tf.constant(whole_numbers((5, 3, 2, 2), dtype))
    eager = pool(input, BOXES, profile), pulled_back(input, upstream, profile=profile)
    traced = tf.function(lambda i, u: (pool(i, BOXES, profile), pulled_back(i, u, profile=profile)))(input, upstream)
    for one, other in zip(eager, traced, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_one_trace_serves_every_size():
    traces = []

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, None)), tf.TensorSpec((None, 5))])
    def traced(input, boxes):
        traces.append(None)
        return pool(input, boxes)

    for shape, count in (((2, 5, 6, 2), 5), ((2, 8, 3, 1), 3), ((2, 1, 1, 0), 0)):
        input = whole_numbers(shape, np.float32)
        np.testing.assert_array_equal(traced(input, BOXES[:count]), pool(input, BOXES[:count]), strict=True)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("input", "boxes", "output"),
    [
        ((2, 5, 6, 4), (7, 5), (7, 3, 2, 4)),
        ((None, None, None, 4), (None, 5), (None, 3, 2, 4)),
        ((2, 5, 6, None), (7, None), (7, 3, 2, None)),
        (None, None, (None, 3, 2, None)),
    ],
)
def test_shapes_are_known_as_far_as_they_can_be(input, boxes, output):
    signature = [tf.TensorSpec(input), tf.TensorSpec(boxes), tf.TensorSpec((None, 3, 2, None))]
    traced = tf.function(lambda i, b, u: (pool(i, b), pulled_back(i, u, b)), input_signature=signature)
    pooled, gradient = traced.get_concrete_function().output_shapes
    assert pooled.as_list() == list(output)
    assert gradient.as_list() == (list(input) if input else [None] * 4)


def test_without_an_argmax_the_output_is_the_same_and_a_gradient_is_an_error():
    input = tf.constant(whole_numbers((2, 5, 6, 2)))
    with tf.GradientTape() as tape:
        tape.watch(input)
        output = frcnn_tf.roi_pool(input, BOXES, (3, 2), 0.5, differentiable=False)
    np.testing.assert_array_equal(output, pool(input))
    with pytest.raises(LookupError, match="differentiable=False"):
        tape.gradient(output, input)


def test_a_truth_value_may_be_numpy_s():
    input = tf.constant(whole_numbers((2, 5, 6, 2)))
    for truth in (np.bool_(True), np.bool_(False)):
        output = frcnn_tf.roi_pool(input, BOXES, (3, 2), 0.5, differentiable=truth, validate=truth)
        np.testing.assert_array_equal(output, pool(input))
        pyramid = frcnn_tf.spp_pool(input, BOXES, (3,), 0.5, differentiable=truth, validate=truth)
        np.testing.assert_array_equal(pyramid, frcnn_tf.spp_pool(input, BOXES, (3,), 0.5))


def test_a_float64_scale_is_not_rounded_to_float32():
    """Just under 13.5, a third goes to 4 by float64's third and to 4.5, and so to 5, by float32's, which is larger."""
    row = np.arange(40.0).reshape(1, 40, 1, 1)
    edge = 13.5 * (1 - 2.0**-30)
    boxes = np.array([[0, 0, 0, 0, edge]])
    assert frcnn_tf.roi_pool(row, boxes, 1, 1 / 3).numpy().item() == 4
    assert frcnn_tf.roi_pool(row, boxes, 1, float(np.float32(1 / 3))).numpy().item() == 5


def test_xla_is_refused_by_an_error_that_names_the_op():
    with pytest.raises(tf.errors.InvalidArgumentError, match="Frcnn>RoiPool"):
        tf.function(pool, jit_compile=True)(whole_numbers((2, 5, 6, 2)))
