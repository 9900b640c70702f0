"""Non-maximum suppression."""

import math

import numpy as np

from frcnn.conformance.measures.effect import LAST_PIXEL, Effect, measure
from frcnn.conformance.scenes import NMS_THRESHOLD, stand_in_scores
from frcnn.reference import nms


@measure
def kept_by_equality(scenes):
    """Proposals kept by only one of > and >=, at 0.3 in float64, by stand-in scores."""
    below = math.nextafter(NMS_THRESHOLD, 0)  # what is larger than this is larger than or equal to 0.3
    return [
        _kept_apart(
            scenes,
            lambda s: nms(s.proposals, stand_in_scores(s), NMS_THRESHOLD),
            lambda s: nms(s.proposals, stand_in_scores(s), below),
        )
    ]


@measure
def kept_by_profile(scenes):
    """Proposals kept by only one of the two profiles, float32 boxes and stand-in scores at 0.3."""

    def kept(profile):
        return lambda s: nms(
            s.proposals.astype(np.float32), stand_in_scores(s).astype(np.float32), NMS_THRESHOLD, profile=profile
        )

    return [_kept_apart(scenes, kept("exact"), kept("caffe-2015"))]


@measure
def kept_by_score_type(scenes):
    """Proposals kept by only one of float64 and float32 scores, all else equal."""

    def kept(kind):
        return lambda s: nms(s.proposals, stand_in_scores(s).astype(kind), NMS_THRESHOLD)

    return [_kept_apart(scenes, kept(np.float64), kept(np.float32))]


@measure
def kept_by_ties(scenes):
    """Proposals kept by only one of the first and the last of equal scores, stand-in scores of three decimals."""

    def first(s):
        return nms(s.proposals, np.round(stand_in_scores(s), 3), NMS_THRESHOLD)

    def last(s):
        return len(s.proposals) - 1 - nms(s.proposals[::-1], np.round(stand_in_scores(s), 3)[::-1], NMS_THRESHOLD)

    return [_kept_apart(scenes, first, last)]


@measure
def kept_without_pixel(scenes):
    """Proposals kept by only one of IoU with and without the + 1, by stand-in scores."""
    return [
        _kept_apart(
            scenes,
            lambda s: nms(s.proposals, stand_in_scores(s), NMS_THRESHOLD),
            lambda s: nms(s.proposals - LAST_PIXEL, stand_in_scores(s), NMS_THRESHOLD),
        )
    ]


def _kept_apart(scenes, one, other):
    """Boxes that only one of two suppressions keeps, of those that either keeps."""
    kept = [(set(one(s).tolist()), set(other(s).tolist())) for s in scenes if len(s.proposals)]
    return Effect("boxes kept by either", sum(len(a ^ b) for a, b in kept), sum(len(a | b) for a, b in kept))
