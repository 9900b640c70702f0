"""Uniformity of the draw, where the keys are made. The seed is fixed, so this passes or fails for good."""

from collections import Counter
from math import comb

import numpy as np
import pytest

from frcnn.reference import draw_keys, image_order, sample_rois

DRAWS = 5000


def chi_square(counts, kinds):
    """Pearson's statistic of the counts against `kinds` equally likely outcomes, with kinds - 1 degrees of freedom."""
    expected = sum(counts.values()) / kinds
    return sum((n - expected) ** 2 for n in counts.values()) / expected + (kinds - len(counts)) * expected


def test_every_set_of_foreground_and_of_background_is_drawn_equally_often():
    generator = np.random.default_rng(3)
    overlaps = np.array([0.3, 0.9, 0.0, 0.5, 0.7, 0.2, 0.6, 0.1, 0.8, 0.4])  # five foreground, four background
    classes = np.array([1, 2, 0, 3, 4, 5, 6, 7, 8, 9])
    foreground, background = Counter(), Counter()
    for _ in range(DRAWS):
        keys = draw_keys(len(overlaps), generator)
        indices, labels = sample_rois(overlaps, classes, keys, rois_per_image=4, fg_fraction=0.5)
        foreground[frozenset(indices[labels > 0])] += 1
        background[frozenset(indices[labels == 0])] += 1
    assert len(foreground) == comb(5, 2)
    assert len(background) == comb(4, 2)
    # The 0.999 quantiles of chi-square with 9 and 5 degrees of freedom.
    assert chi_square(foreground, comb(5, 2)) < 27.88
    assert chi_square(background, comb(4, 2)) < 20.52


def test_every_order_of_four_images_comes_equally_often():
    generator = np.random.default_rng(3)
    orders = Counter(image_order(draw_keys(4, generator)).tobytes() for _ in range(DRAWS))
    assert chi_square(orders, 24) < 49.73  # the 0.999 quantile with 23 degrees of freedom


def test_keys_are_in_0_to_1_and_move_the_generator_on():
    generator = np.random.default_rng(3)
    first, second = draw_keys(1000, generator), draw_keys(1000, generator)
    assert first.dtype == np.float64
    assert first.min() >= 0
    assert first.max() < 1
    assert not np.intersect1d(first, second).size


@pytest.mark.parametrize(("count", "generator", "name"), [(-1, np.random.default_rng(), "count"), (3, 3, "generator")])
def test_what_draws_no_keys_is_refused_by_name(count, generator, name):
    with pytest.raises((ValueError, TypeError), match=name):
        draw_keys(count, generator)
