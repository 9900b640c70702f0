"""Which operators have no gradient: those that have none in torch either."""

import numpy as np
import pytest
import tensorflow as tf

from frcnn.backends import tf as frcnn_tf


@pytest.mark.parametrize("kind", [tf.float32, tf.float64])
@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_none_passes_through_truncated_svd(kind, shape):
    """Of float32 layers wider than high a part did: that of the first layer with the second held constant."""
    weights = tf.constant(np.random.default_rng(0).normal(size=shape), kind)
    bias = tf.ones(shape[0], kind)
    with tf.GradientTape() as tape:
        tape.watch([weights, bias])
        found = *frcnn_tf.truncated_svd(weights, 2, bias), frcnn_tf.svd_approximation(weights, 2)
    assert tape.gradient(found, [weights, bias]) == [None, None]


def test_none_passes_through_the_rois_of_a_minibatch(profile):
    proposals, truth = tf.constant([[0.0, 0, 9, 4]]), tf.constant([[0.0, 0, 9, 9]])
    with tf.GradientTape() as tape:
        tape.watch([proposals, truth])
        rois, overlaps, _ = frcnn_tf.match_rois(proposals, truth, tf.constant([7]), profile=profile)
    assert tape.gradient([rois, overlaps], [proposals, truth]) == [None, None]
