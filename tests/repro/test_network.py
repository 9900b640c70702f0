"""Networks as data, their first parameters, and torch's reading of them."""

import re
from importlib import resources

import numpy as np
import pytest
import torch
from network_cases import CLASSES, POOLINGS, images, maps, minibatch
from network_in_numpy import apart, forward, max_pool, random_parameters, trunk, trunk_names

from frcnn.repro import torch_network
from frcnn.repro.layers import LRN, MaxPool
from frcnn.repro.network import NAMES, Network, new_parameters, read_network


def tensors(parameters):
    return {name: torch.from_numpy(array) for name, array in parameters.items()}


@pytest.mark.parametrize("name", NAMES)
def test_the_map_of_an_image_has_the_size_that_the_network_says(name):
    network = read_network(name)
    parameters = tensors(random_parameters(network, CLASSES, trunk_names(network)))
    for size in ((96, 97), (98, 99), (100, 101), (103, 111)):
        found = torch_network.trunk(network, parameters, torch.from_numpy(images(size=size)))
        assert tuple(found.shape) == (1, network.channels, *network.map_size(size))


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("L", (600, 1000), (38, 63)),
        ("S", (600, 1000), (39, 64)),
        ("M", (600, 1000), (36, 61)),
        ("T", (227, 227), (13, 13)),
    ],
)
def test_the_maps_are_as_large_as_the_original_networks_maps(name, size, expected):
    # S: conv1 gives 150 x 250, poolings 76 x 126 and 39 x 64; M: 297, 148, 73, 36; T: SqueezeNet's fire9 is 13 x 13.
    assert read_network(name).map_size(size) == expected


def test_a_network_s_mean_and_normalisation_are_the_original_s():
    # lib/fast_rcnn/config.py:119; T: the Deep Compression release. norm1, norm2: models/CaffeNet, VGG_CNN_M_1024.
    networks = {name: read_network(name) for name in NAMES}
    means = dict.fromkeys(("L", "M", "S", "I"), (102.9801, 115.9465, 122.7717)) | {"T": (104.0, 117.0, 123.0)}
    assert {name: network.mean for name, network in networks.items()} == means
    norms = {"M": [LRN(size=5, alpha=5e-4, beta=0.75, k=2.0)] * 2, "S": [LRN(size=5, alpha=1e-4, beta=0.75, k=1.0)] * 2}
    for name, network in networks.items():
        assert [layer for layer in network.trunk if isinstance(layer, LRN)] == norms.get(name, [])


@pytest.mark.parametrize("name", NAMES)
def test_torch_computes_the_trunk_that_numpy_does(name):
    network = read_network(name)
    parameters = random_parameters(network, CLASSES, trunk_names(network))
    ours, variance = trunk(network, parameters, images())
    theirs = torch_network.trunk(network, tensors(parameters), torch.from_numpy(images())).numpy()
    assert (np.abs(ours - theirs) <= apart(variance)).all()


@pytest.fixture(scope="module")
def expected():
    """What NumPy computes, which takes a second."""
    return {name: forward(*minibatch(name)) for name in ("T", "I")}


@pytest.mark.parametrize("name", ["T", "I"])
def test_torch_computes_the_scores_that_numpy_does(name, expected):
    network, parameters, pixels, rois, masks = minibatch(name)
    found = torch_network.forward(
        network, tensors(parameters), torch.from_numpy(pixels), torch.from_numpy(rois), tensors(masks)
    )
    for (ours, variance), theirs in zip(expected[name], found, strict=True):
        assert (np.abs(ours - theirs.numpy()) <= apart(variance)).all()
        assert apart(variance).max() <= 1e-10 * np.abs(ours).max()


@pytest.mark.parametrize("layer", ["conv1", "fire9/conv3x3_2", "fc7"])
def test_the_bound_notices_one_layer_that_float32_has_rounded(layer, expected):
    network, parameters, *others = minibatch("T")
    parameters[f"{layer}/w"] = parameters[f"{layer}/w"].astype(np.float32).astype(np.float64)
    for (ours, variance), (theirs, _) in zip(expected["T"], forward(network, parameters, *others), strict=True):
        assert (np.abs(ours - theirs) > apart(variance)).any()


