"""Pre-trained weights in the files that the world has them in, under this project's names and conventions.

Ours: cross-correlation, (out, in, kh, kw), fc6 reading (C, P, P), images of blue, green, red in 0..255 less a mean that
goes with the weights. What a file has otherwise is turned round here, once:

.npz          our names as they are; the mean by an array `mean` in the file, or by the two files that are known
.pth          torchvision's VGG16 and SqueezeNet 1.0. They read red, green, blue in 0..1, less a mean, over a standard
              deviation: reversed and divided in the first convolution's weights, which is the same sum
.h5           Keras's VGG16. Kernels (kh, kw, in, out); fc1 reads (P, P, C)
.caffemodel   Caffe's own names; SqueezeNet's fire modules renamed

Nothing in a file is run: no pickled object, no layer of code.
"""

import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from frcnn.repro.npz import why

# Blue, green, red. The original takes the first for all its networks (lib/fast_rcnn/config.py:119).
FAST_RCNN_MEAN = (102.9801, 115.9465, 122.7717)
VGG_MEAN = (103.939, 116.779, 123.68)
SQUEEZENET_MEAN = (104.0, 117.0, 123.0)

# sha256 of files that are known to hold VGG16 trained on ImageNet, fully connected layers and all: its authors'
# VGG_ILSVRC_16_layers.caffemodel, as Open Model Zoo lists it (models/public/vgg16/model.yml), and torchvision's
# vgg16-397923af.pth.
IMAGENET = frozenset(
    (
        "a6196bc498e45ea4cb2637114ae8db9410cf1556fd60a55ae93272371beba197",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    )
)

# torchvision.transforms.Normalize of its ImageNet weights; and of vgg16_features, which came from Caffe.
TORCHVISION_RGB = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
FEATURES_RGB = ((0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255))

_VGG16 = [(block, number) for block, count in enumerate((2, 2, 3, 3, 3), 1) for number in range(1, count + 1)]
_VGG16_FEATURES = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # with ReLUs and poolings counted
_FIRES = {3: 2, 4: 3, 5: 4, 7: 5, 8: 6, 9: 7, 10: 8, 12: 9}  # place in torchvision's features -> number of the module
_FIRE_PARTS = {"squeeze": "conv1x1_1", "expand1x1": "conv1x1_2", "expand3x3": "conv3x3_2"}

TORCHVISION_VGG16 = {
    **{f"features.{k}": f"conv{i}_{j}" for k, (i, j) in zip(_VGG16_FEATURES, _VGG16, strict=True)},
    **{"classifier.0": "fc6", "classifier.3": "fc7"},
}
TORCHVISION_SQUEEZENET = {
    "features.0": "conv1",
    **{f"features.{k}.{t}": f"fire{n}/{o}" for k, n in _FIRES.items() for t, o in _FIRE_PARTS.items()},
}
KERAS_VGG16 = {f"block{i}_conv{j}": f"conv{i}_{j}" for i, j in _VGG16} | {"fc1": "fc6", "fc2": "fc7"}
KERAS_CELLS = 7 * 7  # of the map that fc1 reads

_UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


def read_weights(path):
    """The weights in a file, whichever of the four kinds it is.

    Returns a dict name -> float32 array, as network.new_parameters takes it, and the mean (blue, green, red).
    Raises ValueError naming the file and what is wrong.
    """
    path = Path(path)
    weights, mean = reader_of(path)(path)
    for name, array in weights.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise ValueError(f"{path} holds {name} as {array.dtype}, or with a number that is not finite")
    return {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}, mean


def reader_of(path):
    """The function that reads a file. Raises ValueError where there is no such file, or none reads its kind."""
    readers = {".npz": _npz, ".pth": _pth, ".h5": _h5, ".caffemodel": _caffemodel}
    if path.suffix not in readers:
        raise ValueError(f"{path} must end in one of {', '.join(readers)}, which say how it is read")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return readers[path.suffix]


def _npz(path):
    try:
        with np.load(path, allow_pickle=False) as archive:
            weights = {name: archive[name] for name in archive.files if name.endswith(("/w", "/b"))}
            mean = archive["mean"] if "mean" in archive.files else None
    except _UNREADABLE as error:
        raise ValueError(f"{path} is no .npz file of arrays alone, or cut short: {why(error)}") from None
    if not weights:
        raise ValueError(f"{path} holds no weights: their names end in /w and /b, as conv1_1/w")
    if mean is not None:
        if mean.shape != (3,) or mean.dtype.kind not in "iuf" or not np.isfinite(mean).all():
            raise ValueError(f"{path} has a mean that is not three numbers, blue, green, red: {mean}")
        return weights, tuple(mean.tolist())
    for first, known in (("conv1_1/w", VGG_MEAN), ("fire2/conv1x1_1/w", SQUEEZENET_MEAN)):
        if first in weights:
            return weights, known
    raise ValueError(f"{path} does not say its mean; add an array `mean`: blue, green, red in 0..255")


