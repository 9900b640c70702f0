"""Pictures of results: detections drawn into photographs, precision-recall curves, the worst mistakes of each kind.

Pixels are uint8 (H, W, 3), blue first, as OpenCV has them.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from frcnn.repro.mistakes import FALSE_KINDS, KINDS, Mistake, counts
from frcnn.repro.results import ClassResult, mean_ap
from frcnn.repro.voc import Box, Photograph, Split, read_image

Colour = tuple[int, int, int]  # blue, green, red
Place = tuple[int, int, int, int]  # of a label, in pixels: x1, y1, x2, y2

FALSE, TRUTH = (40, 40, 235), (60, 200, 40)
SIDE = 480  # the longest side of a picture in a sheet
CAPTION = 60  # pixels that a line of text has at least
CONTEXT = 0.4  # of a box's sides, seen on each side of it
FONT = cv2.FONT_HERSHEY_SIMPLEX
_DPI = 100


@dataclass(frozen=True)
class Drawn:
    """A box to draw, in pixels from 0, both corners inside; what is written on it, perhaps nothing; its colour."""

    box: Box
    label: str
    colour: Colour


def draw(pixels: np.ndarray, boxes: Sequence[Drawn]) -> np.ndarray:
    """The picture with boxes on it, the first on top, and no label on another where there is room beneath.

    Lines and letters grow with the picture.
    """
    picture = np.ascontiguousarray(pixels.copy())
    unit = max(max(picture.shape[:2]) / SIDE, 0.5)
    thick, size = max(round(1.6 * unit), 1), 0.42 * unit
    for drawn in reversed(boxes):
        first, last = _corners(drawn.box)
        cv2.rectangle(picture, first, last, drawn.colour, thick, cv2.LINE_AA)
    taken: list[Place] = []
    for drawn in boxes:  # after all boxes, so that no line goes through a word
        if drawn.label:
            taken.append(_write(picture, drawn, size, max(round(unit), 1), taken))
    return picture


def captioned(pixels: np.ndarray, text: str) -> np.ndarray:
    """The picture, and beneath it a line of text on white, as large as the width allows.

    Where the picture is narrower than any line, there is white beside it.
    """
    beside = max(CAPTION - pixels.shape[1], 0)
    pixels = cv2.copyMakeBorder(pixels, 0, 0, 0, beside, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    unit = max(max(pixels.shape[:2]) / SIDE, 0.5)
    size = 0.42 * unit
    (width, _), _ = cv2.getTextSize(text, FONT, size, 1)
    size = min(size, size * (pixels.shape[1] - 4) / width)
    (_, height), below = cv2.getTextSize(text, FONT, size, 1)
    strip = np.full((height + 2 * below, pixels.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, text, (2, height + below // 2), FONT, size, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([pixels, strip])


def detections_of(by_class: Mapping[str, np.ndarray], image: int, least: float) -> list[Drawn]:
    """What was found in one image with a score of at least `least`, the best first; a colour a class."""
    found = []
    for k, (name, rows) in enumerate(by_class.items()):
        for _, score, *box in rows[(rows[:, 0] == image) & (rows[:, 1] >= least)].tolist():
            label = f"{name} {_score(score)}"
            found.append((score, Drawn((box[0], box[1], box[2], box[3]), label, colour(k, len(by_class)))))
    return [drawn for _, drawn in sorted(found, key=lambda pair: -pair[0])]


def colour(k: int, count: int) -> Colour:
    """The k-th of `count` colours that differ in hue, neighbours also in brightness."""
    red, green, blue = colorsys.hsv_to_rgb(k / count, 0.85, (0.95, 0.65)[k % 2])
    return round(255 * blue), round(255 * green), round(255 * red)


def curves_sheet(path: Path, results: Sequence[ClassResult], method: str, title: str) -> None:
    """Precision over recall, a small plot for each class."""
    columns = min(5, len(results))
    rows = math.ceil(len(results) / columns)
    figure = Figure(figsize=(2.4 * columns + 0.4, 2.1 * rows + 0.7), layout="constrained")
    mean = mean_ap(results, method)
    figure.suptitle(f"{title}: mean AP ({method}) {'-' if math.isnan(mean) else f'{mean:.3f}'}", wrap=True)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes, result in zip(grid.flat, results, strict=False):
        axes.set(xlim=(0, 1), ylim=(0, 1.02))
        axes.set_xticks((0, 0.5, 1), ("0", "½", "1"))
        axes.set_yticks((0, 0.5, 1), ("0", "½", "1"))
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        if not result.objects:
            axes.set_title(f"{result.name}: no objects", fontsize=9)
            continue
        axes.set_title(f"{result.name} {result.ap[method]:.3f}", fontsize=9)
        axes.plot(result.recall, result.precision, linewidth=1.2)
    for axes in grid.flat[len(results) :]:
        axes.remove()
    figure.supxlabel("recall", fontsize=9)
    figure.supylabel("precision", fontsize=9)
    figure.savefig(path, dpi=150)


def detections_sheet(
    path: Path,
    split: Split,
    by_class: Mapping[str, np.ndarray],
    title: str,
    *,
    least: float = 0.5,
    count: int = 12,
    read: Callable[[Photograph], np.ndarray] = read_image,
) -> None:
    """Photographs from all over the split, not chosen by what is found in them, with what is found in them."""
    chosen = np.unique(np.linspace(0, len(split.photographs) - 1, count).round().astype(int)).tolist()
    columns = min(4, len(chosen))
    figure, grid = _sheet(math.ceil(len(chosen) / columns), columns, (3.6, 3.0))
    figure.suptitle(f"{title}: detections that score at least {least:g}", wrap=True)
    for axes, image in zip(grid.flat, chosen, strict=False):
        pixels = read(split.photographs[image])
        _show(axes, _enlarged(pixels, detections_of(by_class, image, least)))
        axes.set_title(split.photographs[image].id, fontsize=8, pad=2)
    figure.savefig(path, dpi=_DPI)


def mistakes_sheet(
    path: Path,
    split: Split,
    found: Sequence[Mistake],
    title: str,
    *,
    count: int = 6,
    read: Callable[[Photograph], np.ndarray] = read_image,
) -> None:
    """A row for each kind with its worst: what was said in red, the object that it is about in green."""
    number = counts(found)
    false = sum(number[kind] for kind in FALSE_KINDS)
    figure, grid = _sheet(len(KINDS), count, (2.2, 2.5))
    figure.suptitle(
        f"{title}: the worst mistakes of each kind. Red: what was said; green: the object that it is about.\n"
        "Counted among each class's first N detections, N being its objects; missed objects among all.",
        fontsize=10,
    )
    for line, kind in zip(grid, KINDS, strict=True):
        share = f"{number[kind]}" + (f", {number[kind] / false:.0%} of false" if kind in FALSE_KINDS and false else "")
        line[0].text(
            -0.08,
            0.5,
            f"{kind}\n{share}",
            transform=line[0].transAxes,
            rotation=90,
            ha="right",
            va="center",
            fontsize=9,
        )
        for axes, mistake in zip(line, [one for one in found if one.kind == kind], strict=False):
            _show(axes, _close_up(read(split.photographs[mistake.image]), mistake))
            axes.set_title(f"{split.photographs[mistake.image].id}\n{_caption(mistake)}", fontsize=7, pad=2)
    figure.savefig(path, dpi=_DPI)


def _caption(mistake: Mistake) -> str:
    if mistake.score is None:
        return mistake.name
    said = f"{mistake.name} {_score(mistake.score)}"
    if mistake.thing is None:
        return said
    of = "" if mistake.thing.name == mistake.name else f" ({mistake.thing.name})"
    return f"{said}{of}, IoU {mistake.overlap:.2f}"


def _close_up(pixels: np.ndarray, mistake: Mistake) -> np.ndarray:
    """The part of a photograph that a mistake is about.

    A box of profile caffe-2015 may lie beyond the photograph, its corners in the other order: its nearest pixels count.
    """
    boxes = [] if mistake.score is None else [Drawn(mistake.box, "", FALSE)]
    boxes += [] if mistake.thing is None else [Drawn(mistake.thing.box, "", TRUTH)]
    height, width = pixels.shape[:2]
    corners = np.clip([drawn.box for drawn in boxes], 0, [width - 1, height - 1] * 2).reshape(-1, 2)
    first, last = corners.min(0), corners.max(0) + 1
    # A square, so that the cells of a sheet are filled alike, as far as the photograph goes.
    half = (last - first).max() * (0.5 + CONTEXT)
    centre = (first + last) / 2
    x1, y1 = np.maximum(centre - half, 0).astype(int).tolist()
    x2, y2 = np.minimum(np.ceil(centre + half), (width, height)).astype(int).tolist()
    moved = [Drawn(_moved(drawn.box, x1, y1), drawn.label, drawn.colour) for drawn in boxes]
    return _enlarged(pixels[y1:y2, x1:x2], moved)


def _moved(box: Box, x: float, y: float) -> Box:
    return box[0] - x, box[1] - y, box[2] - x, box[3] - y


def _enlarged(pixels: np.ndarray, boxes: Sequence[Drawn]) -> np.ndarray:
    """Drawn upon at one size, whatever the photograph's, so that a sheet's lines and letters are alike."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    larger = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return draw(larger, [Drawn(_scaled(drawn.box, scale), drawn.label, drawn.colour) for drawn in boxes])


