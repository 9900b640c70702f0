"""Regression targets of zero mean and unit variance, and a regressor for plain ones: `spec/targets.md`, executable.

R targets, rows (t_x, t_y, t_w, t_h) as encode_boxes gives them; K1 classes, class 0 background. The regressor is a
layer of 4 K1 outputs and D inputs, class k in rows 4k .. 4k + 3.
"""

import numpy as np

from frcnn.reference.arguments import as_array, as_whole, check_profile
from frcnn.reference.box_arguments import as_boxes, check_same_type
from frcnn.reference.sampling_arguments import as_classes

EPSILON = 1e-14  # where the original's counts begin
LARGEST_TARGET = 2.0**128
LEAST_SPREAD = 2.0**-500  # a deviation of half of it still has a square that is a normal number
MOST_CLASSES = 65536


def target_statistics(targets, labels, class_count, *, profile="exact"):
    """Mean and std of the targets of each class, over the whole training set.

    targets: (R, 4), float32 or float64; no unit: shifts in widths and heights, logs of ratios.
    labels: (R,), int32 or int64; the class of each, 0 for background, whose targets are passed over.
    class_count: K1, a whole number, background counted.
    profile: "exact" has the mean of squared deviations, and a std of 1 where there is no spread; "caffe-2015" has
        E[x^2] - E[x]^2, and a std of 0 where there is none.

    Returns means (K1, 4) and stds (K1, 4), float64.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 2.3, "zero mean and unit variance"; rbgirshick/fast-rcnn, lib/roi_data_layer/roidb.py:50-68.
    Clauses: those named below, box-targets.error-targets, box-targets.error-labels.

    >>> means, stds = target_statistics(np.float32([[1, 0, 0, 0], [3, 0, 0, 0]]), np.array([1, 1]), 2)
    >>> means[1].tolist(), stds[1].tolist()
    ([2.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    """
    check_profile(profile)  # box-targets.error-profile
    K1 = as_whole("class_count", class_count, 1, MOST_CLASSES)  # box-targets.error-count
    targets, labels = _labelled(targets, labels, K1)
    wide = targets.astype(np.float64)  # box-targets.type
    means = np.zeros((K1, 4))  # box-targets.empty, and box-targets.background for row 0
    stds = np.full((K1, 4), 1.0 if profile == "exact" else 0.0)
    for k in range(1, K1):
        own = wide[labels == k]  # box-targets.classes
        if len(own):
            means[k], stds[k] = _two_passes(own) if profile == "exact" else _one_pass(own)
    return means, stds


def normalise_targets(targets, labels, means, stds):
    """Each target less its class's mean, divided by its class's std; background's as they are.

    targets, labels: (R, 4) and (R,), as in target_statistics. means, stds: (K1, 4), float64, as it returns them.

    Returns (R, 4) of the targets' type.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 2.3; rbgirshick/fast-rcnn, lib/roi_data_layer/roidb.py:70-76. Clauses: those named below,
    box-targets.error-targets, box-targets.error-labels, box-targets.error-statistics.

    >>> means, stds = np.float64([[0, 0, 0, 0], [2, 0, 0, 0]]), np.float64([[1, 1, 1, 1], [4, 1, 1, 1]])
    >>> normalise_targets(np.float32([[8, 0, 0, 0], [8, 0, 0, 0]]), np.array([1, 0]), means, stds)[:, 0].tolist()
    [1.5, 8.0]
    """
    means, stds = _statistics(means, stds)
    targets, labels = _labelled(targets, labels, len(means))
    normalised = targets.copy()  # box-targets.kept
    for row in np.flatnonzero(labels):
        mean, std = means[labels[row]], stds[labels[row]]
        if not (std > 0).all():  # box-targets.error-zero
            raise ValueError(f"stds[{labels[row]}] holds a 0, but targets[{row}] is of that class; leave the class out")
        with np.errstate(over="ignore", under="ignore"):
            normalised[row] = (targets[row].astype(np.float64) - mean) / std  # box-targets.normalised
    return normalised


