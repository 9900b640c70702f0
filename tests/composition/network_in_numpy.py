"""A network in NumPy, float64, and how far rounding may take any implementation of it from there.

Beside each number stands a variance v: that of its error, taking roundings as independent and of mean zero, each at
most u relative (Higham and Mary, A new approach to probabilistic rounding error analysis, SISC 2019). A bound that
holds in every case would grow twentyfold a layer and say nothing after the first ten.

inner product of n terms and a bias    sum w^2 v + (n + 1) u^2 (sum |w x| + |b|)^2
    In any order each of n + 1 additions has a partial sum of that size at most, and so has the sum of the n products.
ReLU                                   v, as it never widens a distance
max pooling, RoI pooling               the largest v of the window: a maximum moves no farther than one of its cells
lrn, y = x s^-b                        2 s^-2b v + 2 (2 b a / size x s^(-b - 1))^2 sum x^2 v + ((size + 16) u y)^2
    Its two partial derivatives; (p + q)^2 <= 2 p^2 + 2 q^2. s has size + 3 roundings, counted b < 1 times; the power,
    at 4 ulps, is 8 of u, the quotient 1 more.

Two implementations are then 7 sqrt(2 v) apart at most, 7 deviations being what tolerance.py takes elsewhere.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from frcnn import reference
from frcnn.conformance.tolerance import UNIT_ROUNDOFF
from frcnn.repro.layers import FC, LRN, Conv, Dropout, Fire, MaxPool, ReLU, Scale

U = UNIT_ROUNDOFF["float64"]


def random_parameters(network, class_count, names=None, seed=0):
    """Weights that keep the size of what goes through them, float64; `names` alone, or all."""
    random, parameters = np.random.default_rng(seed), {}
    for name, shape in network.shapes(class_count).items():
        if names is None or name in names:
            std = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1
            parameters[name] = random.normal(0, std, shape)
    return parameters


def trunk_names(network):
    """The parameters of the trunk alone."""
    return network.parameters_of([layer.name for layer in network.trunk if hasattr(layer, "name")])


def apart(variance):
    """How far apart two implementations may be."""
    return 7 * np.sqrt(2 * variance)


def forward(network, parameters, images, rois, masks):
    """Scores (R, K1) and deltas (R, 4 K1), each with its variances."""
    x, v = trunk(network, parameters, images)
    pooled, spread = (reference.roi_pool(part, rois, network.grid, network.spatial_scale)[0] for part in (x, v))
    x, v = pooled.reshape(len(rois), -1), spread.reshape(len(rois), -1)
    for layer in network.head:
        match layer:
            case FC():
                x, v = _connect(layer.name, parameters, x, v)
            case ReLU():
                x = np.maximum(x, 0)
            case Dropout():
                x, v = x * masks[layer.name], v * masks[layer.name] ** 2
    return [_connect(name, parameters, x, v) for name in ("cls_score", "bbox_pred")]


def trunk(network, parameters, images):
    """The map (N, C, H, W) and its variances."""
    x, v = images, np.zeros_like(images)
    for layer in network.trunk:
        match layer:
            case Conv():
                x, v = _convolve(layer, parameters, x, v)
            case ReLU():
                x = np.maximum(x, 0)
            case MaxPool():
                x, v = (max_pool(part, layer.kernel, layer.stride, layer.pad) for part in (x, v))
            case LRN():
                x, v = _normalise(layer, x, v)
            case Scale():
                x, v = x * layer.by, v * layer.by**2
            case Fire():
                x, v = _convolve(layer.squeezing, parameters, x, v)
                parts = [_convolve(part, parameters, np.maximum(x, 0), v) for part in layer.expanding]
                x, v = (np.concatenate(side, 1) for side in zip(*parts, strict=True))
                x = np.maximum(x, 0)
    return x, v


def max_pool(x, kernel, stride, pad):
    """Window by window, as the clauses pooled-length.ceil and pooled-length.last have it."""
    *_, H, W = x.shape
    rows, columns = (reference.pooled_length(n, kernel, stride, pad) for n in (H, W))
    result = np.empty((*x.shape[:2], rows, columns))
    for i, j in np.ndindex(rows, columns):
        top, left = i * stride - pad, j * stride - pad
        window = x[:, :, max(top, 0) : top + kernel, max(left, 0) : left + kernel]
        result[:, :, i, j] = window.max((2, 3))
    return result


def _convolve(layer, parameters, x, v):
    w, b = parameters[f"{layer.name}/w"], parameters[f"{layer.name}/b"][:, None, None]
    size = _products(layer, np.abs(x), np.abs(w)) + np.abs(b)
    terms = np.prod(w.shape[1:])
    return _products(layer, x, w) + b, _products(layer, v, w**2) + (terms + 1) * (U * size) ** 2


def _products(layer, x, w):
    around = (layer.pad, layer.pad)
    x = np.pad(x, ((0, 0), (0, 0), around, around))
    windows = sliding_window_view(x, (layer.kernel, layer.kernel), (2, 3))[:, :, :: layer.stride, :: layer.stride]
    pairs = zip(np.split(windows, layer.groups, 1), np.split(w, layer.groups), strict=True)
    parts = [np.tensordot(part, own, ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2) for part, own in pairs]
    return np.concatenate(parts, 1)


def _normalise(layer, x, v):
    def neighbours(part):
        side = layer.size // 2
        padded = np.pad(part, ((0, 0), (side, side), (0, 0), (0, 0)))
        return sliding_window_view(padded, layer.size, 1).sum(-1)

    share = layer.alpha / layer.size
    s = layer.k + share * neighbours(x**2)
    y = x * s**-layer.beta
    through_sum = (2 * layer.beta * share * x * s ** (-layer.beta - 1)) ** 2 * neighbours(x**2 * v)
    return y, 2 * s ** (-2 * layer.beta) * v + 2 * through_sum + ((layer.size + 16) * U * y) ** 2


def _connect(name, parameters, x, v):
    w, b = parameters[f"{name}/w"], parameters[f"{name}/b"]
    size = np.abs(x) @ np.abs(w.T) + np.abs(b)
    return x @ w.T + b, v @ w.T**2 + (w.shape[1] + 1) * (U * size) ** 2
