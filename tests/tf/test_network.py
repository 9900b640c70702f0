"""TensorFlow's reading of a network, and that torch's is the same within the derived bound."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from network_cases import CLASSES, POOLINGS, images, maps, minibatch
from network_in_numpy import apart, forward, max_pool, random_parameters, trunk, trunk_names

from frcnn.repro import tf_network
from frcnn.repro.layers import MaxPool
from frcnn.repro.network import NAMES, Network, read_network

# Torch runs in a process of its own, since one that has loaded TensorFlow before it crashes.
IN_TORCH = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch
from network_cases import minibatch
from frcnn.repro import torch_network
def tensors(arrays):
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
network, parameters, images, rois, masks = minibatch("T")
images, rois = torch.from_numpy(images), torch.from_numpy(rois)
scores, deltas = torch_network.forward(network, tensors(parameters), images, rois, tensors(masks))
np.savez(sys.argv[2], scores=scores.numpy(), deltas=deltas.numpy())
"""


def tensors(parameters):
    return {name: tf.constant(array) for name, array in parameters.items()}


@pytest.mark.parametrize("name", NAMES)
def test_tensorflow_computes_the_trunk_that_numpy_does(name):
    network = read_network(name)
    parameters = random_parameters(network, CLASSES, trunk_names(network))
    ours, variance = trunk(network, parameters, images())
    theirs = tf_network.trunk(network, tensors(parameters), tf.constant(images())).numpy()
    assert (np.abs(ours - theirs) <= apart(variance)).all()


def test_torch_and_tensorflow_compute_the_same_scores_in_float64(tmp_path):
    network, parameters, pixels, rois, masks = minibatch("T")
    expected = forward(network, parameters, pixels, rois, masks)
    found = tf_network.forward(network, tensors(parameters), tf.constant(pixels), tf.constant(rois), tensors(masks))
    helpers, file = Path(__file__).parent.parent / "composition", tmp_path / "torch.npz"
    subprocess.run([sys.executable, "-c", IN_TORCH, str(helpers), str(file)], check=True)
    in_torch = np.load(file)
    for (ours, variance), theirs, other in zip(expected, found, ("scores", "deltas"), strict=True):
        allowed = apart(variance)
        assert (np.abs(ours - theirs.numpy()) <= allowed).all()
        assert (np.abs(in_torch[other] - theirs.numpy()) <= allowed).all()
        assert allowed.max() <= 1e-10 * np.abs(ours).max()


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "sizes unknown"])
def test_tensorflow_pools_windows_at_the_border_as_the_clauses_say(pooling, compiled):
    network = Network("pool", "", (0, 0, 0), 1, 1, (), (MaxPool(*pooling),), ())

    def pool(x):
        return tf_network.trunk(network, {}, x)

    if compiled:
        pool = tf.function(pool, input_signature=[tf.TensorSpec((None, 2, None, None), tf.float64)])
    for x in maps():
        np.testing.assert_array_equal(pool(tf.constant(x)).numpy(), max_pool(x, *pooling))


def test_a_gradient_reaches_every_parameter_in_a_compiled_function_of_unknown_sizes():
    network, parameters, pixels, rois, masks = minibatch("T")
    variables = {name: tf.Variable(array) for name, array in parameters.items()}
    masks = tensors(masks)

    @tf.function(
        input_signature=[tf.TensorSpec((None, 3, None, None), tf.float64), tf.TensorSpec((None, 5), tf.float64)]
    )
    def gradients(pixels, rois):
        with tf.GradientTape() as tape:
            scores, deltas = tf_network.forward(network, variables, pixels, rois, masks)
            loss = tf.reduce_sum(scores**2) + tf.reduce_sum(deltas**2)
        return tape.gradient(loss, variables)

    found = gradients(tf.constant(pixels), tf.constant(rois))
    assert [name for name, gradient in found.items() if not np.any(gradient.numpy())] == []


def test_a_gradient_goes_through_groups_normalisation_and_padded_pooling():
    network = read_network("S")
    parameters = tensors(random_parameters(network, CLASSES, trunk_names(network)))
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        total = tf.reduce_sum(tf_network.trunk(network, parameters, tf.constant(images())) ** 2)
    found = tape.gradient(total, parameters)
    assert [name for name, gradient in found.items() if not np.isfinite(gradient).all() or not np.any(gradient)] == []
