"""PASCAL VOC as it is published: a devkit folder read whole, or the place named where it is not what it should be.

A devkit holds VOC<year>/ImageSets/Main/<split>.txt (one image id a line), VOC<year>/JPEGImages/<id>.jpg and
VOC<year>/Annotations/<id>.xml. Coordinates there count from 1 and include both corners; here they count from 0, as in
the original (pascal_voc.py:214-217), but stay floats. The original stored them as uint16, where an xmin of 0 less 1
became 65535: here that is a box outside its image, hence an error, never wrapped round and never clipped.
"""

from __future__ import annotations

import hashlib
import math
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import Element, ParseError

import cv2
import defusedxml.ElementTree
import numpy as np
from defusedxml import DefusedXmlException
from PIL import Image

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
IMAGE_SUFFIXES = (".jpg", ".png")  # VOC has .jpg alone; made-up images are lossless
CORNERS = ("xmin", "ymin", "xmax", "ymax")

Box = tuple[float, float, float, float]


class DevkitError(ValueError):
    """A devkit, or one photograph of it, is not what it should be. The message names the file and what to do."""


@dataclass(frozen=True)
class Thing:
    """An annotated object. box: x1, y1, x2, y2, pixels of the photograph, from 0, both corners included."""

    name: str
    box: Box
    difficult: bool


@dataclass(frozen=True)
class Photograph:
    """An image of a split, without its pixels: `read_image` has them. width, height: as annotated and as stored."""

    id: str
    path: Path
    width: int
    height: int
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Split:
    """The photographs that a list names, in its order. skipped: (id, reason) of those left out on request."""

    root: Path
    year: str
    name: str
    classes: tuple[str, ...]
    photographs: tuple[Photograph, ...]
    skipped: tuple[tuple[str, str], ...]

    def counts(self) -> dict[str, int]:
        """Objects of each class, difficult ones included. A class with 0 can be neither learnt nor measured here."""
        found = Counter(thing.name for photograph in self.photographs for thing in photograph.things)
        return {name: found[name] for name in self.classes}

    def digest(self) -> str:
        """A sha256 over order, classes, sizes, objects and the images' bytes, so that a report can name its data."""
        whole = hashlib.sha256(repr((self.name, self.classes, self.skipped)).encode())
        for photograph in self.photographs:
            pixels = hashlib.sha256(photograph.path.read_bytes()).hexdigest()
            objects = [(thing.name, thing.box, thing.difficult) for thing in photograph.things]
            whole.update(repr((photograph.id, photograph.width, photograph.height, objects, pixels)).encode())
        return whole.hexdigest()


def read_split(
    root: Path,
    year: str,
    name: str,
    *,
    classes: Sequence[str] = VOC_CLASSES,
    bad: Literal["error", "skip"] = "error",
    check_images: bool = False,
) -> Split:
    """Read the annotations of the photographs that a list names.

    root: the VOCdevkit folder. year: what follows VOC in its folder's name, "2007". name: the list, "train".
    classes: every class that an object may have.
    bad: what is done with a photograph that is missing or unreadable, with an annotation that is missing, malformed,
        hostile or without a size, with a box outside the image or an object without a class, with an id listed twice.
        "error" raises at the first; "skip" leaves the whole photograph out (without one of its objects, proposals on
        that object would be taken for background) and puts its id and the reason into `skipped`.
    check_images: decode every image, as "skip" always does. Otherwise only its header is read, and its size held to the
        annotation's.

    Returns the split. Raises DevkitError as said, and whatever `bad` is, where the folder or list is absent, the list
    is not one of image ids, or nothing is left.

    >>> read_split(Path("VOCdevkit"), "2007", "val").photographs[0].things[0].box  # doctest: +SKIP
    (155.0, 96.0, 350.0, 269.0)
    """
    if bad not in ("error", "skip"):
        raise ValueError(f'bad must be "error" or "skip", but is {bad!r}')
    folder = Path(root) / f"VOC{year}"
    photographs: list[Photograph] = []
    skipped: list[tuple[str, str]] = []
    seen: set[str] = set()
    path, image_ids = _listed(Path(root), folder, name)
    for image_id in image_ids:
        try:
            if image_id in seen:
                raise DevkitError(f"{path} names {image_id} more than once; it would count double")
            seen.add(image_id)
            photographs.append(_photograph(folder, image_id, classes, check_images or bad == "skip"))
        except DevkitError as error:
            if bad == "error":
                raise
            skipped.append((image_id, str(error)))
    if not photographs:
        raise DevkitError(f"{path} names {len(skipped)} photographs and none is usable; the first: {skipped[0][1]}")
    return Split(Path(root), str(year), name, tuple(classes), tuple(photographs), tuple(skipped))


def read_image(photograph: Photograph) -> np.ndarray:
    """A photograph's pixels, uint8 (height, width, 3), blue first. Raises DevkitError naming the file.

    Annotations are in the pixels as stored, so a camera's note on orientation is not followed.
    """
    pixels = decoded(photograph.path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if pixels.shape[:2] != (photograph.height, photograph.width):
        height, width = pixels.shape[:2]
        raise DevkitError(
            f"{photograph.path} decodes to {width} x {height}, but is annotated as {photograph.width} x "
            f"{photograph.height}"
        )
    return pixels


def decoded(path: Path, flags: int = cv2.IMREAD_COLOR) -> np.ndarray:
    """An image file's pixels, uint8 (height, width, 3), blue first. Raises DevkitError naming the file.

    Bytes that are wrong but that the decoder can go on from are not noticed; a file that ends early is, half of which
    cv2.imread would take for the whole.
    """
    try:
        pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), flags)
    except (OSError, cv2.error) as error:  # imdecode raises on an empty file, and returns None on a wrong one
        raise DevkitError(f"{path} cannot be read as an image: {error}") from error
    if pixels is None:
        raise DevkitError(f"{path} cannot be decoded: it is no image, or its end is missing; fetch it again")
    return pixels


