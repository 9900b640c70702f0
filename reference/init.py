"""What the two new layers start from, given standard normal numbers: `spec/init.md`, executable.

K1 classes, background counted; D inputs. cls_score has K1 outputs, bbox_pred 4 K1.
"""

import numpy as np

from frcnn.reference.arguments import MOST, as_array, as_number, as_whole

STDS = {"cls_score": 0.01, "bbox_pred": 0.001}


def gaussian_fill(normals, std):
    """Weights of zero mean and of standard deviation `std`.

    normals: any shape, float64; standard normal numbers, as draw_normals gives them. std: a number, at least 0.

    Returns weights of that shape, float32.
    Raises ValueError or TypeError naming the argument: gaussian-fill.error-normals, gaussian-fill.error-std.
    Source: section 2.3, "zero-mean Gaussian distributions". Clauses: gaussian-fill.product, gaussian-fill.shape.

    >>> gaussian_fill(np.float64([[1, -2]]), 0.5).tolist()
    [[0.5, -1.0]]
    """
    normals = _as_normals("normals", normals)
    std = as_number("std", std)  # gaussian-fill.error-std
    if not 0 <= std < np.inf:
        raise ValueError(f"std must be at least 0 and finite, got {std!r}")
    with np.errstate(over="ignore", under="ignore"):
        weights = normals * np.float64(std)  # gaussian-fill.product
        return np.asarray(weights, np.float32)  # gaussian-fill.shape


def new_layers(score_normals, box_normals):
    """Weights and biases of cls_score and bbox_pred.

    score_normals: (K1, D), float64; standard normal numbers. box_normals: (4 K1, D), float64.

    Returns weights (K1, D) and bias (K1,) of cls_score, then weights (4 K1, D) and bias (4 K1,) of bbox_pred; float32.
    Raises ValueError or TypeError naming the argument: gaussian-fill.error-normals.
    Source: section 2.3, "standard deviations 0.01 and 0.001". Clause: gaussian-fill.layers.

    >>> [layer.shape for layer in new_layers(np.zeros((21, 4096)), np.zeros((84, 4096)))]
    [(21, 4096), (21,), (84, 4096), (84,)]
    """
    score_normals, box_normals = _as_normals("score_normals", score_normals), _as_normals("box_normals", box_normals)
    if score_normals.ndim != 2:
        raise ValueError(f"score_normals must have shape (K1, D), got {score_normals.shape}")
    K1, D = score_normals.shape
    if box_normals.shape != (4 * K1, D):
        raise ValueError(f"box_normals must have shape ({4 * K1}, {D}), four rows a class, got {box_normals.shape}")
    layers = []
    for name, normals in (("cls_score", score_normals), ("bbox_pred", box_normals)):
        layers += [gaussian_fill(normals, STDS[name]), np.zeros(len(normals), np.float32)]  # gaussian-fill.layers
    return tuple(layers)


def draw_normals(shape, generator):
    """Independent standard normal numbers.

    shape: a list of whole numbers. generator: a numpy.random.Generator, whose state moves on.

    Returns an array of that shape, float64.
    Raises ValueError or TypeError naming the argument.
    Source: section 2.3. Clause: gaussian-fill.draw.

    >>> draw_normals((21, 8), np.random.default_rng(3)).shape
    (21, 8)
    """
    if not isinstance(generator, np.random.Generator):
        raise TypeError(f"generator must be a numpy.random.Generator, got {type(generator).__name__}")
    if as_array("shape", shape).ndim != 1:
        raise TypeError(f"shape must be a list of whole numbers, got {shape!r}")
    return generator.standard_normal([as_whole("shape", size, 0, MOST) for size in shape])  # gaussian-fill.draw


def _as_normals(name, value):
    """Clause gaussian-fill.error-normals."""
    normals = as_array(name, value)
    if normals.dtype != np.float64:
        raise TypeError(f"{name} must be float64, got {normals.dtype}")
    if not np.isfinite(normals).all():
        raise ValueError(f"{name} must be finite, got {normals[~np.isfinite(normals)][0]}")
    return normals
