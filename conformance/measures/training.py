"""Sampling, and what the loss divides by."""

import numpy as np

from frcnn.conformance.measures.effect import Effect, measure, share
from frcnn.conformance.scenes import Scene, golden_keys
from frcnn.reference import image_order, match_rois, sample_rois


def _minibatches(scenes):
    """Indices and labels of the 64 RoIs, or fewer, of each photograph; golden keys, difficult objects joined too."""
    for s in scenes:
        _, overlaps, classes = match_rois(s.proposals, s.objects, s.classes)
        yield sample_rois(overlaps, classes, golden_keys(len(overlaps)))


@measure
def minibatch_foreground(scenes):
    """RoIs of the photographs' minibatches that are foreground, by which the box loss would be divided instead."""
    return [share("RoIs", [labels > 0 for _, labels in _minibatches(scenes)])]


@measure
def ground_truth_drawn(scenes):
    """Foreground RoIs of the photographs' minibatches that are ground-truth boxes themselves."""
    drawn = [
        indices[labels > 0] < len(s.objects) for s, (indices, labels) in zip(scenes, _minibatches(scenes), strict=True)
    ]
    return [share("foreground RoIs", drawn)]


@measure
def short_minibatches(scenes):
    """Photographs that give fewer than their 64 RoIs, those that give none, and places that stay empty."""
    counts = [len(labels) for _, labels in _minibatches(scenes)]
    return [
        share("photographs with fewer", [[count < 64] for count in counts]),
        share("photographs with none", [[count == 0] for count in counts]),
        share("places", [np.arange(64) >= count for count in counts]),
    ]


@measure
def background_below_tenth(scenes):
    """Proposals below an overlap of 1 / 2 that lie below 1 / 10 too: never drawn here, background elsewhere."""
    return [share("proposals", [s.overlaps[s.overlaps < 0.5] < 0.1 for s in scenes])]


@measure
def epoch_tail(scenes):
    """Minibatches that the original drops from an epoch of these photographs and their mirror images."""
    exact, caffe = (
        len(image_order(golden_keys(2 * len(scenes)), profile=profile)) for profile in ("exact", "caffe-2015")
    )
    return [Effect("minibatches", exact - caffe, exact)]


@measure
def foreground_by_difficult(scenes):
    """Foreground proposals that only difficult objects make so; objects that are difficult."""
    plain = [Scene.best(s.foreground[0], s.objects[~s.difficult]) for s in scenes]
    return [
        share("foreground proposals", [each < 0.5 for each in plain]),
        share("objects", [s.difficult for s in scenes]),
    ]


@measure
def corners_that_underflow(scenes):
    """Objects with a corner of 0 in the annotation, which becomes 65535 where 1 is taken from it as uint16."""
    return [share("objects", [(s.objects < 0).any(axis=1) for s in scenes])]