def _listed(root: Path, folder: Path, name: str) -> tuple[Path, list[str]]:
    lists = folder / "ImageSets" / "Main"
    path = lists / f"{name}.txt"
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # a byte order mark is no part of an id
    except FileNotFoundError as error:
        raise DevkitError(f"{path} does not exist; {_what_there_is(root, folder, lists)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DevkitError(f"{path} cannot be read as a list of image ids: {error}") from error
    image_ids = [line.strip() for line in lines if line.strip()]
    for image_id in image_ids:
        if not re.fullmatch(r"\w[\w.-]*", image_id, re.ASCII):
            raise DevkitError(
                f"{path} must hold one image id a line, but has {image_id!r} (a class's own list has two columns; give "
                "the name of a plain list, such as train)"
            )
    if not image_ids:
        raise DevkitError(f"{path} names no photograph")
    return path, image_ids


def _what_there_is(root: Path, folder: Path, lists: Path) -> str:
    if lists.is_dir():
        there = sorted(path.stem for path in lists.glob("*.txt") if "_" not in path.stem)
        return f"the lists there are {', '.join(there) or 'none'}"
    years = sorted(path.name.removeprefix("VOC") for path in root.glob("VOC*") if (path / "ImageSets").is_dir())
    if years:
        return f"{root} has no year {folder.name.removeprefix('VOC')}, but {', '.join(years)}"
    return f"{root} must be the folder that holds VOC2007 or another year (usually named VOCdevkit)"


def _photograph(folder: Path, image_id: str, classes: Sequence[str], check_images: bool) -> Photograph:
    annotation = folder / "Annotations" / f"{image_id}.xml"
    whole = _parsed(annotation)
    size = whole.find("size")
    if size is None:
        raise DevkitError(f"{annotation} has no <size>")
    width, height = (int(_number(annotation, size, side, least=1, whole=True)) for side in ("width", "height"))
    things = tuple(_thing(annotation, thing, classes, width, height) for thing in whole.findall("object"))
    candidates = [folder / "JPEGImages" / f"{image_id}{suffix}" for suffix in IMAGE_SUFFIXES]
    path = next((candidate for candidate in candidates if candidate.is_file()), None)
    if path is None:
        raise DevkitError(f"{candidates[0]} does not exist, nor does it as .png, but the list names it")
    if (found := _header_size(path)) != (width, height):
        raise DevkitError(f"{path} is {found[0]} x {found[1]}, but {annotation} says {width} x {height}")
    photograph = Photograph(image_id, path, width, height, things)
    if check_images:
        read_image(photograph)
    return photograph


def _parsed(annotation: Path) -> Element:
    try:
        # An annotation has no need of a document type, and entities are declared in one.
        whole = defusedxml.ElementTree.parse(annotation, forbid_dtd=True).getroot()
    except FileNotFoundError as error:
        raise DevkitError(f"{annotation} does not exist, but the list names it") from error
    except DefusedXmlException as error:
        raise DevkitError(f"{annotation} is refused: it declares a document type or entities ({error})") from error
    except (ParseError, OSError, ValueError, LookupError) as error:  # the last two: an unknown or false encoding
        raise DevkitError(f"{annotation} cannot be read as XML: {error}") from error
    if whole.tag != "annotation":
        raise DevkitError(f"{annotation} must be an <annotation>, but is a <{whole.tag}>")
    return whole


def _thing(annotation: Path, element: Element, classes: Sequence[str], width: int, height: int) -> Thing:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise DevkitError(f"{annotation} has an object without a class: its <name> is empty or missing")
    if name not in classes:
        raise DevkitError(f"{annotation} has an object of class {name!r}, which is not among {', '.join(classes)}")
    difficult = (element.findtext("difficult") or "0").strip()
    if difficult not in ("0", "1"):
        raise DevkitError(f"{annotation}: <difficult> of a {name} must be 0 or 1, but is {difficult!r}")
    corners = element.find("bndbox")
    if corners is None:
        raise DevkitError(f"{annotation} has a {name} without <bndbox>")
    x1, y1, x2, y2 = (_number(annotation, corners, corner) for corner in CORNERS)
    written = f"the box {x1:g} {y1:g} {x2:g} {y2:g} (xmin ymin xmax ymax, from 1) of a {name}"
    if x1 > x2 or y1 > y2:
        raise DevkitError(f"{annotation}: {written} has its second corner before its first")
    if x1 < 1 or y1 < 1 or x2 > width or y2 > height:
        raise DevkitError(f"{annotation}: {written} leaves the image, which is {width} x {height}")
    return Thing(name, (x1 - 1, y1 - 1, x2 - 1, y2 - 1), difficult == "1")


def _number(annotation: Path, parent: Element, tag: str, least: float = -math.inf, whole: bool = False) -> float:
    text = (parent.findtext(tag) or "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= least and (value.is_integer() or not whole)):
        kind = f"a whole number from {least:g}" if whole else "a finite number"
        raise DevkitError(f"{annotation}: <{tag}> in <{parent.tag}> must be {kind}, but is {text!r}")
    return value


def _header_size(path: Path) -> tuple[int, int]:
    """(width, height) as the file's header says, without decoding it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=("JPEG", "PNG")) as image:
                return image.size
    except (OSError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DevkitError(f"{path} cannot be read as an image: {error}") from error
