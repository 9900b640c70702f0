"""Made-up images in a devkit's layout, so that everything runs with no data at all.

Each image has one to four objects of 30 to 150 pixels over a mottled ground with plain clutter. A class is a shape. Its
texture and its colours are hints only: a quarter of the objects wear another class's texture, and neighbouring classes
share half of their colours. Objects hide each other; a box encloses what is seen, and an object is difficult where less
than `DIFFICULT` of it is. Pixels are stored without loss (PNG), so that they do not depend on a JPEG library.
"""

from __future__ import annotations

import colorsys
import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

YEAR = "MadeUp"  # the folder is VOCMadeUp
SMALLEST, LARGEST = 30, 150  # sides of an object, pixels
SMALLEST_IMAGE = 160
MOST_OBJECTS = 4
SEEN = 0.35  # no object is hidden more than this
DIFFICULT = 0.6
OWN_TEXTURE = 0.75  # how often an object wears the texture of its class
HUE_SPREAD = (
    0.2  # either side of the class's hue; five classes are 0.2 apart, so half of a class's hues are a neighbour's
)
ATTEMPTS = 40

Field = np.ndarray  # float64 (H, W)

# Inside a shape, in coordinates of -1 .. 1 across its box.
SHAPES: dict[str, Callable[[Field, Field], np.ndarray]] = {
    "ball": lambda u, v: np.hypot(u, v) <= 1,
    "box": lambda u, v: np.maximum(abs(u), abs(v)) <= 0.8,
    "cone": lambda u, v: (v <= 0.8) & (2 * abs(u) <= v + 1),
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) <= 0.3) & (np.maximum(abs(u), abs(v)) <= 0.95),
    "ring": lambda u, v: (np.hypot(u, v) <= 1) & (np.hypot(u, v) >= 0.5),
}
CLASSES = tuple(SHAPES)
# Which of two colours, in coordinates of one period; in the order of the classes.
TEXTURES: tuple[Callable[[Field, Field], np.ndarray], ...] = (
    lambda x, y: np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y) > 0.5,  # dots
    lambda x, y: (np.floor(2 * x) + np.floor(2 * y)) % 2 > 0,  # checks
    lambda x, y: x % 1 < 0.5,  # stripes
    lambda x, y: (x + abs(y % 1 - 0.5)) % 1 < 0.5,  # zigzag
    lambda x, y: np.hypot(x, y) % 1 < 0.5,  # circles
)


class MadeUpError(ValueError):
    """A made-up set cannot be written as asked. The message names the value and what to do."""


@dataclass(frozen=True)
class Seen:
    """An object as annotated. box: xmin, ymin, xmax, ymax, from 1, both included. seen: the share not hidden."""

    name: str
    box: tuple[int, int, int, int]
    whole: bool
    seen: float


def write_devkit(
    root: Path,
    *,
    seed: int,
    train: int,
    val: int,
    size: tuple[int, int] = (240, 320),
    classes: Sequence[str] = CLASSES,
) -> Path:
    """Write root/VOCMadeUp with lists `train` and `val`; `voc.read_split(root, "MadeUp", "train", classes=classes)`
    reads it.

    seed: from 0. train, val: how many images each, from 1. size: height, width. classes: some of `CLASSES`.

    The same arguments give the same pixels, boxes and lists, and image k of a list does not depend on how many there
    are. The folder appears whole or not at all; one that is there already and was made from the same arguments is left
    as it is. Returns it. Raises MadeUpError where an argument is wrong or where the folder holds something else.
    """
    _check(seed, train, val, size, classes)
    root, folder = Path(root), Path(root) / f"VOC{YEAR}"
    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    made_of = {"seed": seed, "train": train, "val": val, "size": [*size], "classes": [*classes], "code": code}
    if folder.exists():
        return _same(folder, made_of)
    root.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(dir=root, prefix=".made-up-"))
    try:
        for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (staged / part).mkdir(parents=True)
        for stream, (name, count) in enumerate((("train", train), ("val", val))):
            image_ids = [f"{name}_{k:06d}" for k in range(1, count + 1)]
            for k, image_id in enumerate(image_ids):
                _write_image(staged, image_id, np.random.default_rng([seed, stream, k]), size, classes)
            (staged / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(image_ids) + "\n", encoding="ascii")
        (staged / "made_up.json").write_text(json.dumps(made_of) + "\n", encoding="ascii")
        staged.chmod(0o755)  # mkdtemp's is for its owner alone
        os.rename(staged, folder)
    except BaseException:
        shutil.rmtree(staged)
        raise
    return folder


