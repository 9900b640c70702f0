"""What each divergence of the register comes to on real photographs: how many bins, RoIs, targets, boxes, how much AP.

A measure is a function of scenes (`scenes.py` says how they stand in for what only a trained network has) whose
docstring is the sentence that the register prints. It compares two readings and gives shares.

R proposals, G objects; a box is (x1, y1, x2, y2), inclusive corners in pixels of the photograph, zero-based. A box that
is read without the + 1 is one whose last corners lie one pixel before: its extents are then x2 - x1 and y2 - y1.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from frcnn.conformance import photographs
from frcnn.conformance.photographs import SPATIAL_SCALE
from frcnn.conformance.scenes import (
    CLASSES,
    NMS_THRESHOLD,
    ClassRun,
    Scene,
    golden_keys,
    stand_in_detections,
    stand_in_scores,
)
from frcnn.reference import (
    encode_boxes,
    evaluate_voc,
    image_order,
    iou,
    match_rois,
    nms,
    pool_windows,
    project_rois,
    sample_rois,
    target_statistics,
)

P = 7  # VGG16's grid
LAST_PIXEL = np.array([0, 0, 1, 1])
SMALL_TARGET = 1e-3  # of a proposal's extent, or of a logarithm
LARGEST_LOG = math.log(1000 / 16)


@dataclass(frozen=True)
class Effect:
    """A share: `count` of `total`, both of `unit`; beside it, `largest_what` is `largest`."""

    unit: str
    count: float
    total: float
    largest: float | None = None
    largest_what: str = ""


@dataclass(frozen=True)
class Measure:
    """A measuring function, and the sentence that says what it counts: its docstring."""

    name: str
    run: Callable[[Sequence[Scene]], list[Effect]] = field(repr=False)

    @property
    def says(self) -> str:
        return " ".join((self.run.__doc__ or "").split())


MEASURES: dict[str, Measure] = {}


def measure(function):
    """Enter a measuring function under its name."""
    MEASURES[function.__name__] = Measure(function.__name__, function)
    return function


def share(unit, flags) -> Effect:
    """How many of the flags of all scenes are set."""
    flags = [np.asarray(each) for each in flags]
    return Effect(unit, int(sum(np.count_nonzero(each) for each in flags)), int(sum(each.size for each in flags)))


# RoI pooling


@measure
def bins_by_edges(scenes):
    """Bins whose window differs between integer and float32 edges, 7 x 7 at 1/16, after clipping to the map."""
    apart = []
    for scene in scenes:
        rchw = project_rois(scene.rois, SPATIAL_SCALE)[:, 1:]
        exact, caffe = (pool_windows(rchw, P, scene.map_size, profile=profile) for profile in ("exact", "caffe-2015"))
        rows, columns = ((one != other).any(axis=2) for one, other in zip(exact, caffe, strict=True))
        apart.append(rows[:, :, None] | columns[:, None, :])
    return [share("bins", apart), share("RoIs", [each.any(axis=(1, 2)) for each in apart])]


@measure
def bins_that_are_empty(scenes):
    """Bins without a cell on the map, 7 x 7 at 1/16."""
    empty = []
    for scene in scenes:
        windows = pool_windows(project_rois(scene.rois, SPATIAL_SCALE)[:, 1:], P, scene.map_size)
        rows, columns = ((each[..., 0] >= each[..., 1]) for each in windows)
        empty.append(rows[:, :, None] | columns[:, None, :])
    return [share("bins", empty)]


@measure
def bins_beyond_corners(scenes):
    """Bins, as the original cuts them, with a cell of the map beyond the RoI's rounded corners, 7 x 7 at 1/16."""
    return [share("bins", _bins_that_hold(scenes, lambda p, k, n: k >= n))]


@measure
def bins_the_walk_misses(scenes):
    """Bins, as the original cuts them, with a cell within the corners whose walk misses them, 7 x 7 at 1/16."""
    return [share("bins", _bins_that_hold(scenes, lambda p, k, n: k < n and not _walk_finds(p, k, n)))]