def fold_statistics(weights, bias, means, stds):
    """The regressor that predicts plain targets, from the one that was trained on normalised ones.

    weights: (4 K1, D), float32 or float64. bias: (4 K1,) of the same type. means, stds: (K1, 4), float64.

    Returns weights and bias of the same shapes and type. The arguments are not changed.
    Raises ValueError or TypeError naming the argument: box-targets.error-layer, box-targets.error-statistics.
    Source: rbgirshick/fast-rcnn, lib/fast_rcnn/train.py:54-65. Clauses: box-targets.folded, box-targets.inverse.

    >>> means, stds = np.float64([[5, 0, 0, 0]]), np.float64([[2, 1, 1, 1]])
    >>> [array.tolist() for array in fold_statistics(np.ones((4, 1)), np.ones(4), means, stds)]
    [[[2.0], [1.0], [1.0], [1.0]], [7.0, 1.0, 1.0, 1.0]]
    """
    means, stds = _statistics(means, stds)
    weights, bias = as_array("weights", weights), as_array("bias", bias)
    for name, array, rank in (("weights", weights, 2), ("bias", bias, 1)):  # box-targets.error-layer
        if array.ndim != rank or len(array) != means.size:
            raise ValueError(f"{name} must have {means.size} rows, four a class, and rank {rank}, got {array.shape}")
        if array.dtype.name not in ("float32", "float64"):
            raise TypeError(f"{name} must be float32 or float64, got {array.dtype}")
    check_same_type("bias", bias, "weights", weights)
    m, s = means.reshape(-1), stds.reshape(-1)
    with np.errstate(all="ignore"):  # a diverged network is folded as it is
        folded = weights.astype(np.float64) * s[:, None], bias.astype(np.float64) * s + m  # box-targets.folded
        return tuple(array.astype(weights.dtype) for array in folded)  # box-targets.inverse


def _two_passes(own):
    """`exact`: mean and std (4,) of the targets (n, 4) of one class, n >= 1."""
    n, least, most = len(own), own.min(axis=0), own.max(axis=0)
    mean = own.sum(axis=0) / n  # box-targets.mean
    std = np.sqrt(((own - mean) ** 2).sum(axis=0) / n)  # box-targets.std
    constant = most - least <= LEAST_SPREAD  # box-targets.constant
    return np.where(constant, least, mean), np.where(constant, 1.0, std)


def _one_pass(own):
    """`caffe-2015`: the same, from sums and sums of squares."""
    n = len(own) + EPSILON
    mean = own.sum(axis=0) / n  # box-targets.mean
    variance = (own**2).sum(axis=0) / n - mean**2  # box-targets.std
    return mean, np.sqrt(np.maximum(variance, 0))


def _labelled(targets, labels, K1):
    """Clauses box-targets.error-targets and box-targets.error-labels."""
    targets = as_boxes("targets", targets)
    bad = np.flatnonzero(~(np.abs(targets.astype(np.float64)) <= LARGEST_TARGET).all(axis=1))
    if len(bad):
        raise ValueError(f"targets[{bad[0]}] holds a number that is not finite or beyond 2^128 in size")
    labels = as_classes("labels", labels, len(targets), least=0)
    bad = np.flatnonzero(labels >= K1)
    if len(bad):
        raise ValueError(f"labels[{bad[0]}] is {labels[bad[0]]}, but there are {K1} classes, background counted")
    return targets, labels


def _statistics(means, stds):
    """Clause box-targets.error-statistics."""
    arrays = [as_array("means", means), as_array("stds", stds)]
    for name, array in zip(("means", "stds"), arrays, strict=True):
        if array.ndim != 2 or array.shape != (len(arrays[0]), 4):  # one shape for both
            raise ValueError(f"{name} must have shape (K1, 4), a row a class, got {array.shape}")
        if array.dtype != np.float64:
            raise TypeError(f"{name} must be float64, got {array.dtype}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}[{np.argwhere(~np.isfinite(array))[0][0]}] holds a number that is not finite")
    if (arrays[1] < 0).any():
        raise ValueError(f"stds[{np.argwhere(arrays[1] < 0)[0][0]}] holds a number below 0")
    return arrays
