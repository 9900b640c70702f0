"""Statistics of targets in exact fractions, and each of the two maps one number at a time."""

import math
from fractions import Fraction

import numpy as np


def target_statistics(targets, labels, class_count, *, profile="exact"):
    """As frcnn.reference.target_statistics, for input that is known to be good; rounded at the very end."""
    means, stds = [], []
    for k in range(class_count):
        rows = [targets[i].tolist() for i in range(len(targets)) if labels[i] == k and k > 0]
        columns = [[Fraction(row[j]) for row in rows] for j in range(4)]
        pairs = [(_exact if profile == "exact" else _original)(column) for column in columns]
        means.append([float(mean) for mean, _ in pairs])
        stds.append([std for _, std in pairs])
    return np.array(means, np.float64).reshape(-1, 4), np.array(stds, np.float64).reshape(-1, 4)


def normalise_targets(targets, labels, means, stds):
    """As frcnn.reference.normalise_targets, for input that is known to be good."""
    result = np.empty_like(targets)
    for i, j in np.ndindex(*targets.shape):
        mean, std = float(means[labels[i], j]), float(stds[labels[i], j])
        result[i, j] = targets[i, j] if labels[i] == 0 else (float(targets[i, j]) - mean) / std
    return result


def fold_statistics(weights, bias, means, stds):
    """As frcnn.reference.fold_statistics, for input that is known to be good."""
    folded, shifted = np.empty_like(weights), np.empty_like(bias)
    for i in range(len(bias)):
        mean, std = float(means[i // 4, i % 4]), float(stds[i // 4, i % 4])
        shifted[i] = float(bias[i]) * std + mean
        for j in range(weights.shape[1]):
            folded[i, j] = float(weights[i, j]) * std
    return folded, shifted


def _exact(column):
    if not column:
        return 0, 1.0
    if float(max(column) - min(column)) <= 2.0**-500:
        return min(column), 1.0
    mean = sum(column) / len(column)
    return mean, math.sqrt(sum((x - mean) ** 2 for x in column) / len(column))


def _original(column):
    n = Fraction(len(column) + 1e-14)  # rounded to float64 before it divides: the clause says so
    mean = sum(column) / n
    return mean, math.sqrt(sum(x * x for x in column) / n - mean**2)
