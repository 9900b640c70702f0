"""Recall: of the objects in a split's photographs, the share that some proposal covers; as figures and as a plot.

n objects; t a threshold on IoU. An object's overlap is its IoU (`frcnn.reference.iou`, corners inside, float64) with
the best proposal of its photograph, 0 where there is none; one proposal may be the best of several objects. Then

    recall(t) = #{overlap >= t} / n
    average recall = 2 * the integral of recall(t) over t from .5 to 1 = 2 / n * the sum of max(overlap - .5, 0)

the second form being exact: nothing is interpolated. The mean over t = .50, .55, ..., .95, which COCO calls average
recall, is another number.

Source: Hosang, Benenson, Dollar, Schiele, What makes for effective detection proposals?, arXiv:1502.05082, section 5.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from frcnn.reference import iou
from frcnn.repro.proposals import of_split
from frcnn.repro.voc import Split, Thing

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
ALL, NOT_DIFFICULT, DIFFICULT = "all objects", "not difficult", "difficult"
CLASS_MEAN = "mean of classes"


@dataclass(frozen=True)
class Recall:
    """Recall of one group of objects.

    group: ALL, NOT_DIFFICULT, DIFFICULT, CLASS_MEAN or the name of a class, which holds its objects that are not
        difficult. CLASS_MEAN is of the same objects as NOT_DIFFICULT, and its figures are the unweighted means of those
        of the classes that have any: frequent classes do not prevail, as they do not in mAP.
    overlaps: every object's overlap, falling.
    at: recall at each threshold asked for; NaN, as is `average`, for a group without objects.
    average: average recall as this module defines it.
    """

    group: str
    overlaps: tuple[float, ...]
    at: tuple[float, ...]
    average: float


def recall(split: Split, proposals: Mapping[str, np.ndarray], thresholds: Sequence[float] = THRESHOLDS) -> list[Recall]:
    """Recall of all objects, of those that are not difficult, of those that are, the classes' mean, and each class's.

    proposals: of every photograph of the split, checked. thresholds: each in 0..1.

    Raises ProposalsError naming a photograph whose proposals are missing or wrong, ValueError naming a threshold.
    """
    for threshold in thresholds:
        if not 0 < threshold <= 1:
            raise ValueError(f"thresholds must lie above 0 and at most at 1, got {threshold}")
    proposals = of_split(split, proposals)
    objects = [
        (thing, overlap)
        for photograph in split.photographs
        for thing, overlap in zip(
            photograph.things, _best_overlaps(photograph.things, proposals[photograph.id]), strict=True
        )
    ]

    def group(name: str, belongs: Callable[[Thing], bool]) -> Recall:
        overlaps = np.array(sorted((overlap for thing, overlap in objects if belongs(thing)), reverse=True))
        if not overlaps.size:
            return Recall(name, (), (np.nan,) * len(thresholds), np.nan)
        at = tuple(float((overlaps >= threshold).mean()) for threshold in thresholds)
        return Recall(name, tuple(overlaps.tolist()), at, float(2 * np.maximum(overlaps - 0.5, 0).mean()))

    plain = group(NOT_DIFFICULT, lambda thing: not thing.difficult)
    classes = [group(name, partial(_is_plain, name)) for name in split.classes]
    figures = np.array(
        [(*row.at, row.average) for row in classes if row.overlaps] or [(np.nan,) * (len(thresholds) + 1)]
    )
    *at, average = figures.mean(axis=0).tolist()
    return [
        group(ALL, lambda thing: True),
        plain,
        group(DIFFICULT, lambda thing: thing.difficult),
        Recall(CLASS_MEAN, plain.overlaps, tuple(at), average),
        *classes,
    ]


def table(found: Sequence[Recall], thresholds: Sequence[float] = THRESHOLDS) -> str:
    """One line for each group; `-` where it has no objects."""
    from tabulate import tabulate

    def figure(value: float) -> str:
        return "-" if np.isnan(value) else f"{value:.3f}"

    return tabulate(
        [[row.group, len(row.overlaps), *map(figure, row.at), figure(row.average)] for row in found],
        ["", "objects", *(f"IoU {threshold:g}" for threshold in thresholds), "average"],
        disable_numparse=True,
        colalign=("left", *["right"] * (len(thresholds) + 2)),
    )


def plot(path: Path, found: Sequence[Recall], title: str) -> None:
    """Draw recall over IoU from .5 to 1 of the groups over all classes: a picture of the kind that `path` ends in."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.add_subplot()
    grid = np.linspace(0.5, 1, 501)
    for row in found:
        if row.group in (ALL, NOT_DIFFICULT, DIFFICULT) and row.overlaps:
            share = (np.array(row.overlaps) >= grid[:, None]).mean(axis=1)
            axes.plot(grid, share, label=_legend(row))
    axes.set(xlim=(0.5, 1), ylim=(0, 1), xlabel="IoU", ylabel="recall", title=title)
    axes.grid(alpha=0.3)
    axes.legend(title="objects: average recall")
    figure.savefig(path, dpi=150)


def _legend(row: Recall) -> str:
    return f"{len(row.overlaps)} {row.group}: {row.average:.3f}".replace(f"{ALL}:", "in all:")


def _is_plain(name: str, thing: Thing) -> bool:
    return thing.name == name and not thing.difficult


def _best_overlaps(things: Sequence[Thing], boxes: np.ndarray) -> list[float]:
    if not things or not len(boxes):
        return [0.0] * len(things)
    truth = np.array([thing.box for thing in things], np.float64)
    return iou(truth, boxes.astype(np.float64)).max(axis=1).tolist()
