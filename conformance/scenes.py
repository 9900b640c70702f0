"""Photographs as the register's measures see them: sizes, objects and proposals, no pixels.

No network has been trained for this, so where a score is needed each proposal gets a stand-in that anyone can repeat:
a fifth of its best overlap and four fifths of the fractional part of its place times the golden ratio, weights that put
the mean AP near the paper's. Detections are then proposals, of the class of the object that each overlaps best. What a
trained detector would show is another number.

R proposals, G objects; a box is (x1, y1, x2, y2), inclusive corners in pixels of the photograph, zero-based.
"""

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from xml.etree.ElementTree import ParseError

import numpy as np
from defusedxml import DefusedXmlException, ElementTree

from frcnn.conformance import photographs
from frcnn.conformance.photographs import RealDataError
from frcnn.reference import iou, nms

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
NMS_THRESHOLD = 0.3  # the paper's, section 3


@dataclass(frozen=True, eq=False)
class Scene:
    """A photograph without its pixels.

    size: (H, W). proposals: float64 (R, 4). objects: float64 (G, 4); their classes int64 (G,), 1 .. 20, and whether
    they are difficult, bool (G,).
    """

    image_id: str
    size: tuple[int, int]
    proposals: np.ndarray
    objects: np.ndarray
    classes: np.ndarray
    difficult: np.ndarray

    @cached_property
    def overlaps(self) -> np.ndarray:
        """float64 (R,): each proposal's best IoU with any object, difficult ones included; 0 without objects."""
        return self.best(self.proposals, self.objects)

    @cached_property
    def rois(self) -> np.ndarray:
        """float32 (R, 5): the proposals as RoI pooling sees them, in pixels of the resized image."""
        boxes = self.proposals * photographs.image_scale(*self.size)
        return np.column_stack([np.zeros(len(boxes)), boxes]).astype(np.float32)

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width in pixels at the paper's scale."""
        scale = photographs.image_scale(*self.size)
        return round(scale * self.size[0]), round(scale * self.size[1])

    @property
    def map_size(self) -> tuple[int, int]:
        """conv5_3's (H, W): each of four poolings rounds up."""
        height, width = self.resized
        return -(-height // 16), -(-width // 16)

    @cached_property
    def foreground(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Proposals that overlap an object by 1 / 2, that object, and its class, row for row."""
        rows = np.flatnonzero(self.overlaps >= 0.5)
        best = iou(self.proposals[rows], self.objects).argmax(axis=1) if len(rows) else rows
        return self.proposals[rows], self.objects[best], self.classes[best]

    @staticmethod
    def best(boxes: np.ndarray, objects: np.ndarray) -> np.ndarray:
        """Each box's largest IoU, 0 where there is no object."""
        return iou(boxes, objects).max(axis=1, initial=0)


def read_scenes(voc_root: Path, proposals: Path | None, count: int) -> tuple[tuple[Scene, ...], dict]:
    """`count` photographs spaced evenly over the devkit's val list, and a description of the data.

    voc_root, proposals: as for `photographs.prepare`. Raises RealDataError naming what is missing or malformed.
    """
    year = photographs.year_folder(Path(voc_root))
    path = Path(proposals) if proposals else Path(voc_root).absolute().parent / photographs.PROPOSALS
    listed = photographs.val_list(year, count)
    image_ids = [listed[k] for k in photographs.evenly(len(listed), count)]
    boxes = photographs.proposed_boxes(path, image_ids)
    scenes = tuple(_scene(year / "Annotations" / f"{name}.xml", name, boxes[name]) for name in image_ids)
    described = {
        "images": count,
        "list": f"{year.name} val, {len(listed)} images, evenly spaced",
        "proposals": path.name,
        "proposals_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "boxes": sum(len(scene.proposals) for scene in scenes),
        "objects": sum(len(scene.objects) for scene in scenes),
        "difficult": sum(int(scene.difficult.sum()) for scene in scenes),
    }
    return scenes, described


def _scene(annotation: Path, image_id: str, boxes: np.ndarray) -> Scene:
    photographs.existing(annotation, "the annotation of a photograph that the devkit's val list names")
    try:
        root = ElementTree.parse(annotation).getroot()
        size = tuple(int(root.findtext(f"size/{side}", "")) for side in ("height", "width"))
        objects = [
            [float(item.findtext(f"bndbox/{side}", "")) - 1 for side in ("xmin", "ymin", "xmax", "ymax")]
            for item in root.iter("object")
        ]
        classes = [CLASSES.index(item.findtext("name", "")) + 1 for item in root.iter("object")]
        difficult = [item.findtext("difficult", "0") == "1" for item in root.iter("object")]
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise RealDataError(f"{annotation} must be a VOC annotation with sizes, names and corners: {error}") from None
    return Scene(
        image_id,
        (size[0], size[1]),
        boxes.astype(np.float64),
        np.array(objects, np.float64).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(difficult, bool),
    )


def golden_keys(count):
    """float64 (count,) in [0, 1): place times the golden ratio, modulo 1. Spread evenly, repeatable by anyone."""
    return np.arange(1, count + 1) * ((math.sqrt(5) - 1) / 2) % 1.0


def stand_in_scores(scene):
    """float64 (R,) in [0, 1): a fifth of the best overlap, four fifths of the key of the place."""
    return (scene.overlaps + 4 * golden_keys(len(scene.overlaps))) / 5


@dataclass(frozen=True, eq=False)
class ClassRun:
    """Detections (D, 6) and objects (G, 6) of one class, as evaluate_voc takes them."""

    found: np.ndarray
    objects: np.ndarray


@lru_cache(maxsize=1)
def stand_in_detections(scenes: tuple[Scene, ...]) -> list[ClassRun]:
    """For each class that has an object, the proposals that overlap an object of it best, suppressed at 0.3 in each
    photograph; scores of three decimals, as the original writes them. Classes without a countable object are left out.
    """
    found: dict[int, list] = {name: [] for name in range(1, len(CLASSES) + 1)}
    objects: dict[int, list] = {name: [] for name in found}
    for image, s in enumerate(scenes):
        for name in found:
            mine = s.classes == name
            objects[name].append(np.column_stack([np.full(mine.sum(), image), s.objects[mine], s.difficult[mine]]))
        rows = np.flatnonzero(s.overlaps > 0)
        classes = s.classes[iou(s.proposals[rows], s.objects).argmax(axis=1)] if len(rows) else rows
        scores = stand_in_scores(s)
        for name in np.unique(classes):
            mine = rows[classes == name]
            mine = mine[nms(s.proposals[mine], scores[mine], NMS_THRESHOLD)]
            found[int(name)].append(
                np.column_stack([np.full(len(mine), image), np.round(scores[mine], 3), s.proposals[mine]])
            )
    runs = [
        ClassRun(np.concatenate([np.zeros((0, 6)), *found[name]]), np.concatenate([np.zeros((0, 6)), *objects[name]]))
        for name in found
    ]
    return [run for run in runs if (run.objects[:, 5] == 0).any()]