def _bins_that_hold(scenes, lost):
    """For each scene (R, 7, 7): whether a sub-window of `caffe-2015` holds a cell of which lost(p, k, n) is true.

    p is the place of the sub-window along an axis, k the cell's offset and n the extent.
    """
    for scene in scenes:
        axes = []
        rchw = project_rois(scene.rois, SPATIAL_SCALE)[:, 1:]
        for axis, windows in enumerate(pool_windows(rchw, P, scene.map_size, profile="caffe-2015")):
            first, end = (windows - rchw[:, axis, None, None]).transpose(2, 0, 1)
            extents, of_axis = rchw[:, axis + 2], np.zeros((len(rchw), P), bool)
            for n in np.unique(extents).tolist():
                for p, k in _held(n):
                    if lost(p, k, n):
                        of_axis[:, p] |= (extents == n) & (first[:, p] <= k) & (k < end[:, p])
            axes.append(of_axis)
        yield axes[0][:, :, None] | axes[1][:, None, :]


@cache
def _held(n):
    """(p, k): which cells of an extent n each sub-window holds in float32, before the map clips it: roi-pool.grid."""
    size = np.float32(n) / np.float32(P)
    edges = [(math.floor(np.float32(p) * size), math.ceil(np.float32(p + 1) * size)) for p in range(P)]
    return [(p, k) for p, (first, end) in enumerate(edges) for k in range(first, end)]


@cache
def _walk_finds(p, k, n):
    """Clause roi-pool.backward-dropped along one axis: whether cell k's walk over its bins comes to sub-window p."""
    size = np.float32(n) / np.float32(P)
    return math.floor(np.float32(k) / size) <= p < math.ceil(np.float32(k + 1) / size)


