"""Minibatches one RoI at a time: each is ranked by counting those that go before it."""

import math
from fractions import Fraction

import numpy as np

from frcnn.conformance.naive.boxes import overlap, rounding


def match_rois(proposals, ground_truth, ground_truth_class, *, profile="exact"):
    """As frcnn.reference.match_rois, for input that is known to be good."""
    rounded = rounding(proposals.dtype if profile == "exact" else np.float64)
    rows = [(box, 1.0, int(number)) for box, number in zip(ground_truth, ground_truth_class, strict=True)]
    for box in proposals:
        best, label = 0.0, 0
        for truth, number in zip(ground_truth, ground_truth_class, strict=True):
            share = overlap([rounded(x) for x in box.tolist()], [rounded(x) for x in truth.tolist()], rounded)
            if share > best:
                best, label = share, int(number)
        rows.append((box, float(best), label))
    kind = proposals.dtype if profile == "exact" else np.float32
    return (
        np.array([row[0] for row in rows], proposals.dtype).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float64).astype(kind),
        np.array([row[2] for row in rows], np.int64),
    )


def sample_rois(
    overlaps_max,
    overlap_class,
    keys,
    *,
    rois_per_image=64,
    fg_fraction=0.25,
    fg_threshold=0.5,
    bg_threshold_lo=0.1,
    bg_threshold_hi=0.5,
):
    """As frcnn.reference.sample_rois, for input that is known to be good."""
    kind = overlaps_max.dtype.type
    lo, hi, least = (Fraction(float(kind(x))) for x in (bg_threshold_lo, bg_threshold_hi, fg_threshold))
    shares = [Fraction(share) for share in overlaps_max.tolist()]
    foreground = _first(keys, [i for i, share in enumerate(shares) if share >= least])
    background = _first(keys, [i for i, share in enumerate(shares) if lo <= share < hi])
    foreground = foreground[: _nearest(float(fg_fraction) * rois_per_image)]
    background = background[: rois_per_image - len(foreground)]
    labels = [int(overlap_class[i]) for i in foreground] + [0 for _ in background]
    return np.array(foreground + background, np.int64), np.array(labels, np.int64)


def image_order(keys, *, images_per_batch=2, profile="exact"):
    """As frcnn.reference.image_order: a minibatch at a time, as long as the rule does not stop it."""
    order = _first(keys, range(len(keys)))
    batches: list = []
    while True:
        left = len(order) - len(batches) * images_per_batch
        enough = left >= images_per_batch if profile == "exact" else left > images_per_batch
        if batches and not enough:
            return np.array(batches, np.int64)
        batches.append(order[len(batches) * images_per_batch :][:images_per_batch])


def _first(keys, eligible):
    """The eligible indices, each at the place that is the number of those before it."""
    keys, ranked = keys.tolist(), [0] * len(eligible)
    for i in eligible:
        ranked[sum(keys[j] < keys[i] or (keys[j] == keys[i] and j < i) for j in eligible)] = i
    return ranked


def _nearest(number):
    """The nearest whole number; of two the even one."""
    below = math.floor(number)
    rest = Fraction(number) - below
    return below + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and below % 2 == 1))
