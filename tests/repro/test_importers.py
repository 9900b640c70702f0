"""Weights of other programs come in under our names and conventions; what is no weights is refused and not run."""

import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from frcnn.repro.importers import (
    FAST_RCNN_MEAN,
    IMAGENET,
    KERAS_VGG16,
    SQUEEZENET_MEAN,
    TORCHVISION_SQUEEZENET,
    TORCHVISION_VGG16,
    VGG_MEAN,
    read_weights,
)
from frcnn.repro.network import new_parameters, read_network
from frcnn.repro.proposals import read_npz

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "weights"
NARROW = 2  # channels of the small VGG16s that are written here


def random_like(*shape):
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32)


def vgg16_state():
    """A narrow VGG16 as torchvision writes it: two filters a layer, three outputs of fc6 and fc7."""
    state = {}
    for theirs, ours in TORCHVISION_VGG16.items():
        shape = {"fc6": (3, NARROW * 49), "fc7": (3, 3), "conv1_1": (NARROW, 3, 3, 3)}.get(ours, (NARROW, NARROW, 3, 3))
        state[f"{theirs}.weight"] = torch.from_numpy(random_like(*shape))
        state[f"{theirs}.bias"] = torch.from_numpy(random_like(shape[0]))
    return state | {"classifier.6.weight": torch.zeros(4, 3), "classifier.6.bias": torch.zeros(4)}


def written(tmp_path, state):
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    return path


def test_the_known_means_are_blue_green_red_as_published():
    assert FAST_RCNN_MEAN == (102.9801, 115.9465, 122.7717)  # lib/fast_rcnn/config.py:119
    assert VGG_MEAN == (103.939, 116.779, 123.68)  # the release of VGG16
    assert SQUEEZENET_MEAN == (104.0, 117.0, 123.0)  # SqueezeNet_v1.0/train_val.prototxt


def test_the_known_files_of_imagenet_s_weights_are_whole_digests_and_torchvision_s_is_that_of_the_file_s_name():
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in IMAGENET)
    assert sum(digest.startswith("397923af") for digest in IMAGENET) == 1  # vgg16-397923af.pth


class TestNpz:
    def test_our_names_come_in_as_they_are(self, tmp_path):
        path, w = tmp_path / "w.npz", random_like(4, 3, 3, 3).astype(np.float16)
        np.savez(path, **{"conv1_1/w": w, "conv1_1/b": np.zeros(4, np.float16), "note": np.zeros(1)})
        weights, mean = read_weights(path)
        assert weights.keys() == {"conv1_1/w", "conv1_1/b"}
        assert weights["conv1_1/w"].dtype == np.float32
        np.testing.assert_array_equal(weights["conv1_1/w"], w)
        assert mean == VGG_MEAN

    def test_a_mean_in_the_file_goes_with_the_weights(self, tmp_path):
        np.savez(tmp_path / "w.npz", **{"conv1_1/w": np.zeros(4), "mean": np.array([1.0, 2.0, 3.0])})
        assert read_weights(tmp_path / "w.npz")[1] == (1.0, 2.0, 3.0)
        np.savez(tmp_path / "w.npz", **{"conv1_1/w": np.zeros(4), "mean": np.array([104, 117, 123])})
        assert read_weights(tmp_path / "w.npz")[1] == (104, 117, 123)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"stem/w": np.zeros(4)}, "does not say its mean; add an array `mean`"),
            ({"stem/w": np.zeros(4), "mean": np.zeros(2)}, "has a mean that is not three numbers"),
            ({"stem": np.zeros(4)}, "holds no weights: their names end in /w and /b"),
            ({"conv1_1/w": np.zeros(4, int)}, "holds conv1_1/w as int64"),
            ({"conv1_1/w": np.full(4, np.inf)}, "holds conv1_1/w as float64, or with a number that is not finite"),
            ({"conv1_1/w": np.array([{}], object)}, "is no .npz file of arrays alone"),
        ],
    )
    def test_what_is_no_weights_is_refused(self, tmp_path, arrays, message):
        np.savez(tmp_path / "w.npz", **arrays)
        with pytest.raises(ValueError, match=re.escape(message)):
            read_weights(tmp_path / "w.npz")