def _pth(path):
    from frcnn.repro import torch_weights

    state = torch_weights.read_state(path)
    # SqueezeNet's seventh layer is a module of three convolutions, VGG16's an ordinary one.
    names = TORCHVISION_SQUEEZENET if "features.7.squeeze.weight" in state else TORCHVISION_VGG16
    weights = {}
    for theirs, ours in names.items():
        for part, suffix in (("weight", "w"), ("bias", "b")):
            if f"{theirs}.{part}" in state:
                weights[f"{ours}/{suffix}"] = state[f"{theirs}.{part}"]
            elif not theirs.startswith("classifier"):
                raise ValueError(f"{path} lacks {theirs}.{part}; torchvision's vgg16 and squeezenet1_0 are read")
    rgb = TORCHVISION_RGB
    if "fc6/w" in weights and np.isnan(weights["fc6/w"]).all():
        # torchvision's vgg16_features: it fills what it does not have.
        rgb = FEATURES_RGB
        weights = {name: array for name, array in weights.items() if not name.startswith("fc")}
    first = "conv1_1/w" if "conv1_1/w" in weights else "conv1/w"
    weights[first], mean = _as_bgr(f"{path}: {first}", weights[first], *rgb)
    return weights, mean


def _as_bgr(where, w, mean, std):
    """Weights (out, 3, kh, kw) for red, green, blue in (x / 255 - mean) / std, as weights for blue, green, red in x."""
    if w.ndim != 4 or w.shape[1] != 3:
        raise ValueError(f"{where} must be (out, 3, kh, kw), as a photograph has three colours, got {w.shape}")
    per_pixel = w.astype(np.float64) / (255 * np.array(std))[:, None, None]
    return per_pixel[:, ::-1], tuple(255 * value for value in reversed(mean))


def _h5(path):
    import h5py

    found = {}

    def take(place, entry):
        parts = place.split("/")
        layer = next((part for part in parts if part in KERAS_VGG16), None)
        if layer is None or not isinstance(entry, h5py.Dataset) or parts[0].startswith("optimizer"):
            return
        # The names of the two have changed from version to version, their ranks have not.
        name = f"{KERAS_VGG16[layer]}/{'w' if entry.ndim > 1 else 'b'}"
        if name in found or entry.external or entry.is_virtual:
            raise ValueError(f"{path} has {place} twice, or in another file")
        found[name] = _from_keras(f"{path}: {place}", entry[()], layer == "fc1")

    try:
        with h5py.File(path, "r") as file:
            file.visititems(take)
    except OSError as error:
        raise ValueError(f"{path} is no HDF5 file, or cut short: {error}") from None
    for layer in KERAS_VGG16.values():
        if f"{layer}/w" not in found and not layer.startswith("fc"):
            raise ValueError(
                f"{path} lacks {layer}; Keras's VGG16 by its layers' names, block1_conv1 and so on, is read"
            )
    return found, VGG_MEAN


def _from_keras(where, array, reads_map):
    """A kernel (kh, kw, in, out) or (in, out) as ours; fc1's rows come in the order (P, P, C)."""
    if array.ndim == 4:
        if array.shape[0] != array.shape[1]:
            raise ValueError(f"{where} is {array.shape}, not (kh, kw, in, out); take the file of tf ordering")
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 2 and reads_map:
        if array.shape[0] % KERAS_CELLS:
            raise ValueError(f"{where} is {array.shape}, whose first is no multiple of 7 x 7")
        return array.reshape(KERAS_CELLS, -1, array.shape[1]).transpose(2, 1, 0).reshape(array.shape[1], -1)
    return array.T


def _caffemodel(path):
    from frcnn.repro.caffemodel import read_caffemodel

    weights, is_squeezenet = {}, False
    for name, array in read_caffemodel(path).items():
        if fire := re.fullmatch(r"(fire\d+)/(squeeze|expand1x1|expand3x3)(?:1x1)?/([wb])", name):
            is_squeezenet, (module, part, suffix) = True, fire.groups()
            name = f"{module}/{_FIRE_PARTS[part]}/{suffix}"
        weights[name] = array
    return weights, SQUEEZENET_MEAN if is_squeezenet else FAST_RCNN_MEAN
