"""Boxes and their targets."""

import math

import numpy as np

from frcnn.conformance.measures.effect import LAST_PIXEL, measure, share, with_largest
from frcnn.conformance.scenes import CLASSES, Scene
from frcnn.reference import encode_boxes, match_rois, target_statistics

SMALL_TARGET = 1e-3  # of a proposal's extent, or of a logarithm
LARGEST_LOG = math.log(1000 / 16)


@measure
def labels_without_pixel(scenes):
    """Proposals whose side of an overlap of 1 / 2 changes where IoU is taken without the + 1."""
    plain = [Scene.best(s.proposals - LAST_PIXEL, s.objects - LAST_PIXEL) for s in scenes]
    moved = [(s.overlaps >= 0.5) != (other >= 0.5) for s, other in zip(scenes, plain, strict=True)]
    largest = max((np.abs(s.overlaps - o).max(initial=0) for s, o in zip(scenes, plain, strict=True)), default=0)
    return [with_largest(share("proposals", moved), largest, "the largest difference of an overlap")]


@measure
def labels_by_last_corner(scenes):
    """Proposals whose side of an overlap of 1 / 2 changes where a box decoded with targets of 0 ends a pixel later."""
    return [
        share(
            "proposals",
            [(s.overlaps >= 0.5) != (Scene.best(s.proposals + LAST_PIXEL, s.objects) >= 0.5) for s in scenes],
        )
    ]


@measure
def labels_by_type(scenes):
    """Proposals whose side of an overlap of 1 / 2, or of 1 / 10, differs between the profiles for float32 boxes."""
    moved = []
    for s in scenes:
        arguments = s.proposals.astype(np.float32), s.objects.astype(np.float32), s.classes
        exact, caffe = (match_rois(*arguments, profile=name)[1] for name in ("exact", "caffe-2015"))
        moved.append(((exact >= 0.5) != (caffe >= 0.5)) | ((exact >= np.float32(0.1)) != (caffe >= np.float32(0.1))))
    return [share("RoIs", moved)]


@measure
def proposals_beyond_image(scenes):
    """Proposals with a corner outside their photograph, which are all that clipping can change before a regressor."""
    outside = []
    for s in scenes:
        last = np.array([s.size[1], s.size[0]] * 2) - 1
        outside.append(((s.proposals < 0) | (s.proposals > last)).any(axis=1))
    return [share("proposals", outside)]


@measure
def targets_by_width(scenes):
    """Targets of foreground proposals that move by more than 0.001 where a width has 1e-14 in place of a pixel; boxes
    a single pixel wide or high are left out."""
    gaps = [np.abs(encode_boxes(p, g) - encode_boxes(p, g, profile="caffe-2015")) for p, g in _wide_enough(scenes)]
    largest = max((gap.max(initial=0) for gap in gaps), default=0)
    return [with_largest(share("targets", [gap > SMALL_TARGET for gap in gaps]), largest, "the largest difference")]


def _wide_enough(scenes):
    """Foreground pairs but for boxes a pixel wide or high, which 1e-14 makes infinitely thin."""
    for scene in scenes:
        p, g, _ = scene.foreground
        kept = ((p[:, 2:] > p[:, :2]) & (g[:, 2:] > g[:, :2])).all(axis=1)
        yield p[kept], g[kept]


@measure
def targets_by_type(scenes):
    """Targets of foreground proposals that differ, once both are float32, between float32 and float64 arithmetic."""
    apart, largest = [], 0.0
    for scene in scenes:
        p, g, _ = scene.foreground
        narrow = encode_boxes(p.astype(np.float32), g.astype(np.float32))
        wide = encode_boxes(p, g)
        apart.append(narrow != wide.astype(np.float32))
        largest = max(largest, float(np.abs(narrow - wide).max(initial=0)))
    return [with_largest(share("targets", apart), largest, "the largest difference")]


@measure
def targets_beyond_clamp(scenes):
    """Logarithmic targets of foreground proposals beyond ln(1000 / 16), where later detectors clamp predictions."""
    logs = [np.abs(encode_boxes(*scene.foreground[:2])[:, 2:]) for scene in scenes]
    largest = max((each.max(initial=0) for each in logs), default=0)
    return [with_largest(share("targets", [each > LARGEST_LOG for each in logs]), largest, "the largest of them")]


@measure
def targets_by_knee(scenes):
    """Targets of foreground proposals between 1/9 and 1, whose smooth L1 is a square here and straight with a knee
    at 1/9, where all predictions are zero and targets are not normalised."""
    sizes = [np.abs(encode_boxes(*scene.foreground[:2])) for scene in scenes]
    return [share("targets", [(each >= 1 / 9) & (each < 1) for each in sizes])]


@measure
def deviations_beside_fixed(scenes):
    """Standard deviations of a class's targets that differ by more than a tenth from the fixed .1 .1 .2 .2."""
    stds, counts = _deviations(scenes, "exact")
    ratios = stds[counts > 1] / [0.1, 0.1, 0.2, 0.2]
    off = np.maximum(ratios, 1 / ratios)
    return [with_largest(share("deviations", [off > 1.1]), off.max(initial=1), "the largest ratio of the two")]


@measure
def deviations_by_profile(scenes):
    """Standard deviations of a class's targets that differ between the profiles by more than a part in 2^40, where a
    class has any; and classes without a target."""
    (exact, counts), (caffe, _) = (_deviations(scenes, profile) for profile in ("exact", "caffe-2015"))
    gaps = np.abs(exact - caffe)[counts > 0]
    apart = share("deviations", [gaps > 2.0**-40 * exact[counts > 0]])
    return [
        with_largest(apart, gaps.max(initial=0), "the largest difference"),
        share("classes", [counts == 0]),
    ]


def _deviations(scenes, profile):
    """The standard deviations (20, 4) of each class's targets of foreground proposals, and how many there are (20,)."""
    targets = np.concatenate([np.zeros((0, 4)), *(encode_boxes(*scene.foreground[:2]) for scene in scenes)])
    labels = np.concatenate([np.zeros(0, np.int64), *(scene.foreground[2] for scene in scenes)])
    stds = target_statistics(targets, labels, len(CLASSES) + 1, profile=profile)[1]
    return stds[1:], np.bincount(labels, minlength=len(CLASSES) + 1)[1:]
