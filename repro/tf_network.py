"""A network in TensorFlow: what its layers do to tensors.

N images, C channels, map H x W; R RoIs; P x P cells each; K1 classes with the background. Parameters are a dict of
tensors or variables, named and shaped as in network.py; all functions are differentiable in them, and work eagerly and
in tf.function, with any size unknown. Arguments and results have their channels first; within, they come last, as
TensorFlow's CPU kernels want them.
"""

import tensorflow as tf

from frcnn.backends.tf import roi_pool
from frcnn.repro.layers import FC, LRN, Conv, Dropout, Fire, MaxPool, ReLU, Scale


def check_device(device):
    """Raises ValueError for a device that frcnn's operators for TensorFlow do not have."""
    if device != "cpu":
        raise ValueError(f"device must be cpu, for which alone RoI pooling is there in TensorFlow, got {device!r}")


def forward(network, parameters, images, rois, masks=None, *, profile="exact"):
    """Class scores and box offsets of each RoI.

    images: (N, 3, H, W), the mean subtracted; blue, green, red. rois: (R, 5), image index, x1, y1, x2, y2 in pixels.
    masks: name of dropout layer -> (R, D), what its numbers are multiplied by: 0, or 2 for a ratio of one half. None
    for testing, when nothing is dropped. profile: of RoI pooling.

    Returns scores (R, K1), before softmax, and deltas (R, 4 K1).
    Raises KeyError naming a parameter or mask that is missing.
    """
    features = _trunk(network, parameters, images)
    pooled = roi_pool(features, rois, network.grid, network.spatial_scale, profile=profile)
    return head(network, parameters, tf.transpose(pooled, (0, 3, 1, 2)), masks)


def trunk(network, parameters, images):
    """The map (N, C, H', W') of images (N, 3, H, W)."""
    return tf.transpose(_trunk(network, parameters, images), (0, 3, 1, 2))


def head(network, parameters, pooled, masks=None):
    """Scores (R, K1) and deltas (R, 4 K1) of pooled features (R, C, P, P)."""
    x = tf.reshape(pooled, (-1, network.channels * network.grid**2))
    for layer in network.head:
        match layer:
            case FC():
                x = _connect(layer.name, parameters, x)
            case ReLU():
                x = tf.nn.relu(x)
            case Dropout() if masks is not None:
                x = x * masks[layer.name]
    return _connect("cls_score", parameters, x), _connect("bbox_pred", parameters, x)


def _trunk(network, parameters, images):
    """The map, channels last."""
    x = tf.transpose(images, (0, 2, 3, 1))
    for layer in network.trunk:
        match layer:
            case Conv():
                x = _convolve(layer, parameters, x)
            case ReLU():
                x = tf.nn.relu(x)
            case MaxPool():
                x = _max_pool(layer, x)
            case LRN():
                x = _normalise(layer, x)
            case Scale():
                x = x * layer.by
            case Fire():
                x = tf.nn.relu(_convolve(layer.squeezing, parameters, x))
                x = tf.nn.relu(tf.concat([_convolve(part, parameters, x) for part in layer.expanding], -1))
    return x


def _convolve(layer, parameters, x):
    # Padded by hand: "SAME" puts the odd row of zeros at the bottom alone where there is a stride.
    around = [[0, 0], [layer.pad, layer.pad], [layer.pad, layer.pad], [0, 0]]
    kernel = tf.transpose(parameters[f"{layer.name}/w"], (2, 3, 1, 0))
    # TensorFlow has no gradient of a convolution in groups on the CPU.
    pairs = zip(tf.split(x, layer.groups, -1), tf.split(kernel, layer.groups, -1), strict=True)
    parts = [tf.nn.conv2d(part, own, layer.stride, around) for part, own in pairs]
    return tf.nn.bias_add(parts[0] if len(parts) == 1 else tf.concat(parts, -1), parameters[f"{layer.name}/b"])


def _max_pool(layer, x):
    """As torch's ceil_mode: TensorFlow's own pooling rounds down, so the end is padded with what never wins."""
    after = []
    for axis in (1, 2):
        n = tf.shape(x)[axis]
        padded = n + layer.pad
        # Clauses pooled-length.ceil and pooled-length.last: no window begins behind the last cell.
        rounded_up = -((layer.kernel - padded - layer.pad) // layer.stride) + 1
        windows = tf.minimum(rounded_up, -(-padded // layer.stride))
        after.append(tf.maximum((windows - 1) * layer.stride + layer.kernel - padded, 0))
    around = [[0, 0], [layer.pad, after[0]], [layer.pad, after[1]], [0, 0]]
    x = tf.pad(x, around, constant_values=x.dtype.as_numpy_dtype("-inf"))
    return tf.nn.max_pool2d(x, layer.kernel, layer.stride, "VALID")


def _normalise(layer, x):
    # tf.nn.local_response_normalization has no float64.
    side = layer.size // 2
    squares = tf.pad(x * x, [[0, 0], [0, 0], [0, 0], [side, side]])
    channels = tf.shape(x)[-1]
    total = tf.add_n([squares[..., shift : shift + channels] for shift in range(layer.size)])
    return x / (layer.k + layer.alpha / layer.size * total) ** layer.beta


def _connect(name, parameters, x):
    return tf.matmul(x, parameters[f"{name}/w"], transpose_b=True) + parameters[f"{name}/b"]
