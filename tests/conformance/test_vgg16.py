"""VGG16's convolutions in NumPy are the convolutions that they claim to be."""

from pathlib import Path

import numpy as np
import pytest

from frcnn.conformance import photographs, vgg16
from frcnn.conformance.tolerance import UNIT_ROUNDOFF, gamma

SHAPES = {f"{name}/w": (o, c, 3, 3) for name, c, o in vgg16.LAYERS} | {f"{n}/b": (o,) for n, _, o in vgg16.LAYERS}
REAL = Path(__file__).parents[2].parent / "shared" / "data"


def convolved_by_loops(x, w, b):
    """The definition of a 3 x 3 convolution with padding 1, one cell at a time, in float64, before ReLU."""
    C, H, W = x.shape
    padded = np.zeros((C, H + 2, W + 2))
    padded[:, 1:-1, 1:-1] = x
    taps = w.astype(np.float64).reshape(len(w), -1)
    result = np.empty((len(w), H, W))
    for row, column in np.ndindex(H, W):
        result[:, row, column] = taps @ padded[:, row : row + 3, column : column + 3].ravel() + b
    return result


def convolution_bound(x, w, b, convolved):
    """An inner product of 9 C terms and a bias in float32: 9 C + 1 roundings in any order."""
    return gamma(9 * len(x) + 1, UNIT_ROUNDOFF["float32"]) * convolved(np.abs(x), np.abs(w), np.abs(b))


def random_convolution(C, O, H, W):  # noqa: E741, the count of output channels
    rng = np.random.default_rng(7)
    shapes = (C, H, W), (O, C, 3, 3), (O,)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def exact_weights():
    """Weights for which float32 is exact: three taps of -1 or 1 an output, so that no value passes 2^24."""
    rng = np.random.default_rng(3)
    weights = {}
    for name, shape in SHAPES.items():
        weights[name] = np.zeros(shape, np.float32)
        if name.endswith("/w"):
            flat = weights[name].reshape(shape[0], -1)
            for row in flat:
                row[rng.choice(row.size, 3, replace=False)] = rng.choice([-1, 1, 1], 3)
    return weights


@pytest.fixture(scope="module")
def zeros():
    return {name: np.zeros(shape, np.float16) for name, shape in SHAPES.items()}


@pytest.mark.parametrize("size", [(9, 7), (1, 1), (1, 6), (5, 2)])
def test_a_convolution_equals_the_loop_that_defines_it(size):
    x, w, b = random_convolution(5, 4, *size)
    error = np.abs(vgg16.convolve(x, w, b) - np.maximum(convolved_by_loops(x, w, b), 0))
    assert (error <= convolution_bound(x, w, b, convolved_by_loops)).all()


def test_blocks_of_rows_join_without_a_seam(monkeypatch):
    x, w, b = (np.round(3 * array) for array in random_convolution(3, 4, 9, 7))  # whole numbers: exact in any order
    monkeypatch.setattr(vgg16, "CELLS_AT_ONCE", 14)  # two rows a block, and one left over
    np.testing.assert_array_equal(vgg16.convolve(x, w, b), np.maximum(convolved_by_loops(x, w, b), 0))


@pytest.mark.parametrize(
    ("size", "pooled"), [((4, 6), (2, 3)), ((5, 6), (3, 3)), ((4, 7), (2, 4)), ((5, 7), (3, 4)), ((1, 1), (1, 1))]
)
def test_pooling_rounds_odd_sizes_up(size, pooled):
    x = np.random.default_rng(5).standard_normal((2, *size), np.float32)
    want = [[[x[c, 2 * r : 2 * r + 2, 2 * k : 2 * k + 2].max() for k in range(pooled[1])] for r in range(pooled[0])]
            for c in range(2)]  # fmt: skip
    np.testing.assert_array_equal(vgg16.max_pool(x), np.float32(want))


