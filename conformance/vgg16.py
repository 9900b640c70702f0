"""VGG16's thirteen convolutions in NumPy: from a photograph to its conv5_3 map, without any framework.

A backend that is tested computes no map itself: all are given the same one. Its last bits may therefore differ from
machine to machine (BLAS adds in an order of its own) without any verdict depending on it.

C channels, map H x W. 600 x 800 pixels are 293 GFLOP.

Source: the paper, section 4.1, model L; the original's models/VGG16/test.prototxt.
"""

import zipfile
import zlib

import numpy as np

# (name, channels in, channels out). The weights are (out, in, 3, 3): cross-correlation, as in every framework.
LAYERS = (
    ("conv1_1", 3, 64),
    ("conv1_2", 64, 64),
    ("conv2_1", 64, 128),
    ("conv2_2", 128, 128),
    ("conv3_1", 128, 256),
    ("conv3_2", 256, 256),
    ("conv3_3", 256, 256),
    ("conv4_1", 256, 512),
    ("conv4_2", 512, 512),
    ("conv4_3", 512, 512),
    ("conv5_1", 512, 512),
    ("conv5_2", 512, 512),
    ("conv5_3", 512, 512),
)
POOLED = frozenset({"conv1_2", "conv2_2", "conv3_3", "conv4_3"})

# Map cells that one matrix product covers, for which 9 C floats each are laid out: 74 MB at C = 512. Between 1,600 and
# 16,000 the time does not change beyond noise.
CELLS_AT_ONCE = 4000

# What NumPy raises for a file that is no .npz, or for one that is cut short or lacks an array. (A bare .npy array is no
# context manager: TypeError.)
UNREADABLE = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error)


def load_weights(path):
    """The 26 arrays of a .npz file, `conv1_1/w` (64, 3, 3, 3), `conv1_1/b` (64,) to `conv5_3/b`, as float32.

    Other arrays in the file (fc6, fc7) are left alone. Raises ValueError naming the file and the array.
    """
    weights = {}
    for name, shape in _shapes().items():
        array = _array(path, name)
        if array.shape != shape or array.dtype.kind != "f":
            raise ValueError(f"{path} holds {name} as {array.dtype} {array.shape}, but VGG16's is of floats {shape}")
        weights[name] = array.astype(np.float32)
    return weights


def conv5_3(image, weights):
    """The map of one image.

    image: float32 (3, H, W), blue, green, red, 0..255 with the mean subtracted that belongs to the weights.
    weights: as `load_weights` returns them.

    Returns float32 (512, ceil(H / 16), ceil(W / 16)). Peak memory at 600 x 1000 pixels: 0.6 GB.

    >>> weights = {name: np.zeros(shape, np.float32) for name, shape in _shapes().items()}
    >>> conv5_3(np.zeros((3, 33, 48), np.float32), weights).shape
    (512, 3, 3)
    """
    for name, _, _ in LAYERS:
        image = convolve(image, weights[f"{name}/w"], weights[f"{name}/b"])
        if name in POOLED:
            image = max_pool(image)
    return image


def convolve(x, w, b):
    """3 x 3 convolution with padding 1, then ReLU. x (C, H, W), w (O, C, 3, 3), b (O,), all float32; (O, H, W).

    Each block of rows is one matrix product (O, 9 C) by (9 C, cells): the nine shifted views of the block side by side.
    """
    C, H, W = x.shape
    O = len(w)  # noqa: E741, the count of output channels
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    kernel = np.ascontiguousarray(w.transpose(0, 2, 3, 1)).reshape(O, 9 * C)
    result = np.empty((O, H, W), np.float32)
    rows = max(1, CELLS_AT_ONCE // W)
    for top in range(0, H, rows):
        bottom = min(top + rows, H)
        shifted = np.empty((9, C, bottom - top, W), np.float32)
        for k, (dy, dx) in enumerate(np.ndindex(3, 3)):
            shifted[k] = padded[:, top + dy : bottom + dy, dx : dx + W]
        block = kernel @ shifted.reshape(9 * C, -1)
        block += b[:, None]
        result[:, top:bottom] = np.maximum(block, 0, out=block).reshape(O, bottom - top, W)
    return result


def max_pool(x):
    """2 x 2 max pooling with stride 2 that rounds up, as Caffe's: an odd last row or column is pooled by itself.

    x (C, H, W); (C, ceil(H / 2), ceil(W / 2)). Rounding down would give 600 pixels 37 cells in place of 38.
    """
    _, H, W = x.shape
    even = np.pad(x, ((0, 0), (0, H % 2), (0, W % 2)), mode="edge")  # a repeated value changes no maximum
    # Ten times faster than max over the axes of a reshaped view, which would be a sixth of the whole network's time.
    taller = np.maximum(even[:, ::2], even[:, 1::2])
    return np.maximum(taller[:, :, ::2], taller[:, :, 1::2])


def _shapes():
    for_weights = {f"{name}/w": (channels_out, channels_in, 3, 3) for name, channels_in, channels_out in LAYERS}
    return for_weights | {f"{name}/b": (channels_out,) for name, _, channels_out in LAYERS}


def _array(path, name):
    try:
        with np.load(path, allow_pickle=False) as archive:
            return archive[name]
    except UNREADABLE as error:
        raise ValueError(f"{path} must be an .npz file that holds {name}, but cannot be read: {error}") from None