def scene(
    generator: np.random.Generator, size: tuple[int, int], classes: Sequence[str]
) -> tuple[np.ndarray, list[Seen]]:
    """One image, uint8 (H, W, 3) blue first, and its objects, the farthest first."""
    canvas = _ground(generator, size)
    wanted = int(generator.integers(1, MOST_OBJECTS + 1))
    names: list[str] = []
    wholes: list[np.ndarray] = []
    owner = np.full(size, -1)  # which object is seen in each pixel
    while len(names) < wanted:
        name = classes[int(generator.integers(len(classes)))]
        placed = _placed(generator, name, wholes, owner)
        if placed is None:
            break  # no room is left
        window, mask, x, y = placed
        owner[window][mask] = len(names)
        canvas[window][mask] = _painted(generator, name, x, y)[mask]
        names.append(name)
        wholes.append(owner == len(names) - 1)
    canvas = cv2.GaussianBlur(canvas, (0, 0), 0.7) + generator.normal(0, 3, (*size, 1))
    objects = [_seen(name, whole, owner == k) for k, (name, whole) in enumerate(zip(names, wholes, strict=True))]
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8), objects


def _check(seed: int, train: int, val: int, size: tuple[int, int], classes: Sequence[str]) -> None:
    for argument, value, least in (("seed", seed, 0), ("train", train, 1), ("val", val, 1)):
        if value < least:
            raise MadeUpError(f"{argument} must be at least {least}, but is {value}")
    if min(size) < SMALLEST_IMAGE:
        raise MadeUpError(f"size must be (height, width), each at least {SMALLEST_IMAGE}, but is {tuple(size)}")
    if unknown := [name for name in classes if name not in SHAPES]:
        raise MadeUpError(f"classes must be some of {', '.join(CLASSES)}, but has {unknown[0]!r}")
    if not classes or len(set(classes)) < len(classes):
        raise MadeUpError(f"classes must name at least one, and each once, but is {tuple(classes)}")