def test_the_thirteen_layers_follow_one_another_as_in_the_paper():
    weights = exact_weights()
    image = np.random.default_rng(11).integers(-3, 4, (3, 9, 7)).astype(np.float32)
    want = image.astype(np.float64)
    for block, depth in enumerate((2, 2, 3, 3, 3), start=1):
        for k in range(1, depth + 1):
            layer = f"conv{block}_{k}"
            want = np.maximum(convolved_by_loops(want, weights[f"{layer}/w"], weights[f"{layer}/b"]), 0)
        want = vgg16.max_pool(want) if block < 5 else want
    got = vgg16.conv5_3(image, weights)
    assert got.shape == (512, 1, 1)
    assert 0 < want.max() < 2**24
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)


def test_weights_are_widened_to_float32(tmp_path, zeros):
    np.savez_compressed(tmp_path / "w.npz", **{**zeros, "conv3_2/b": np.full(256, 0.1, np.float16)})
    weights = vgg16.load_weights(tmp_path / "w.npz")
    assert {name: (array.shape, array.dtype) for name, array in weights.items()} == {
        name: (shape, np.float32) for name, shape in SHAPES.items()
    }
    assert weights["conv3_2/b"][0] == np.float32(np.float16(0.1))


def test_a_missing_array_is_named(tmp_path, zeros):
    del zeros["conv4_2/b"]
    np.savez_compressed(tmp_path / "w.npz", **zeros)
    with pytest.raises(ValueError, match=r"w\.npz must be an \.npz file that holds conv4_2/b"):
        vgg16.load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize("wrong", [np.zeros((64, 3, 3), np.float16), np.zeros((64, 3, 3, 3), np.int8)])
def test_an_array_of_another_shape_or_of_integers_is_named(tmp_path, wrong):
    np.savez_compressed(tmp_path / "w.npz", **{"conv1_1/w": wrong})
    with pytest.raises(ValueError, match=r"w\.npz holds conv1_1/w as .*, but VGG16's is of floats \(64, 3, 3, 3\)"):
        vgg16.load_weights(tmp_path / "w.npz")


@pytest.mark.parametrize("content", [b"", b"a pickle, or anything else", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_archive_is_named(tmp_path, content):
    (tmp_path / "w.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.npz must be an \.npz file .* cannot be read"):
        vgg16.load_weights(tmp_path / "w.npz")


@pytest.mark.skipif(not REAL.is_dir(), reason="needs the real photographs and weights in ../shared/data")
def test_on_a_real_photograph_every_layer_equals_torch():
    """Each layer gets the same input on both sides: over thirteen layers a worst-case bound would say nothing."""
    torch = pytest.importorskip("torch")

    def torch_convolved(x, w, b):
        tensors = (torch.from_numpy(array.astype(np.float64)) for array in (x, w, b))
        return torch.nn.functional.conv2d(*tensors, padding=1).numpy()

    weights = vgg16.load_weights(REAL / "weights" / "vgg16_imagenet_conv_fp16.npz")
    first = sorted((REAL / "voc07" / "VOCdevkit" / "VOC2007" / "JPEGImages").glob("*.jpg"))[0]
    image = photographs.resized(photographs.decoded(first))[0][:, ::4, ::4]
    x = image
    for name, _, _ in vgg16.LAYERS:
        w, b = weights[f"{name}/w"], weights[f"{name}/b"]
        got, want = vgg16.convolve(x, w, b), np.maximum(torch_convolved(x, w, b), 0)
        assert (np.abs(got - want) <= convolution_bound(x, w, b, torch_convolved)).all(), name
        ceil_pooled = torch.nn.functional.max_pool2d(torch.from_numpy(got)[None], 2, ceil_mode=True)[0].numpy()
        np.testing.assert_array_equal(vgg16.max_pool(got), ceil_pooled)
        x = ceil_pooled if name in vgg16.POOLED else got
    np.testing.assert_array_equal(vgg16.conv5_3(image, weights), x)
