"""The mistakes of a detector, by kind.

A false detection of class k is, the first that applies,

    duplicate      its best overlap with an object of class k is at least 1/2: another detection has found that object
    localisation   that overlap is at least 1/10
    confusion      its best overlap with an object of another class is at least 1/10
    background     no object overlaps by 1/10

and an object that counts is `missed` where no detection of its class, whatever its score, is true for it. Overlap is
IoU; difficult objects are objects here, but none of them is missed, and what finds one is no mistake.

The kinds are those of Hoiem, Chodpathumwan and Dai, Diagnosing error in object detectors, ECCV 2012, section 2, but for
two things: there a duplicate is a localisation error, and confusion with similar classes is told from that with others.
As there, a class's first N detections by score are looked at, N being its objects that count: with more, nearly all
would be of the background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from frcnn.reference import iou
from frcnn.repro.results import ClassResult, ground_truth
from frcnn.repro.voc import Box, Split, Thing

FALSE_KINDS = ("confusion", "localisation", "duplicate", "background")
KINDS = (*FALSE_KINDS, "missed")
FOUND, TOUCHED = 0.5, 0.1


@dataclass(frozen=True)
class Mistake:
    """name: the class that was said, or that was missed. image: index in the split.

    score, box: of the detection; a score of None and the object's box for `missed`.
    thing, overlap: the object that it is about, and the overlap with it; None and 0 for `background`.
    """

    kind: str
    name: str
    image: int
    score: float | None
    box: Box
    thing: Thing | None
    overlap: float


def mistakes(split: Split, by_class: Mapping[str, np.ndarray], results: Sequence[ClassResult]) -> list[Mistake]:
    """The mistakes, the worst first: by falling score; missed objects come last, the largest first.

    by_class: class -> (D, 6), as in testing.py. results: what `evaluate` says of it.
    """
    false: list[Mistake] = []
    missed: list[Mistake] = []
    for result in results:
        rows = by_class[result.name]
        for row in np.argsort(-rows[:, 1], kind="stable")[: result.objects]:
            if result.marks[row] == 0:
                false.append(_false(split, result.name, rows[row]))
        missed += _missed(split, result.name, rows[result.marks == 1])
    false.sort(key=lambda mistake: -(mistake.score or 0))
    missed.sort(key=lambda mistake: -_area(mistake.box))
    return false + missed


def counts(found: Sequence[Mistake]) -> dict[str, int]:
    """How many there are of each kind."""
    return {kind: sum(mistake.kind == kind for mistake in found) for kind in KINDS}


def _false(split: Split, name: str, row: np.ndarray) -> Mistake:
    image, score, *corners = row.tolist()
    box = (corners[0], corners[1], corners[2], corners[3])
    things = split.photographs[int(image)].things
    own, overlap = _best([thing for thing in things if thing.name == name], box)
    if overlap >= TOUCHED:
        kind = "duplicate" if overlap >= FOUND else "localisation"
        return Mistake(kind, name, int(image), score, box, own, overlap)
    other, overlap = _best([thing for thing in things if thing.name != name], box)
    if overlap >= TOUCHED:
        return Mistake("confusion", name, int(image), score, box, other, overlap)
    return Mistake("background", name, int(image), score, box, None, 0.0)


def _missed(split: Split, name: str, true: np.ndarray) -> list[Mistake]:
    """The objects that no true detection (T, 6) found: each found the one that it overlaps most."""
    truth = ground_truth(split, name)
    left = truth[:, 5] == 0
    for image, _, *box in true:
        here = np.flatnonzero(truth[:, 0] == image)
        left[here[iou(np.array([box]), truth[here, 1:5])[0].argmax()]] = False
    return [
        Mistake("missed", name, image, None, thing.box, thing, 1.0)
        for image, thing in (
            (int(row[0]), Thing(name, (row[1], row[2], row[3], row[4]), False)) for row in truth[left].tolist()
        )
    ]


def _best(things: Sequence[Thing], box: Box) -> tuple[Thing | None, float]:
    """The object that a box overlaps most, the first of several, and by how much."""
    if not things:
        return None, 0.0
    overlaps = iou(np.array([box]), np.array([thing.box for thing in things], np.float64))[0]
    best = int(overlaps.argmax())
    return things[best], float(overlaps[best])


def _area(box: Box) -> float:
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)