class TestTorchvision:
    def test_vgg16_comes_in_by_its_places(self, tmp_path):
        state = vgg16_state()
        weights, _ = read_weights(written(tmp_path, state))
        assert list(weights) == [f"{ours}/{part}" for ours in TORCHVISION_VGG16.values() for part in "wb"]
        for theirs, ours in (("features.2", "conv1_2"), ("features.28", "conv5_3"), ("classifier.0", "fc6")):
            np.testing.assert_array_equal(weights[f"{ours}/w"], state[f"{theirs}.weight"])
            np.testing.assert_array_equal(weights[f"{ours}/b"], state[f"{theirs}.bias"])

    def test_the_first_convolution_answers_the_same_to_blue_green_red(self, tmp_path):
        state = vgg16_state()
        weights, mean = read_weights(written(tmp_path, state))
        rgb = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 8, 9))).double()
        their_mean, std = (
            torch.tensor(t).double()[:, None, None] for t in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        )
        theirs = torch.conv2d((rgb / 255 - their_mean) / std, state["features.0.weight"].double(), padding=1)
        bgr = rgb.flip(1) - torch.tensor(mean).double()[:, None, None]
        w = torch.from_numpy(weights["conv1_1/w"]).double()
        ours = torch.conv2d(bgr, w, padding=1)
        # Each weight is rounded to float32 once; what float64 adds is far less than the second half of the allowance.
        allowed = 2 * 2.0**-24 * torch.conv2d(bgr.abs(), w.abs(), padding=1)
        assert ((ours - theirs).abs() <= allowed).all()

    def test_the_features_without_a_classifier_have_a_mean_of_their_own(self, tmp_path):
        state = vgg16_state()
        state |= {name: torch.full_like(t, torch.nan) for name, t in state.items() if name.startswith("classifier")}
        weights, mean = read_weights(written(tmp_path, state))
        assert not any(name.startswith("fc") for name in weights)
        np.testing.assert_allclose(mean, (104, 117, 123), atol=0.005)  # published with five decimals of 1 / 255
        np.testing.assert_array_equal(weights["conv1_1/w"], state["features.0.weight"].flip(1))

    def test_squeezenet_is_model_t(self, tmp_path):
        shapes, state = read_network("T").shapes(20), {}
        for theirs, ours in TORCHVISION_SQUEEZENET.items():
            state[f"{theirs}.weight"] = torch.from_numpy(random_like(*shapes[f"{ours}/w"]))
            state[f"{theirs}.bias"] = torch.from_numpy(random_like(*shapes[f"{ours}/b"]))
        weights, _ = read_weights(written(tmp_path, state))
        _, initialised = new_parameters(read_network("T"), 20, np.random.default_rng(0), weights)
        assert {name.partition("/")[0] for name in initialised} == {"fc6", "fc7", "cls_score", "bbox_pred"}
        np.testing.assert_array_equal(weights["fire9/conv3x3_2/w"], state["features.12.expand3x3.weight"])
        np.testing.assert_array_equal(weights["fire2/conv1x1_1/b"], state["features.3.squeeze.bias"])

    def test_nothing_in_the_file_is_run(self, tmp_path):
        trace = tmp_path / "trace"

        class Hostile:
            def __reduce__(self):
                return Path.mkdir, (trace,)

        path = written(tmp_path, {"features.0.weight": Hostile()})
        with pytest.raises(ValueError, match="is no file of tensors alone"):
            read_weights(path)
        assert not trace.exists()

    def test_another_network_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match=re.escape("lacks features.0.weight; torchvision's vgg16")):
            read_weights(written(tmp_path, {"stem.weight": torch.zeros(1)}))
        with pytest.raises(ValueError, match="is no state dict"):
            read_weights(written(tmp_path, [torch.zeros(1)]))


def keras_file(path, place, change=lambda name, array: array):
    """A narrow VGG16 as Keras writes it, with the maps that its kernels have as (out, in, kh, kw)."""
    ours = {}
    with h5py.File(path, "w") as file:
        for theirs, name in KERAS_VGG16.items():
            if name.startswith("conv"):
                kernel = random_like(3, 3, 3 if name == "conv1_1" else NARROW, NARROW)
                ours[name] = kernel.transpose(3, 2, 0, 1)
            else:
                kernel = random_like(NARROW * 49 if name == "fc6" else 3, 3)
                ours[name] = kernel.T
            file[place.format(theirs, "kernel")] = change(name, kernel)
            file[place.format(theirs, "bias")] = random_like(kernel.shape[-1])
    return ours


