"""Testing: what a trained network detects in a split's photographs, in the original's order of steps.

An image at the test scale goes through the trunk once, its RoIs through the head; the scores' softmax, boxes decoded
from the plain proposals and clipped to the photograph; then, class by class over all photographs, the best of each
image, a limit over the whole set, and non-maximum suppression last (clauses detect-steps.*).

R RoIs of one photograph; K object classes, K1 = K + 1 with the background, class 0. Boxes are (x1, y1, x2, y2),
zero-based inclusive pixels of the photograph as stored. Source: sections 2.4 and 3; rbgirshick/fast-rcnn,
lib/fast_rcnn/test.py.

The last of these is `detect` of the framework that ran the network: for a class of 2,510 images with 100 boxes each it
takes a tenth of a second on two cores, the reference four, with the same answer.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from scipy.special import softmax

from frcnn import reference
from frcnn.backends import load
from frcnn.reference import clip_boxes, decode_boxes, pad_images, project_rois, select_scale
from frcnn.repro.clock import Clock
from frcnn.repro.minibatch import check_sizes, network_image, network_rois
from frcnn.repro.model import TestingError
from frcnn.repro.network import Network
from frcnn.repro.proposals import Proposals, of_split
from frcnn.repro.recipe import Recipe
from frcnn.repro.voc import Photograph, Split, read_image

if TYPE_CHECKING:
    from rich.console import Console

BACKENDS = ("torch", "tf")
PARTS = ("reading", "trunk", "head", "boxes")
ROIS_AT_ONCE = 1000  # pooled features of L are 100 KB a RoI
DEDUP_SCALE = 1 / 16  # whatever the network's own (rbgirshick/fast-rcnn, lib/fast_rcnn/config.py, DEDUP_BOXES)


class Tester(Protocol):
    """What testing asks of a framework: see torch_tester.py."""

    def trunk(self, image: np.ndarray) -> Any: ...

    def head(self, features: Any, rois: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in a split.

    by_class: class -> (D, 6) float64, rows (image index in the split, score, x1, y1, x2, y2), by image, then by falling
        score. seconds: the mean over the photographs of what each of PARTS took.
    """

    by_class: dict[str, np.ndarray]
    seconds: dict[str, float]


def check(backend: str, device: str) -> None:
    """Raises TestingError for a backend that there is not, ValueError for a device that it has not here."""
    if backend not in BACKENDS:
        raise TestingError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    try:
        network = importlib.import_module(f"frcnn.repro.{backend}_network")
    except ModuleNotFoundError as error:
        raise TestingError(f"backend {backend} needs {error.name}: pip install 'frcnn[{backend}]'") from error
    network.check_device(device)


def detect_split(
    network: Network,
    arrays: Mapping[str, np.ndarray],
    split: Split,
    proposals: Proposals,
    recipe: Recipe,
    backend: str,
    progress: Console | None = None,
    *,
    device: str = "cpu",
    read: Callable[[Photograph], np.ndarray] = read_image,
) -> Detections:
    """Detect the objects of a split's classes in its photographs.

    network, arrays: as model.py's functions give them. proposals: of every photograph, perhaps none.
    recipe: its test settings and profile are followed. backend: "torch" or "tf", for the network.
    progress: where a bar is drawn. device: "cpu" or "cuda".
    read: gives a photograph's pixels, (H, W, 3) uint8, blue first.

    Raises TestingError, ProposalsError or DevkitError naming what cannot be tested, and why.
    """
    check(backend, device)
    module = importlib.import_module(f"frcnn.repro.{backend}_tester")
    check_sizes(split, network, recipe.test_short_sides, recipe.test_longest_side)
    tester, operators = module.Tester(network, arrays, device, recipe.profile), cast(Any, load(backend))
    return detect_with(
        tester,
        network.mean,
        network.spatial_scale,
        split,
        proposals,
        recipe,
        progress,
        read=read,
        detect=operators.detect,
    )


def unlimited(recipe: Recipe, proposals: Proposals) -> Recipe:
    """The recipe with limits that none of these proposals' photographs reaches, for pictures rather than a score.

    The limits are of a whole split: one picture's sure boxes would leave no place to what another shows, nor to a
    second object of its own. The original draws without any (rbgirshick/fast-rcnn, tools/demo.py).
    """
    most = max([1, *map(len, proposals.values())])
    return recipe.changed(per_image=most, per_class=most)


