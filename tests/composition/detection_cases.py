"""Scored boxes of several classes and images, more than the suite draws, and what the reference detects among them."""

from itertools import product

import numpy as np

from frcnn import reference

CASES = list(product(("exact", "caffe-2015"), ("float32", "float64"), ((100, 40), (25, 7))))


def check(detect, profile, kind, limits):
    """detect: of a backend, NumPy in and out. Few scores, so that there are ties at every limit."""
    generator = np.random.default_rng(11)
    R, classes, image_count = 600, 3, 5  # the last image has no row
    scores = (generator.integers(0, 40, (R, classes + 1)) / 40).astype(kind)
    scores[generator.random(scores.shape) < 0.02] = -np.inf
    corners = generator.uniform(-20, 180, (R, classes + 1, 2))
    boxes = np.concatenate([corners, corners + generator.uniform(0, 90, corners.shape)], 2).reshape(R, -1)
    arguments = scores, boxes.astype(kind), generator.integers(0, image_count - 1, R), image_count, 0.3
    options = dict(zip(("per_image", "per_class"), limits, strict=True), profile=profile)
    expected = reference.detect(*arguments, **options)
    assert 50 < len(expected) < R * classes / 2
    np.testing.assert_array_equal(detect(*arguments, **options), expected)
