"""TensorFlow's forward passes of testing, and a run of it over made-up photographs."""

import numpy as np
import pytest
from network_cases import minibatch
from network_in_numpy import apart, forward

from frcnn.repro import made_up, model, testing, tf_tester
from frcnn.repro.network import new_parameters, read_network
from frcnn.repro.recipe import read_recipe
from frcnn.repro.voc import read_split


@pytest.mark.parametrize("ranks", [{}, {"fc6": 7, "fc7": 3}])
def test_tensorflow_computes_what_numpy_does_with_and_without_the_two_layers_of_svd(ranks):
    network, parameters, pixels, rois, _ = minibatch("T")
    network, parameters = model.compressed(network, parameters, ranks)
    rois = rois[rois[:, 0] == 0]
    masks = {layer: np.ones((len(rois), width)) for layer, width in network.dropout_widths.items()}
    tester = tf_tester.Tester(network, parameters)
    found = tester.head(tester.trunk(pixels[0]), rois)
    for (expected, variance), theirs in zip(forward(network, parameters, pixels[:1], rois, masks), found, strict=True):
        assert (np.abs(expected - theirs) <= apart(variance)).all()


def test_tensorflow_detects_in_made_up_photographs(tmp_path):
    made_up.write_devkit(tmp_path, seed=0, train=1, val=2)
    split = read_split(tmp_path, made_up.YEAR, "val", classes=made_up.CLASSES)
    network = read_network("I")
    arrays, _ = new_parameters(network, 5, np.random.default_rng(0))
    boxes = {photograph.id: np.float32([[0, 0, 99, 99], [50, 20, 139, 200]]) for photograph in split.photographs}
    found = testing.detect_split(network, arrays, split, boxes, read_recipe("instant"), "tf")
    rows = np.concatenate(list(found.by_class.values()))
    assert sorted(set(rows[:, 0])) == [0, 1]
    assert ((0 <= rows[:, 2:]) & (rows[:, 2:] <= (319, 239, 319, 239))).all()


def test_a_device_that_the_operators_do_not_have_is_an_error():
    with pytest.raises(ValueError, match="device must be cpu"):
        tf_tester.Tester(read_network("I"), {}, "cuda")
