"""A network in torch: what its layers do to tensors.

N images, C channels, map H x W; R RoIs; P x P cells each; K1 classes with the background. Parameters are a dict of
tensors, named and shaped as in network.py; all functions are differentiable in them.
"""

from contextlib import contextmanager

import torch
from torch.nn import functional

from frcnn.backends.torch import roi_pool
from frcnn.repro.layers import FC, LRN, Conv, Dropout, Fire, MaxPool, ReLU, Scale


def check_device(device):
    """Raises ValueError for a device that is not there: torch itself would raise a bare AssertionError."""
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("torch finds no CUDA device on this machine; use device cpu")


@contextmanager
def tf32(allowed):
    """While this lasts, a GPU's products of float32 have TF32's ten bits of 23, or all; afterwards what they had.

    By default cuDNN's convolutions have ten on newer GPUs. The older allow_tf32 may not be read where a caller has set
    the newer fp32_precision; the latter may always.
    """
    settings = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [setting.fp32_precision for setting in settings]
    for setting in settings:
        setting.fp32_precision = "tf32" if allowed else "ieee"
    try:
        yield
    finally:
        for setting, precision in zip(settings, before, strict=True):
            setting.fp32_precision = precision


def forward(network, parameters, images, rois, masks=None, *, profile="exact"):
    """Class scores and box offsets of each RoI.

    images: (N, 3, H, W), the mean subtracted; blue, green, red. rois: (R, 5), image index, x1, y1, x2, y2 in pixels.
    masks: name of dropout layer -> (R, D), what its numbers are multiplied by: 0, or 2 for a ratio of one half. None
    for testing, when nothing is dropped. profile: of RoI pooling.

    Returns scores (R, K1), before softmax, and deltas (R, 4 K1).
    Raises KeyError naming a parameter or mask that is missing.
    """
    features = trunk(network, parameters, images)
    pooled = roi_pool(features, rois, network.grid, network.spatial_scale, profile=profile)
    return head(network, parameters, pooled, masks)


def trunk(network, parameters, images):
    """The map (N, C, H', W') of images (N, 3, H, W), contiguous, so that fc6 reads what is pooled as it comes.

    Within, channels come last: network T's training steps take a tenth less time so on a CPU, by its max pooling.
    """
    x = images.contiguous(memory_format=torch.channels_last)
    for layer in network.trunk:
        match layer:
            case Conv():
                x = _convolve(layer, parameters, x)
            case ReLU():
                x = torch.relu(x)
            case MaxPool():
                # ceil_mode is the original's rule, the last window included; padding never wins.
                x = functional.max_pool2d(x, layer.kernel, layer.stride, layer.pad, ceil_mode=True)
            case LRN():
                x = functional.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)
            case Scale():
                x = x * layer.by
            case Fire():
                x = torch.relu(_convolve(layer.squeezing, parameters, x))
                x = torch.relu(torch.cat([_convolve(part, parameters, x) for part in layer.expanding], 1))
    return x.contiguous()


def head(network, parameters, pooled, masks=None):
    """Scores (R, K1) and deltas (R, 4 K1) of pooled features (R, C, P, P)."""
    x = pooled.flatten(1)
    for layer in network.head:
        match layer:
            case FC():
                x = _connect(layer.name, parameters, x)
            case ReLU():
                x = torch.relu(x)
            case Dropout() if masks is not None:
                x = x * masks[layer.name]
    return _connect("cls_score", parameters, x), _connect("bbox_pred", parameters, x)


def _convolve(layer, parameters, x):
    w, b = parameters[f"{layer.name}/w"], parameters[f"{layer.name}/b"]
    return functional.conv2d(x, w, b, layer.stride, layer.pad, groups=layer.groups)


def _connect(name, parameters, x):
    return functional.linear(x, parameters[f"{name}/w"], parameters[f"{name}/b"])
