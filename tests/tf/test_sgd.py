"""sgd_step as TensorFlow sees it: a rate that is a tensor, and shapes that are known without running."""

import numpy as np
import pytest
import tensorflow as tf

from frcnn.backends import tf as frcnn_tf
from frcnn.backends.tf import library

BLOBS = np.random.default_rng(3).standard_normal((3, 40))


def blobs(kind):
    return [tf.constant(blob, kind) for blob in BLOBS]


@pytest.mark.parametrize("kind", [tf.float32, tf.float64])
def test_a_rate_that_is_a_tensor_gives_the_bits_of_the_number_and_one_trace_serves_all(kind):
    traces = []

    @tf.function(input_signature=[tf.TensorSpec((), tf.float64)], autograph=False)
    def step(rate):
        traces.append(None)
        return frcnn_tf.sgd_step(*blobs(kind), rate, lr_mult=0.3)

    for rate in (0.0, 0.1, 1 / 3, 1e-7, 2.0**-60):
        wanted = frcnn_tf.sgd_step(*blobs(kind), rate, lr_mult=0.3)
        eager = frcnn_tf.sgd_step(*blobs(kind), tf.constant(rate, tf.float64), lr_mult=0.3)
        for found in (eager, step(tf.constant(rate, tf.float64))):
            for one, other in zip(wanted, found, strict=True):
                np.testing.assert_array_equal(one, other, strict=True)
    assert len(traces) == 1


@pytest.mark.parametrize("rate", [-0.1, np.nan, np.inf, 1e39, 3e38])
def test_a_rate_that_only_running_tells_is_refused_by_name(rate):
    step = tf.function(lambda rate: frcnn_tf.sgd_step(*blobs(tf.float32), rate, lr_mult=2), autograph=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="learning_rate, and lr_mult times it, must be at least 0"):
        step(tf.constant(rate, tf.float64))


@pytest.mark.parametrize(
    ("rate", "kind", "sentence"),
    [
        (tf.constant([0.1]), ValueError, r"learning_rate must be one number, got a tensor of shape \(1,\)"),
        (tf.constant(True), TypeError, "learning_rate must be a number, got a tensor of type bool"),
    ],
)
def test_a_tensor_that_is_no_rate_is_refused_before_running(rate, kind, sentence):
    with pytest.raises(kind, match=sentence):
        tf.function(lambda rate: frcnn_tf.sgd_step(*blobs(tf.float32), rate), autograph=False)(rate)


def test_the_results_have_what_is_known_of_any_of_the_three_shapes():
    specs = [tf.TensorSpec(None), tf.TensorSpec((None, 4)), tf.TensorSpec((3, None))]
    step = tf.function(lambda *three: frcnn_tf.sgd_step(*three, 0.1), input_signature=specs, autograph=False)
    assert [shape.as_list() for shape in step.get_concrete_function().output_shapes] == [[3, 4]] * 2
    with pytest.raises(ValueError, match=r"velocity must have the shape of weights, \(3,\), got \(4,\)"):
        tf.function(lambda w: frcnn_tf.sgd_step(w, tf.ones(3), tf.ones(4), 0.1), input_signature=specs[:1])(tf.ones(3))


def test_the_op_refuses_shapes_that_differ_where_they_are_known():
    def step(weights, rate):
        ops, three = library.load(), tf.ones(3)
        return ops.frcnn_sgd_step(weights=weights, gradients=three, velocity=three, rate=rate, momentum=0.9, decay=0.0)

    for weights, rate in ((tf.TensorSpec((4,)), tf.TensorSpec(())), (tf.TensorSpec((3,)), tf.TensorSpec((1,)))):
        with pytest.raises(ValueError, match="must be"):
            tf.function(step, autograph=False).get_concrete_function(weights, rate)