def _scaled(box: Box, scale: float) -> Box:
    """The outermost pixels of the resized picture that belong to those of the box."""
    return box[0] * scale, box[1] * scale, (box[2] + 1) * scale - 1, (box[3] + 1) * scale - 1


def _sheet(rows: int, columns: int, cell: tuple[float, float]):
    figure = Figure(figsize=(cell[0] * columns + 0.5, cell[1] * rows + 0.8), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    return figure, grid


def _show(axes, pixels: np.ndarray) -> None:
    axes.imshow(pixels[..., ::-1])


def _write(picture: np.ndarray, drawn: Drawn, size: float, thick: int, taken: Sequence[Place]) -> Place:
    """A label on its box's colour: above the box where there is room, else below what is there, within the picture."""
    (width, height), below = cv2.getTextSize(drawn.label, FONT, size, thick)
    (x, y), _ = _corners(drawn.box)
    tall = height + below
    x = max(min(x, picture.shape[1] - width), 0)
    above = y - tall if y >= tall else y
    y = above
    while any(_meet((x, y, x + width, y + tall), place) for place in taken):
        y += 1
        if y + tall > picture.shape[0]:
            y = above
            break
    cv2.rectangle(picture, (x, y), (x + width, y + tall), drawn.colour, cv2.FILLED)
    blue, green, red = drawn.colour
    ink = (0, 0, 0) if 0.114 * blue + 0.587 * green + 0.299 * red > 140 else (255, 255, 255)  # Rec. 601 luma
    cv2.putText(picture, drawn.label, (x, y + height + below // 2), FONT, size, ink, thick, cv2.LINE_AA)
    return x, y, x + width, y + tall


def _meet(one: Place, other: Place) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]


def _corners(box: Box) -> tuple[tuple[int, int], tuple[int, int]]:
    x1, y1, x2, y2 = map(round, box)
    return (x1, y1), (x2, y2)


def _score(score: float) -> str:
    """Two decimals, cut: 1.00 is certainty, not .997."""
    return f"{math.floor(100 * score) / 100:.2f}"
