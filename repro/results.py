"""Results: the devkit's files of detections, average precision class by class, and the table beside the paper's.

D detections of one class, rows (image index, score, x1, y1, x2, y2), zero-based inclusive pixels.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from frcnn.reference import average_precision, evaluate_voc
from frcnn.reference.evaluation import METHODS
from frcnn.repro.voc import Split


class ResultsError(ValueError):
    """Files of detections that are missing or wrong; the sentence names the file and the line."""


@dataclass(frozen=True, eq=False)
class ClassResult:
    """One class. objects: those not difficult. ap: method -> average precision, NaN where no object is counted.

    marks: (D,), of the detections row for row, 1 true, 0 false, -1 ignored. recall, precision: (D,), by falling score.
    """

    name: str
    objects: int
    ap: dict[str, float]
    marks: np.ndarray
    recall: np.ndarray
    precision: np.ndarray


def write_results(folder: Path, split: Split, by_class: Mapping[str, np.ndarray]) -> list[Path]:
    """A file a class as the devkit's evaluation reads it: id, score, x1, y1, x2, y2 a line, counted from 1.

    Every number has as many digits as it takes to read it back, since three decimals of a score, which the original
    writes, make ties, and ties are visited in the order in which they come (divergence voc-ties).
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in split.classes:
        lines = []
        for image, score, *box in by_class[name].tolist():
            corners = " ".join(repr(corner + 1) for corner in box)
            lines.append(f"{split.photographs[int(image)].id} {score!r} {corners}\n")
        path = _file(folder, split, name)
        path.write_text("".join(lines), encoding="ascii")
        written.append(path)
    return written


def read_results(folder: Path, split: Split) -> dict[str, np.ndarray]:
    """What write_results wrote, or another program. Raises ResultsError naming the file and the line."""
    index = {photograph.id: position for position, photograph in enumerate(split.photographs)}
    found = {}
    for name in split.classes:
        path = _file(folder, split, name)
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ResultsError(f"{path} cannot be read: {error}") from None
        found[name] = np.array([_row(path, number, line, index) for number, line in enumerate(lines, 1)]).reshape(-1, 6)
    return found


def evaluate(split: Split, by_class: Mapping[str, np.ndarray]) -> list[ClassResult]:
    """Every class's result by the challenge's rules, with both methods of average precision."""
    found = []
    for name in split.classes:
        truth = ground_truth(split, name)
        objects = int((truth[:, 5] == 0).sum())
        marks, recall, precision, _ = evaluate_voc(by_class[name], truth, method=METHODS[0])
        aps = dict.fromkeys(METHODS, math.nan)
        if objects:
            aps = {method: average_precision(recall, precision, method=method) for method in METHODS}
        found.append(ClassResult(name, objects, aps, marks, recall, precision))
    return found


def ground_truth(split: Split, name: str) -> np.ndarray:
    """The objects of a class, (G, 6) float64: image index, x1, y1, x2, y2, difficult."""
    rows = [
        (image, *thing.box, thing.difficult)
        for image, photograph in enumerate(split.photographs)
        for thing in photograph.things
        if thing.name == name
    ]
    return np.array(rows, np.float64).reshape(-1, 6)


def mean_ap(results: Sequence[ClassResult], method: str) -> float:
    """The mean over the classes that have an object that counts; NaN where none has."""
    known = [result.ap[method] for result in results if result.objects]
    return float(np.mean(known)) if known else math.nan


def read_paper() -> dict[str, Any]:
    """The paper's figures, from paper.toml."""
    return tomllib.loads((resources.files("frcnn.repro") / "paper.toml").read_text(encoding="utf-8"))


def quoted(paper: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says of the paper: its figures, and the iterations that they took."""
    figures = {name: paper[name] for name in ("source", "table", "mean", "band", "costs", "svd")}
    return figures | {"iterations": paper["setting"]["iterations"]}


def differences(run: Mapping[str, Any], paper: Mapping[str, Any]) -> list[str]:
    """Why the paper's figures are not comparable with a run's: each setting that the two do not share.

    run: the settings that paper["setting"] has, by the same names; one that is not there is unknown, hence different.
    """
    found = []
    for name, theirs in paper["setting"].items():
        ours = run.get(name, "unknown")
        if (list(ours) if isinstance(ours, tuple) else ours) != theirs:
            found.append(f"{name.replace('_', ' ')}: {_said(ours)}, the paper's {_said(theirs)}")
    return found


def as_json(
    results: Sequence[ClassResult], run: Mapping[str, Any], reasons: Sequence[str], paper: Mapping[str, Any]
) -> dict[str, Any]:
    """The table as data: NaN is null, AP is a share and the paper's is one too.

    run: its setting. reasons: why it is not comparable with the paper's, if any.
    """
    classes = [
        {
            "class": result.name,
            "objects": result.objects,
            "detections": len(result.marks),
            **{method: _null(result.ap[method]) for method in METHODS},
            "paper": paper["per_class"].get(result.name),
        }
        for result in results
    ]
    means = {method: _null(mean_ap(results, method)) for method in METHODS}
    return {
        "setting": dict(run),
        "classes": classes,
        "mean": {**means, "paper": paper["mean"]},
        "paper": {
            "source": paper["source"],
            "table": paper["table"],
            "comparable": not reasons,
            "because": list(reasons),
        },
    }


def as_markdown(table: Mapping[str, Any]) -> str:
    """What as_json gave, to be read; figures in per cent, as in the paper."""
    from tabulate import tabulate

    where = f"table {table['paper']['table']}"
    rows = [
        [row["class"], row["objects"], row["detections"], *(per_cent(row[key]) for key in (*METHODS, "paper"))]
        for row in table["classes"]
    ]
    rows.append(["**mean**", "", "", *(f"**{per_cent(table['mean'][key])}**" for key in (*METHODS, "paper"))])
    headings = ["class", "objects", "detections", *(f"AP, {method}" for method in METHODS), f"the paper, {where}"]
    columns = ("left", *["right"] * 5)
    text = tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=columns)
    counted = sum(row["objects"] > 0 for row in table["classes"])
    notes = [f"Mean over the {counted} classes with objects; a class without any has no AP."]
    if table["paper"]["comparable"]:
        notes.append(f"Setting as in {where} of {table['paper']['source']}.")
    else:
        notes.append(f"Not comparable with {where} of {table['paper']['source']}:")
        notes.append("\n".join(f"- {reason}" for reason in table["paper"]["because"]))
    return "\n\n".join([text, *notes]) + "\n"


def _file(folder: Path, split: Split, name: str) -> Path:
    return Path(folder) / f"comp4_det_{split.name}_{name}.txt"


def _row(path: Path, number: int, line: str, index: Mapping[str, int]) -> tuple[float, ...]:
    name, *numbers = line.split() or [""]
    try:
        score, *box = (float(value) for value in numbers)
    except ValueError:
        box = []
    if len(box) != 4 or not all(map(math.isfinite, (score, *box))):
        raise ResultsError(f"{path}, line {number}, must be an id and five numbers, but is {line!r}")
    if name not in index:
        raise ResultsError(f"{path}, line {number}, names photograph {name!r}, which is not in the split")
    return (index[name], score, *(corner - 1 for corner in box))


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(value)


def _null(value: float) -> float | None:
    return None if math.isnan(value) else value


def per_cent(share: float | None) -> str:
    """A share as the paper writes it; "-" where there is none."""
    return "-" if share is None else f"{100 * share:.1f}"