def _same(folder: Path, made_of: dict) -> Path:
    try:
        found = json.loads((folder / "made_up.json").read_text(encoding="ascii"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise MadeUpError(f"{folder} does not say how it was made; delete it or give another root")
    if other := [name for name in made_of if found.get(name) != made_of[name]]:
        was, now = (", ".join(f"{name} {one.get(name)}" for name in other) for one in (found, made_of))
        raise MadeUpError(f"{folder} was made with {was}, not {now}; ask for that, delete it or give another root")
    return folder


def _ground(generator: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Mottled at two scales, muted, with plain discs and bars smaller than any object."""
    height, width = size
    canvas = np.full((height, width, 3), generator.uniform(70, 170), np.float64)
    for cells, strength in ((4, 45), (24, 14)):
        grid = generator.uniform(-strength, strength, (cells, cells, 3))
        grid = 0.6 * grid.mean(2, keepdims=True) + 0.4 * grid
        canvas += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(generator.integers(3, 10))):
        h, w = (int(side) for side in generator.integers(6, 24, 2))
        window = _window((int(generator.integers(0, height - h)), int(generator.integers(0, width - w))), (h, w))
        x, y = _coordinates((h, w), ((w - 1) / 2, (h - 1) / 2), 0.0)
        inside = np.hypot(x / w, y / h) <= 0.5 if generator.random() < 0.5 else np.ones((h, w), bool)
        canvas[window][inside] = generator.uniform(40, 215, 3)
    return canvas


def _window(corner: tuple[int, int], sides: tuple[int, int]) -> tuple[slice, slice]:
    return slice(corner[0], corner[0] + sides[0]), slice(corner[1], corner[1] + sides[1])


def _coordinates(size: tuple[int, int], centre: tuple[float, float], angle: float) -> tuple[Field, Field]:
    """x, y of every pixel, from the centre (itself x, y), along axes turned by the angle."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    x, y = x - centre[0], y - centre[1]
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _placed(
    generator: np.random.Generator, name: str, wholes: list[np.ndarray], owner: np.ndarray
) -> tuple[tuple[slice, slice], np.ndarray, Field, Field] | None:
    """A window of the image, and in it a mask with its coordinates, that hides no earlier object too much.

    None after `ATTEMPTS`.
    """
    for _ in range(ATTEMPTS):
        height = math.exp(generator.uniform(math.log(SMALLEST), math.log(LARGEST)))
        width = height * math.exp(generator.uniform(-0.35, 0.35))
        angle = generator.uniform(-0.45, 0.45)
        cos, sin = math.cos(angle), abs(math.sin(angle))
        sides = (math.ceil(width * sin + height * cos), math.ceil(width * cos + height * sin))
        if sides[0] > owner.shape[0] or sides[1] > owner.shape[1]:
            continue
        corner = [int(generator.integers(0, all_ - side + 1)) for all_, side in zip(owner.shape, sides, strict=True)]
        window = _window((corner[0], corner[1]), sides)
        x, y = _coordinates(sides, ((sides[1] - 1) / 2, (sides[0] - 1) / 2), angle)
        mask = SHAPES[name](2 * x / width, 2 * y / height)
        hidden = owner.copy()
        hidden[window][mask] = -1
        if _sized(mask) and all(_shown(whole, hidden == k) for k, whole in enumerate(wholes)):
            return window, mask, x, y
    return None


def _sized(mask: np.ndarray) -> bool:
    if not mask.any():
        return False
    xmin, ymin, xmax, ymax = _enclosing(mask)
    sides = (xmax - xmin + 1, ymax - ymin + 1)
    return min(sides) >= SMALLEST and max(sides) <= LARGEST


def _shown(whole: np.ndarray, visible: np.ndarray) -> bool:
    return visible.sum() >= SEEN * whole.sum() and _sized(visible)


def _enclosing(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]) + 1, int(rows[0]) + 1, int(columns[-1]) + 1, int(rows[-1]) + 1


def _painted(generator: np.random.Generator, name: str, x: Field, y: Field) -> np.ndarray:
    """Two colours of one hue in a texture, lit from one side. x, y: pixels from the object's centre."""
    place = CLASSES.index(name)
    texture = TEXTURES[place if generator.random() < OWN_TEXTURE else int(generator.integers(len(TEXTURES)))]
    period = generator.uniform(9, 18)
    hue = place / len(CLASSES) + generator.uniform(-HUE_SPREAD, HUE_SPREAD)
    dark, light = (
        np.array(colorsys.hsv_to_rgb(hue % 1, generator.uniform(0.45, 0.9), value)[::-1]) * 255
        for value in (generator.uniform(0.3, 0.5), generator.uniform(0.75, 1.0))
    )
    painted = np.where(texture(x / period, y / period)[..., None], light, dark)
    return painted * (1 + 0.2 * np.tanh((x * generator.uniform(-1, 1) + y * generator.uniform(-1, 1)) / 30))[..., None]


def _seen(name: str, whole: np.ndarray, visible: np.ndarray) -> Seen:
    box = _enclosing(visible)
    return Seen(name, box, box == _enclosing(whole), float(visible.sum() / whole.sum()))


def _write_image(
    folder: Path, image_id: str, generator: np.random.Generator, size: tuple[int, int], classes: Sequence[str]
) -> None:
    pixels, objects = scene(generator, size, classes)
    path = folder / "JPEGImages" / f"{image_id}.png"
    if not cv2.imwrite(str(path), pixels):
        raise OSError(errno.EIO, "OpenCV cannot write the picture", str(path))
    annotation = ElementTree.Element("annotation")
    _add(annotation, folder=f"VOC{YEAR}", filename=path.name)
    _add(ElementTree.SubElement(annotation, "size"), width=size[1], height=size[0], depth=3)
    for thing in objects:
        element = ElementTree.SubElement(annotation, "object")
        _add(element, name=thing.name, truncated=int(not thing.whole), difficult=int(thing.seen < DIFFICULT))
        corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), thing.box, strict=True))
        _add(ElementTree.SubElement(element, "bndbox"), **corners)
    ElementTree.indent(annotation)
    ElementTree.ElementTree(annotation).write(folder / "Annotations" / f"{image_id}.xml", encoding="utf-8")


def _add(parent: ElementTree.Element, **children: object) -> None:
    for tag, value in children.items():
        ElementTree.SubElement(parent, tag).text = str(value)