class TestKeras:
    @pytest.mark.parametrize(
        "place", ["{0}/{0}/{1}:0", "{0}/{0}_{1}_1:0", "model_weights/{0}/{0}/{1}:0", "layers/{0}/{1}"]
    )
    def test_vgg16_comes_in_by_its_layers_wherever_they_lie(self, tmp_path, place):
        ours = keras_file(tmp_path / "w.h5", place)
        weights, mean = read_weights(tmp_path / "w.h5")
        assert mean == VGG_MEAN
        assert weights.keys() == {f"{name}/{part}" for name in ours for part in "wb"}
        for name in ("conv1_1", "conv5_3", "fc7"):
            np.testing.assert_array_equal(weights[f"{name}/w"], ours[name])

    def test_fc1_answers_the_same_to_a_map_with_channels_first(self, tmp_path):
        ours = keras_file(tmp_path / "w.h5", "{0}/{1}")
        fc6 = read_weights(tmp_path / "w.h5")[0]["fc6/w"]
        # Whole numbers, so that sums are exact in any order.
        pooled = np.random.default_rng(0).integers(0, 9, (NARROW, 7, 7)).astype(np.float64)
        counted = np.round(fc6 * 64), np.round(ours["fc6"] * 64)
        np.testing.assert_array_equal(counted[0] @ pooled.ravel(), counted[1] @ pooled.transpose(1, 2, 0).ravel())

    def test_a_file_without_the_top_is_read(self, tmp_path):
        keras_file(tmp_path / "w.h5", "{0}/{1}")
        with h5py.File(tmp_path / "w.h5", "a") as file:
            del file["fc1"], file["fc2"]
        assert not any(name.startswith("fc") for name in read_weights(tmp_path / "w.h5")[0])

    def test_an_optimisers_state_is_no_weight(self, tmp_path):
        keras_file(tmp_path / "w.h5", "model_weights/{0}/{1}")
        with h5py.File(tmp_path / "w.h5", "a") as file:
            file["optimizer_weights/block1_conv1/kernel"] = np.zeros((3, 3, 3, 2))
        assert read_weights(tmp_path / "w.h5")[0]["conv1_1/w"].any()

    def test_channels_first_kernels_are_refused(self, tmp_path):
        keras_file(tmp_path / "w.h5", "{0}/{1}", lambda name, k: k.transpose(3, 2, 0, 1) if k.ndim == 4 else k)
        with pytest.raises(ValueError, match=re.escape("block1_conv1/kernel is (2, 3, 3, 3), not (kh, kw, in, out)")):
            read_weights(tmp_path / "w.h5")

    def test_data_in_another_file_is_refused(self, tmp_path):
        (tmp_path / "secret").write_bytes(bytes(216))
        keras_file(tmp_path / "w.h5", "{0}/{1}")
        with h5py.File(tmp_path / "w.h5", "a") as file:
            del file["block1_conv1/kernel"]
            file.create_dataset(
                "block1_conv1/kernel", (3, 3, 3, 2), "f4", external=[(str(tmp_path / "secret"), 0, 216)]
            )
        with pytest.raises(ValueError, match="block1_conv1/kernel twice, or in another file"):
            read_weights(tmp_path / "w.h5")

    def test_another_network_and_no_hdf5_at_all_are_refused(self, tmp_path):
        with h5py.File(tmp_path / "w.h5", "w") as file:
            file["stem/kernel"] = np.zeros(3)
        with pytest.raises(ValueError, match="lacks conv1_1; Keras's VGG16"):
            read_weights(tmp_path / "w.h5")
        (tmp_path / "w.h5").write_bytes(b"none")
        with pytest.raises(ValueError, match="is no HDF5 file"):
            read_weights(tmp_path / "w.h5")


@pytest.mark.parametrize("suffix", [".npz", ".pth", ".h5", ".caffemodel"])
@pytest.mark.parametrize("content", [None, b"", b"neither", bytes(range(256))], ids=["none", "empty", "text", "bytes"])
def test_a_file_that_is_none_of_its_kind_is_refused_by_name(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        read_weights(path)
    assert "weights_only" not in str(caught.value)  # which torch advises to turn off


@pytest.mark.parametrize("suffix", [".npz", ".pth", ".h5", ".caffemodel"])
def test_a_file_that_is_not_there_is_said_not_to_be_there(tmp_path, suffix):
    with pytest.raises(ValueError, match=f"^there is no file {re.escape(str(tmp_path))}/nope{re.escape(suffix)}$"):
        read_weights(tmp_path / f"nope{suffix}")


@pytest.mark.parametrize("read", [read_weights, read_npz], ids=["weights", "proposals"])
def test_nobody_is_advised_to_allow_pickled_objects(tmp_path, read):
    (tmp_path / "text.npz").write_text("neither")
    objects = np.array([{}], object)
    np.savez(tmp_path / "objects.npz", **{"conv1_1/w": objects, "ids": objects, "offsets": objects, "boxes": objects})
    for name in ("text.npz", "objects.npz"):
        with pytest.raises(ValueError, match=f"{name} .*: it holds something else than arrays$"):
            read(tmp_path / name)


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match=re.escape("must end in one of .npz, .pth, .h5, .caffemodel")):
        read_weights(tmp_path / "weights.onnx")


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real weights in ../shared/data")
@pytest.mark.parametrize(
    ("file", "name", "mean", "lacks"),
    [
        ("squeezenet_v1.0.npz", "T", SQUEEZENET_MEAN, {"fc6", "fc7", "cls_score", "bbox_pred"}),
        ("vgg16_imagenet_conv_fp16.npz", "L", VGG_MEAN, {"fc6", "fc7", "cls_score", "bbox_pred"}),
    ],
)
def test_the_real_weights_fit_their_networks(file, name, mean, lacks):
    weights, found = read_weights(REAL / file)
    parameters, initialised = new_parameters(read_network(name), 20, np.random.default_rng(0), weights)
    assert found == mean
    assert {layer.rpartition("/")[0] for layer in initialised} == lacks
    assert {n: a.shape for n, a in parameters.items()} == read_network(name).shapes(20)
