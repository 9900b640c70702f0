"""Weights one at a time: an exact product of fractions, rounded to float64 and then to float32."""

import math
from fractions import Fraction

import numpy as np


def gaussian_fill(normals, std):
    """As frcnn.reference.gaussian_fill, for input that is known to be good."""
    weights = np.empty(normals.shape, np.float32)
    for place in np.ndindex(*normals.shape):
        size = float(abs(Fraction(float(normals[place]))) * Fraction(float(std)))
        weights[place] = math.copysign(size, normals[place])  # a fraction has no -0
    return weights


def new_layers(score_normals, box_normals):
    """As frcnn.reference.new_layers, for input that is known to be good."""
    return (
        gaussian_fill(score_normals, 0.01),
        np.array([0.0 for _ in score_normals], np.float32),
        gaussian_fill(box_normals, 0.001),
        np.array([0.0 for _ in box_normals], np.float32),
    )
