"""The operators compose: two steps of training in NumPy equal the same two steps in TensorFlow, within a derived bound.

The network is composition/two_steps.py, the bound composition/bounds.py; ../test_composition.py shows what they notice.
"""

import numpy as np
import pytest
import tensorflow as tf
from bounds import bounds, largest_share
from two_steps import FILTERS, GRID, SCALE, minibatches, start, train, two_steps

from frcnn import reference
from frcnn.backends import tf as frcnn_tf


@pytest.fixture(scope="module")
def batches():
    return minibatches(reference, np.asarray)


def tf_gradients(parameters, batch):
    with tf.GradientTape() as tape:
        tape.watch(list(parameters.values()))

        def connected(x, name):
            return tf.matmul(x, parameters[f"{name}.weight"], transpose_b=True) + parameters[f"{name}.bias"]

        # Channels last, padded by hand: TensorFlow's own "SAME" puts the odd row of zeros at the bottom.
        images = tf.pad(tf.transpose(batch.images, (0, 2, 3, 1)), ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernels = tf.transpose(parameters["conv.weight"], (2, 3, 1, 0))
        z = tf.nn.conv2d(images, kernels, strides=2, padding="VALID") + parameters["conv.bias"]
        pooled = frcnn_tf.roi_pool(tf.nn.relu(z), batch.rois, GRID, SCALE)
        flat = tf.reshape(tf.transpose(pooled, (0, 3, 1, 2)), (-1, FILTERS * GRID[0] * GRID[1]))
        hidden = tf.nn.relu(connected(flat, "fc"))
        scores, deltas = connected(hidden, "cls_score"), connected(hidden, "bbox_pred")
        loss, _, _ = frcnn_tf.multi_task_loss(scores, deltas, batch.labels, batch.targets)
    return tape.gradient(loss, parameters)


def test_tensorflow_draws_the_same_minibatches(batches):
    for ours, theirs in zip(batches, minibatches(frcnn_tf, tf.constant), strict=True):
        for name in ("images", "rois", "labels"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def test_two_steps_in_tensorflow_end_where_those_of_the_reference_do(batches):
    drawn = [batch.having(tf.constant) for batch in minibatches(frcnn_tf, tf.constant)]
    ends = train(*start(tf.constant), drawn, tf_gradients, frcnn_tf)
    for ours, theirs, allowed in zip(two_steps(batches), ends, bounds(batches), strict=True):
        assert largest_share(ours, theirs, allowed) <= 1