@pytest.mark.parametrize("pooling", POOLINGS)
def test_torch_pools_windows_at_the_border_as_the_clauses_say(pooling):
    layer = MaxPool(*pooling)
    network = Network("pool", "", (0, 0, 0), 1, 1, (), (layer,), ())
    for x in maps():
        found = torch_network.trunk(network, {}, torch.from_numpy(x)).numpy()
        np.testing.assert_array_equal(found, max_pool(x, *pooling))
        assert found.shape[2:] == network.map_size(x.shape[2:])


def test_nothing_is_dropped_in_testing():
    network, parameters, _, rois, masks = minibatch("T")
    pooled = torch.rand(len(rois), network.channels, network.grid, network.grid, dtype=torch.float64)
    kept = {name: torch.ones(mask.shape, dtype=torch.float64) for name, mask in masks.items()}
    tested = torch_network.head(network, tensors(parameters), pooled)
    assert torch.equal(tested[0], torch_network.head(network, tensors(parameters), pooled, kept)[0])
    dropped = torch_network.head(network, tensors(parameters), pooled, tensors(masks))
    assert not torch.equal(tested[0], dropped[0])


def test_every_parameter_takes_part():
    network, parameters, pixels, rois, masks = minibatch("T")
    watched = {name: tensor.requires_grad_() for name, tensor in tensors(parameters).items()}
    scores, deltas = torch_network.forward(
        network, watched, torch.from_numpy(pixels), torch.from_numpy(rois), tensors(masks)
    )
    (scores.square().sum() + deltas.square().sum()).backward()
    assert [name for name, tensor in watched.items() if tensor.grad is None or not tensor.grad.any()] == []


def test_model_l_has_the_parameters_of_vgg16():
    shapes = read_network("L").shapes(20)
    own = sum(int(np.prod(shape)) for name, shape in shapes.items() if name.startswith(("conv", "fc")))
    # Simonyan and Zisserman have 138 million; of configuration D's 138,357,544 fc8 holds 4096 x 1000 + 1000.
    assert own == 138_357_544 - 4_097_000
    assert shapes["cls_score/w"] == (21, 4096)
    assert shapes["bbox_pred/w"] == (84, 4096)


def test_what_is_given_is_taken_and_the_rest_is_drawn():
    network = read_network("I")
    given = {"conv1/w": np.full((16, 3, 5, 5), 0.5, np.float16), "conv_final/w": np.zeros(3)}
    parameters, initialised = new_parameters(network, CLASSES, np.random.default_rng(0), given)
    assert initialised == [name for name in network.shapes(CLASSES) if name != "conv1/w"]
    assert {name: array.shape for name, array in parameters.items()} == network.shapes(CLASSES)
    assert {array.dtype for array in parameters.values()} == {np.dtype(np.float32)}
    assert (parameters["conv1/w"] == 0.5).all()


def test_a_drawn_parameter_does_not_depend_on_what_else_is_given():
    network = read_network("I")
    alone, _ = new_parameters(network, CLASSES, np.random.default_rng(7))
    other, _ = new_parameters(network, CLASSES, np.random.default_rng(7), {"conv1/w": alone["conv1/w"] + 1})
    for name in alone.keys() - {"conv1/w"}:
        np.testing.assert_array_equal(alone[name], other[name])


# fc7 has 1,024 inputs, fire9's 3 x 3 convolution 64 x 9, conv1 3 x 49, and those are pixels.
FIRST_STDS = {
    "cls_score/w": 0.01,
    "bbox_pred/w": 0.001,
    "fc7/w": np.sqrt(2 / 1024),
    "fire9/conv3x3_2/w": np.sqrt(2 / 576),
    "conv1/w": np.sqrt(2 / 147) / 64,
}