@measure
def bins_by_sppnet(scenes):
    """Bins whose window differs where an extent n has P windows ceil(n / P) long at a stride of floor(n / P)."""
    apart = []
    for scene in scenes:
        extents = project_rois(scene.rois, SPATIAL_SCALE)[:, 3:]
        for levels in (1, 2, 4):
            p, n = np.arange(levels), extents[..., None]
            first, end = p * n // levels, -(-(p + 1) * n // levels)
            start = p * (n // levels)
            differs = (first != start) | (end != start - (-n // levels))
            apart.append(differs[:, 0, :, None] | differs[:, 1, None, :])
    return [share("bins of a pyramid of 1, 2 and 4", apart)]


@measure
def rois_by_rounding(scenes):
    """RoIs with a corner that another rounding of the same float32 product takes to another cell."""
    readings: dict[str, Callable] = {
        "half to even": np.round,
        "floor(x + .5) in float32": lambda x: np.floor(x + np.float32(0.5)),
    }
    scaled = [scene.rois[:, 1:] * np.float32(SPATIAL_SCALE) for scene in scenes]
    ours = [_half_away(x) for x in scaled]
    return [
        share(
            f"RoIs, by {name}",
            [(other(x) != mine).any(axis=1) for x, mine in zip(scaled, ours, strict=True)],
        )
        for name, other in readings.items()
    ]


@measure
def rois_by_projection(scenes):
    """RoIs with a corner that goes to another cell where boxes are scaled to the image and to the map in float64."""
    moved = []
    for scene in scenes:
        wide = scene.proposals * photographs.image_scale(*scene.size) * SPATIAL_SCALE
        moved.append((_half_away(wide) != _half_away(scene.rois[:, 1:] * np.float32(SPATIAL_SCALE))).any(axis=1))
    return [share("RoIs", moved)]


@measure
def proposals_that_repeat(scenes):
    """Proposals that equal an earlier one once rounded, half to even, at 1/16; and those of them that RoI pooling,
    which rounds half away from zero, would have pooled elsewhere than the one whose scores they are given."""
    repeats, elsewhere = [], []
    for scene in scenes:
        scaled = scene.rois[:, 1:] * np.float32(SPATIAL_SCALE)
        _, first, group = np.unique(np.round(scaled), axis=0, return_index=True, return_inverse=True)
        representative = first[group.reshape(-1)]
        repeats.append(representative != np.arange(len(scaled)))
        cells = _half_away(scaled)
        elsewhere.append((cells != cells[representative]).any(axis=1))
    return [share("proposals that repeat", repeats), share("proposals pooled elsewhere", elsewhere)]


def _half_away(x):
    return np.trunc(x) + np.where(np.abs(x - np.trunc(x)) >= 0.5, np.sign(x), 0)


@measure
def maps_by_pooling(scenes):
    """Photographs whose map after four poolings of 2 x 2 has another size where lengths are rounded down, not up, and
    RoIs that reach into the row or column which is then not there."""
    floors = [tuple(side // 16 for side in scene.resized) for scene in scenes]
    beyond = []
    for scene, floor in zip(scenes, floors, strict=True):
        rchw = project_rois(scene.rois, SPATIAL_SCALE)[:, 1:]
        beyond.append((rchw[:, :2] + rchw[:, 2:] > floor).any(axis=1))
    other_size = [[scene.map_size != floor] for scene, floor in zip(scenes, floors, strict=True)]
    return [share("photographs", other_size), share("RoIs", beyond)]


# Boxes and their targets


@measure
def labels_without_pixel(scenes):
    """Proposals whose side of an overlap of 1 / 2 changes where IoU is taken without the + 1."""
    plain = [Scene.best(s.proposals - LAST_PIXEL, s.objects - LAST_PIXEL) for s in scenes]
    moved = [(s.overlaps >= 0.5) != (other >= 0.5) for s, other in zip(scenes, plain, strict=True)]
    largest = max((np.abs(s.overlaps - o).max(initial=0) for s, o in zip(scenes, plain, strict=True)), default=0)
    return [_with_largest(share("proposals", moved), largest, "the largest difference of an overlap")]


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
    return [_with_largest(share("targets", [gap > SMALL_TARGET for gap in gaps]), largest, "the largest difference")]


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
    return [_with_largest(share("targets", apart), largest, "the largest difference")]


@measure
def targets_beyond_clamp(scenes):
    """Logarithmic targets of foreground proposals beyond ln(1000 / 16), where later detectors clamp predictions."""
    logs = [np.abs(encode_boxes(*scene.foreground[:2])[:, 2:]) for scene in scenes]
    largest = max((each.max(initial=0) for each in logs), default=0)
    return [_with_largest(share("targets", [each > LARGEST_LOG for each in logs]), largest, "the largest of them")]


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
    return [_with_largest(share("deviations", [off > 1.1]), off.max(initial=1), "the largest ratio of the two")]


@measure
def deviations_by_profile(scenes):
    """Standard deviations of a class's targets that differ between the profiles by more than a part in 2^40, where a
    class has any; and classes without a target."""
    (exact, counts), (caffe, _) = (_deviations(scenes, profile) for profile in ("exact", "caffe-2015"))
    gaps = np.abs(exact - caffe)[counts > 0]
    apart = share("deviations", [gaps > 2.0**-40 * exact[counts > 0]])
    return [
        _with_largest(apart, gaps.max(initial=0), "the largest difference"),
        share("classes", [counts == 0]),
    ]


def _deviations(scenes, profile):
    """The standard deviations (20, 4) of each class's targets of foreground proposals, and how many there are (20,)."""
    targets = np.concatenate([np.zeros((0, 4)), *(encode_boxes(*scene.foreground[:2]) for scene in scenes)])
    labels = np.concatenate([np.zeros(0, np.int64), *(scene.foreground[2] for scene in scenes)])
    stds = target_statistics(targets, labels, len(CLASSES) + 1, profile=profile)[1]
    return stds[1:], np.bincount(labels, minlength=len(CLASSES) + 1)[1:]


def _with_largest(effect, largest, unit):
    return Effect(effect.unit, effect.count, effect.total, float(largest), unit)


# Sampling and the loss


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


# Non-maximum suppression


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


# Evaluation


def _ap(run, **options):
    return evaluate_voc(run.found, run.objects, **{"method": "11-point", **options})[3]


def _of_ap(scenes, other):
    """Classes whose AP changes, and by how much the mean AP does, as a share of it."""
    pairs = [(_ap(run), other(run)) for run in stand_in_detections(scenes)]
    gaps = [abs(a - b) for a, b in pairs]
    changed = _with_largest(
        share("classes", [[gap > 0] for gap in gaps]), max(gaps, default=0), "the largest difference"
    )
    ours, theirs = (math.fsum(ap) / max(len(pairs), 1) for ap in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
    return [changed, Effect("mean AP", abs(ours - theirs), ours)]


def _eleven(run, levels, divide_first=False):
    """11-point AP over other levels of recall; `divide_first` as the kit of 2007 adds up."""
    _, recall, precision, _ = evaluate_voc(run.found, run.objects, method="11-point")
    terms = [float(precision[recall >= level].max(initial=0)) for level in levels]
    return sum(term / 11 for term in terms) if divide_first else sum(terms) / 11


@measure
def ap_by_arange(scenes):
    """AP with NumPy's arange(0, 1.1, 0.1), which is above 3/10, 6/10 and 7/10, in place of the tenths."""
    return _of_ap(scenes, lambda run: _eleven(run, np.arange(0, 1.1, 0.1)))


@measure
def ap_by_colon(scenes):
    """AP with MATLAB's 0:0.1:1, which is above 3/10 alone, in place of the tenths."""
    levels = [k / 10 for k in range(11)]
    levels[3] = math.nextafter(levels[3], 1)
    return _of_ap(scenes, lambda run: _eleven(run, levels))


@measure
def ap_by_division(scenes):
    """AP with each of the eleven terms divided by 11 before they are added."""
    return _of_ap(scenes, lambda run: _eleven(run, [k / 10 for k in range(11)], divide_first=True))


@measure
def ap_by_equality(scenes):
    """AP where an overlap must be larger than 1 / 2, not 1 / 2 at least."""
    return _of_ap(scenes, lambda run: _ap(run, iou_threshold=math.nextafter(0.5, 1)))


@measure
def ap_by_ties(scenes):
    """AP where of equal scores the last given is visited first, scores having three decimals."""
    return _of_ap(scenes, lambda run: _ap(ClassRun(run.found[::-1], run.objects)))


@measure
def ap_by_difficult(scenes):
    """AP where difficult objects count like any other."""
    return _of_ap(scenes, lambda run: _ap(ClassRun(run.found, run.objects * [1, 1, 1, 1, 1, 0])))


@measure
def ap_by_method(scenes):
    """AP as the area below the curve in place of the mean over eleven recalls."""
    return _of_ap(scenes, lambda run: _ap(run, method="area"))


@measure
def ap_without_pixel(scenes):
    """AP where IoU is taken without the + 1."""
    shorter = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 0])
    return _of_ap(scenes, lambda run: _ap(ClassRun(run.found - shorter[0], run.objects - shorter[1])))


@measure
def ap_by_first_ignored(scenes):
    """Classes whose best detection finds a difficult object: 0 / 0, which NumPy's max does not pass over."""
    ignored = []
    for run in stand_in_detections(scenes):
        marks = evaluate_voc(run.found, run.objects, method="area")[0]
        order = np.argsort(-run.found[:, 1], kind="stable")
        ignored.append([len(order) > 0 and marks[order[0]] == -1])
    return [share("classes", ignored)]


@measure
def duplicates_with_a_free_object(scenes):
    """Detections that are false as duplicates and overlap an object of their class by 1 / 2 that none has found."""
    free = []
    for run in stand_in_detections(scenes):
        marks = evaluate_voc(run.found, run.objects, method="area")[0]
        for image in np.unique(run.found[:, 0]):
            here = np.flatnonzero(run.found[:, 0] == image)
            objects = run.objects[(run.objects[:, 0] == image) & (run.objects[:, 5] == 0), 1:5]
            shares = iou(run.found[here, 2:], objects)
            taken = shares[marks[here] == 1].argmax(axis=1) if len(objects) and (marks[here] == 1).any() else []
            others = np.setdiff1d(np.arange(len(objects)), taken)
            free.append((shares[marks[here] == 0][:, others] >= 0.5).any(axis=1))
    return [share("false detections", free)]


@measure
def classes_without_object(scenes):
    """Classes of the twenty without an object that is not difficult."""
    counted = {int(name) for s in scenes for name in s.classes[~s.difficult]}
    return [share("classes", [[name not in counted for name in range(1, len(CLASSES) + 1)]])]
