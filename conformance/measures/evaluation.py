"""Evaluation."""

import math

import numpy as np

from frcnn.conformance.measures.effect import MEAN_AP, Effect, measure, share, with_largest
from frcnn.conformance.scenes import CLASSES, ClassRun, stand_in_detections
from frcnn.reference import evaluate_voc, iou


def _ap(run, **options):
    return evaluate_voc(run.found, run.objects, **{"method": "11-point", **options})[3]


def _of_ap(scenes, other):
    """Classes whose AP changes, and by how much the mean AP does."""
    pairs = [(_ap(run), other(run)) for run in stand_in_detections(scenes)]
    gaps = [abs(a - b) for a, b in pairs]
    changed = with_largest(
        share("classes", [[gap > 0] for gap in gaps]), max(gaps, default=0), "the largest difference"
    )
    ours, theirs = (math.fsum(ap) / max(len(pairs), 1) for ap in zip(*pairs, strict=True)) if pairs else (0.0, 0.0)
    return [changed, Effect(MEAN_AP, abs(ours - theirs), ours)]


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