def test_first_weights_have_the_deviations_that_are_stated():
    parameters, _ = new_parameters(read_network("T"), 20, np.random.default_rng(0))
    for name, std in FIRST_STDS.items():
        weights = parameters[name].astype(np.float64)
        # The mean square of n normal numbers has a standard deviation of sqrt(2 / n).
        assert abs(np.square(weights / std).mean() - 1) < 7 * np.sqrt(2 / weights.size)
    assert not any(parameters[name].any() for name in parameters if name.endswith("/b"))


def test_a_given_weight_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=re.escape("fc6/w is given as float32 (128, 1), but I has floats (128, 2304)")):
        new_parameters(read_network("I"), 3, np.random.default_rng(0), {"fc6/w": np.zeros((128, 1), np.float32)})


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300], ids=["NaN", "infinite", "beyond float32"])
def test_a_given_weight_that_is_not_finite_is_refused(value):
    with pytest.raises(ValueError, match="conv1/b is given with a number that is not finite"):
        new_parameters(read_network("I"), 3, np.random.default_rng(0), {"conv1/b": np.full(16, value)})


def test_layers_are_frozen_by_name():
    assert read_network("T").parameters_of(["conv1", "fire2"]) == (
        *("conv1/w", "conv1/b"),
        *("fire2/conv1x1_1/w", "fire2/conv1x1_1/b"),
        *("fire2/conv1x1_2/w", "fire2/conv1x1_2/b", "fire2/conv3x3_2/w", "fire2/conv3x3_2/b"),
    )
    with pytest.raises(ValueError, match="'conv1_' is no layer with weights of L; those are conv1_1"):
        read_network("L").parameters_of(["conv1_"])


def test_an_image_that_leaves_no_cell_is_refused():
    with pytest.raises(ValueError, match="too small for T"):
        read_network("T").map_size((6, 100))


WRONG = [
    ('kind = "relu"', 'kind = "gelu"', "trunk[1] must be a table whose kind is one of conv, relu"),
    ("grid = 6", "grid = 0", "grid must be a whole number of at least 1, got 0"),
    ("grid = 6\n", "", "lacks grid"),
    ("mean = [102.9801, 115.9465, 122.7717]", "mean = [1, 2]", "mean must be three numbers"),
    ("spatial_scale = 0.125", "spatial_scale = 0.0625", "spatial_scale must be 1/8 by the strides, got 0.0625"),
    (
        'name = "conv2", out = 32',
        'name = "conv2", out = -1',
        "trunk[3]: out must be a whole number of at least 1, got -1",
    ),
    ('name = "conv2", out = 32', 'name = "conv2"', "trunk[3] (conv) lacks out"),
    ('name = "conv2"', 'nmae = "conv2"', "trunk[3] (conv) has no nmae; its fields: name, out"),
    ('name = "conv2"', 'name = "conv1"', "more than one layer conv1"),
    ("out = 32,", "out = 32, groups = 3,", "conv2 cannot share 16 to 32 channels in 3 groups"),
    (
        "kernel = 2, stride = 2",
        "kernel = 3, stride = 2, pad = 2",
        "trunk[2]: pad must be at most half of kernel, 3, got 2",
    ),
    ("frozen = []", 'frozen = ["conv9"]', "frozen: 'conv9' is no layer with weights"),
    ("grid = 6", "grid = 6\ncolour = 1", "has no colour; its fields"),
    ("grid = 6", "grid 6", "is no TOML"),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG)
def test_a_wrong_file_is_refused_by_the_name_of_what_is_wrong(tmp_path, right, wrong, message):
    text = (resources.files("frcnn.repro.networks") / "I.toml").read_text(encoding="utf-8")
    assert right in text
    path = tmp_path / "I.toml"
    path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read_network(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_and_a_name_that_is_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.toml cannot be read: No such file"):
        read_network(tmp_path / "nowhere.toml")
    with pytest.raises(ValueError, match="network must be one of L, M, S, T, I"):
        read_network("XL")