def detect_with(
    tester: Tester,
    mean: tuple[float, float, float],
    spatial_scale: float,
    split: Split,
    proposals: Proposals,
    recipe: Recipe,
    progress: Console | None = None,
    *,
    read: Callable[[Photograph], np.ndarray] = read_image,
    detect: Callable[..., np.ndarray] = reference.detect,
) -> Detections:
    """As detect_split, with any tester; mean: blue, green, red, of the network's images; spatial_scale: of its map."""
    from rich.console import Console
    from rich.progress import track

    proposals, clock = of_split(split, proposals), Clock()
    best = _Best(len(split.classes), recipe.per_image)
    console = progress or Console(quiet=True)
    shown = track(split.photographs, f"testing on {split.year} {split.name}", console=console)
    for index, photograph in enumerate(shown):
        plain = proposals[photograph.id]
        if not len(plain):
            continue  # nothing is looked at, so nothing is found
        with clock("reading"):
            pixels = read(photograph)
        scores, deltas, looked_at = _network_output(tester, clock, pixels, plain, mean, spatial_scale, recipe)
        with clock("boxes"):
            if not (np.isfinite(scores).all() and np.isfinite(deltas).all()):
                raise TestingError(
                    f"photograph {photograph.id}: the network gives numbers that are not finite, so it has diverged in "
                    "training; take an earlier checkpoint"
                )
            shares = softmax(scores.astype(np.float64), axis=1)  # in float32 the best would all be 1
            boxes = decode_boxes(looked_at.astype(np.float64), deltas.astype(np.float64), profile=recipe.profile)
            size = (photograph.height, photograph.width)
            best.add(index, shares, clip_boxes(boxes, size, profile=recipe.profile))
    with clock("boxes"):
        found = best.detected(len(split.photographs), recipe, detect)
    by_class = dict(zip(split.classes, found, strict=True))
    return Detections(by_class, {part: clock.seconds[part] / len(split.photographs) for part in PARTS})


def _network_output(
    tester: Tester,
    clock: Clock,
    pixels: np.ndarray,
    plain: np.ndarray,
    mean: tuple[float, float, float],
    spatial_scale: float,
    recipe: Recipe,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (R, K1) and deltas (R, 4 K1) of the proposals (R, 4), each at the scale that suits its size best.

    Third come the boxes (R, 4) that the deltas are to be decoded from. The network sees RoIs that pool the same once.
    In "exact" those are the RoIs on the same cells of the map, and each keeps its own box. In "caffe-2015" they are
    those that are equal once rounded to sixteenths, half to even; the first's pooling and box stand for all. In "exact"
    each scale's image is one of its own; in "caffe-2015" all are one input, padded to the largest of them.
    """
    outputs: list[tuple[np.ndarray, ...]] = []
    with clock("reading"):
        levels = [
            network_image(pixels, np.asarray(mean), side, recipe.test_longest_side) for side in recipe.test_short_sides
        ]
        chosen = select_scale(plain, np.array([scale for _, scale in levels]))
        images = [image for image, _ in levels]
        inputs = pad_images(images) if recipe.profile == "caffe-2015" else [pad_images([image])[0] for image in images]
    for level, (_, scale) in enumerate(levels):
        rows = np.flatnonzero(chosen == level)
        if not len(rows):
            continue
        rois = network_rois(plain[rows], scale, 0)
        exact = recipe.profile == "exact"
        cells = project_rois(rois, spatial_scale) if exact else np.round(rois * np.float32(DEDUP_SCALE))
        _, first, again = np.unique(cells, axis=0, return_index=True, return_inverse=True)
        again = again.reshape(-1)
        rois = rois[first]
        with clock("trunk"):
            features = tester.trunk(inputs[level])
        with clock("head"):
            chunks = [
                tester.head(features, rois[start : start + ROIS_AT_ONCE]) for start in range(0, len(rois), ROIS_AT_ONCE)
            ]
            scores, deltas = (np.concatenate(parts)[again] for parts in zip(*chunks, strict=True))
        outputs.append((rows, scores, deltas, plain[rows if exact else rows[first[again]]]))
    rows, scores, deltas, looked_at = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
    order = np.argsort(rows)
    return scores[order], deltas[order], looked_at[order]


class _Best:
    """The scored boxes that `detect` would look at, kept image by image: all of a set are too many for memory."""

    def __init__(self, class_count: int, per_image: int) -> None:
        self.per_image = per_image
        self.kept: list[list[np.ndarray]] = [[] for _ in range(class_count)]

    def add(self, index: int, scores: np.ndarray, boxes: np.ndarray) -> None:
        """Scores (R, K1) and boxes (R, 4 K1) of image `index`; the best of each class are what is taken of it."""
        for k, kept in enumerate(self.kept, 1):
            rows = np.argsort(-scores[:, k], kind="stable")[: self.per_image]  # clause detect-steps.per-image
            image = np.full(len(rows), index, np.float64)
            kept.append(np.column_stack([image, scores[rows, k], boxes[rows, 4 * k : 4 * k + 4]]))

    def detected(self, image_count: int, recipe: Recipe, detect: Callable[..., np.ndarray]) -> list[np.ndarray]:
        """Class by class, the rows that are left; no class's depend on another's."""
        found = []
        for kept in self.kept:
            rows = np.concatenate([np.empty((0, 6)), *kept])
            scores = np.column_stack([np.zeros(len(rows)), rows[:, 1]])
            answer = detect(
                scores,
                np.tile(rows[:, 2:], 2),
                rows[:, 0].astype(np.int64),
                image_count,
                recipe.nms_threshold,
                per_image=recipe.per_image,
                per_class=recipe.per_class,
                profile=recipe.profile,
            )
            found.append(rows[answer[:, 2]])
        return found
