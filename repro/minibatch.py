"""Minibatches, each a pure function of (photographs, proposals, recipe, seed, its number).

Every random number comes from a generator that is seeded by what the number is for, so that minibatch i can be made
without those before it: a resumed run goes on as if never stopped, and two frameworks see the same RoIs. What is drawn
is drawn in NumPy, dropout masks included; which RoIs and images the draws mean is the reference's to say.

Shapes. N images a minibatch; R RoIs; G ground-truth boxes of one image and P proposals; K1 classes, background counted.
Boxes are (x1, y1, x2, y2), zero-based inclusive pixels of the photograph as stored, RoIs those of the resized image.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import cv2
import numpy as np

from frcnn.reference import (
    draw_keys,
    encode_boxes,
    flip_boxes,
    image_order,
    image_scale,
    iou,
    match_rois,
    normalise_targets,
    pad_images,
    sample_rois,
    subtract_mean,
    target_statistics,
)
from frcnn.repro.network import Network, read_network
from frcnn.repro.proposals import Proposals, of_split
from frcnn.repro.recipe import Recipe
from frcnn.repro.voc import DevkitError, Photograph, Split, read_image

# What a generator is for. Always four words of seed: numpy fills up with zeros, so [3, 1] and [3, 1, 0] are one seed.
ORDER, SCALES, ROIS, MASKS = 1, 2, 3, 4

NOTHING_TO_DRAW = "no RoI of it is foreground or background"


class TrainingSetError(ValueError):
    """Photographs and proposals from which nothing can be trained; the sentence says why and what to do."""


@dataclass(frozen=True, eq=False)
class Example:
    """A photograph with what its RoIs overlap: G ground-truth boxes first, then P proposals, as match_rois has them.

    ground_truth: (G, 4) float32; proposals: (P, 4) float32, not copied. overlaps: (G + P,) float32, with the best
    ground truth alone; classes: (G + P,) int32, that ground truth's.
    """

    photograph: Photograph
    ground_truth: np.ndarray
    proposals: np.ndarray
    overlaps: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What a run draws from. Entry e is examples[e], and from len(examples) on the mirror image of one.

    means, stds: (K1, 4) float64, of the regression targets of all foreground RoIs, mirror images included.
    left_out: (id, reason) of the photographs that can give no RoI.
    """

    classes: tuple[str, ...]
    examples: tuple[Example, ...]
    entries: int
    means: np.ndarray
    stds: np.ndarray
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Batch:
    """A minibatch, the same for every framework.

    names: "000005", or "000005 mirrored"; scales: of the images, resized pixels per stored pixel.
    images: (N, 3, H, W) float32, BGR less the mean. rois: (R, 5) float32, rows (image index, x1, y1, x2, y2).
    labels: (R,) int64, 0 for background. targets: (R, 4) float32, normalised, zeros for background.
    """

    number: int
    names: tuple[str, ...]
    scales: tuple[float, ...]
    images: np.ndarray
    rois: np.ndarray
    labels: np.ndarray
    targets: np.ndarray
    seed: int = field(repr=False)
    dropout: float = field(repr=False)

    def mask(self, layer: str, width: int) -> np.ndarray:
        """What dropout multiplies a layer's outputs with: (R, width) float32 of 0 or 1 / (1 - dropout), 2 at .5."""
        generator = _generator(self.seed, MASKS, self.number, zlib.crc32(layer.encode()))
        kept = generator.random((len(self.rois), width), np.float32) >= self.dropout
        return kept * np.float32(1 / (1 - self.dropout))


def training_set(split: Split, proposals: Proposals, recipe: Recipe) -> TrainingSet:
    """Match every photograph's proposals to its objects, and measure the regression targets of the whole.

    Raises DevkitError, ProposalsError or TrainingSetError naming the photograph or the class.
    """
    check_sizes(split, read_network(recipe.network), recipe.short_sides, recipe.longest_side)
    proposals = of_split(split, proposals)
    examples, left_out, targets, labels = [], [], [], []
    for photograph in split.photographs:
        example = _matched(photograph, split.classes, proposals[photograph.id], recipe)
        drawn, _ = sample_rois(example.overlaps, example.classes, np.arange(len(example.overlaps)), **_quotas(recipe))
        if not len(drawn):
            left_out.append((photograph.id, NOTHING_TO_DRAW))
            continue
        examples.append(example)
        foreground = np.flatnonzero(example.overlaps >= np.float32(recipe.fg_threshold))
        for mirrored in (False, True)[: 1 + recipe.flips]:
            targets.append(_targets(example, foreground, mirrored, recipe.profile))
            labels.append(example.classes[foreground])
    entries = len(examples) * (1 + recipe.flips)
    if entries < recipe.images_per_batch:
        raise TrainingSetError(
            f"{split.name} has {entries} images to train on, mirror images counted, and a minibatch takes "
            f"{recipe.images_per_batch}; {len(left_out)} of {len(split.photographs)} photographs were left out, since "
            f"{NOTHING_TO_DRAW}"
        )
    found = np.concatenate(labels)
    means, stds = target_statistics(np.concatenate(targets), found, len(split.classes) + 1, profile=recipe.profile)
    _check_spread(split, stds, found)
    return TrainingSet(split.classes, tuple(examples), entries, means, stds, tuple(left_out))


class Minibatches:
    """The minibatches of a run, made in any order, by any number of threads at once.

    mean: (3,), blue, green and red, of the weights that the run starts from.
    read: gives a photograph's pixels, (H, W, 3) uint8, blue first.
    """

    def __init__(
        self,
        data: TrainingSet,
        recipe: Recipe,
        mean: np.ndarray,
        *,
        read: Callable[[Photograph], np.ndarray] = read_image,
    ) -> None:
        self.data, self.recipe, self.read = data, recipe, read
        self.mean = np.asarray(mean, np.float64)
        self.per_epoch = len(self._order(np.zeros(data.entries)))  # how many there are does not depend on the keys
        # Two epochs: beside the one in hand, that of a loader which is ahead of the trainer.
        self._epoch = lru_cache(maxsize=2)(self._epoch_order)

    def entries(self, number: int) -> np.ndarray:
        """The entries of the training set, (N,) int64, that minibatch `number` is made of, counted from 0."""
        epoch, row = divmod(number, self.per_epoch)
        return self._epoch(epoch)[row]

    def batch(self, number: int) -> Batch:
        """Minibatch `number` of the run, counted from 0 over all epochs. Raises DevkitError for an unreadable image."""
        recipe, entries = self.recipe, self.entries(number)
        sides = _generator(recipe.seed, SCALES, number).integers(len(recipe.short_sides), size=len(entries))
        names, scales, images, rois, labels, targets = [], [], [], [], [], []
        for index, entry in enumerate(entries.tolist()):
            mirrored, position = divmod(entry, len(self.data.examples))
            example = self.data.examples[position]
            pixels = self.read(example.photograph)
            image, scale = network_image(
                pixels[:, ::-1] if mirrored else pixels,
                self.mean,
                recipe.short_sides[sides[index]],
                recipe.longest_side,
            )
            keys = draw_keys(len(example.overlaps), _generator(recipe.seed, ROIS, number, index))
            drawn, own = sample_rois(example.overlaps, example.classes, keys, **_quotas(recipe))
            names.append(example.photograph.id + " mirrored" * mirrored)
            scales.append(scale)
            images.append(image)
            rois.append(network_rois(_rois(example, drawn, bool(mirrored)), scale, index))
            labels.append(own)
            targets.append(self._normalised(example, drawn, own, bool(mirrored)))
        return Batch(
            number=number,
            names=tuple(names),
            scales=tuple(scales),
            images=pad_images(images),
            rois=np.concatenate(rois),
            labels=np.concatenate(labels),
            targets=np.concatenate(targets),
            seed=recipe.seed,
            dropout=recipe.dropout,
        )

    def _normalised(self, example: Example, drawn: np.ndarray, labels: np.ndarray, mirrored: bool) -> np.ndarray:
        """(R, 4) float32: the normalised targets of the drawn RoIs, rounded once, at the end."""
        foreground = np.flatnonzero(labels)
        targets = np.zeros((len(drawn), 4), np.float32)
        plain = _targets(example, drawn[foreground], mirrored, self.recipe.profile)
        targets[foreground] = normalise_targets(plain, labels[foreground], self.data.means, self.data.stds)
        return targets

    def _epoch_order(self, epoch: int) -> np.ndarray:
        return self._order(draw_keys(self.data.entries, _generator(self.recipe.seed, ORDER, epoch)))

    def _order(self, keys: np.ndarray) -> np.ndarray:
        return image_order(keys, images_per_batch=self.recipe.images_per_batch, profile=self.recipe.profile)


def check_sizes(split: Split, network: Network, short_sides: Sequence[int], longest_side: int) -> None:
    """Raises DevkitError naming a photograph that is too thin: the network would leave nothing of it."""
    for photograph in split.photographs:
        size = photograph.height, photograph.width
        for side in short_sides:
            scale = image_scale(size, side, longest_side)
            height, width = (round(scale * length) for length in size)  # as cv2.resize rounds
            try:
                network.map_size((height, width))
            except ValueError as error:
                raise DevkitError(
                    f"{photograph.path} is resized to {width} x {height}: {error}; leave it out"
                ) from None


def network_image(pixels: np.ndarray, mean: np.ndarray, short_side: int, longest_side: int) -> tuple[np.ndarray, float]:
    """A photograph (H, W, 3) uint8 as a network takes it, float32, before padding; and the scale it was resized by."""
    scale = image_scale(pixels.shape[:2], short_side, longest_side)
    return cv2.resize(subtract_mean(pixels, mean), None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), scale


def network_rois(boxes: np.ndarray, scale: float, index: int) -> np.ndarray:
    """Boxes (R, 4) of image `index` as RoIs (R, 5) float32: times the scale in float64, not rounded to pixels."""
    return np.column_stack([np.full(len(boxes), index), boxes.astype(np.float64) * scale]).astype(np.float32)


def _generator(seed: int, purpose: int, number: int, part: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, number, part])


def _quotas(recipe: Recipe) -> dict[str, float]:
    names = ("rois_per_image", "fg_fraction", "fg_threshold", "bg_threshold_lo", "bg_threshold_hi")
    return {name: getattr(recipe, name) for name in names}


def _matched(photograph: Photograph, classes: tuple[str, ...], proposals: np.ndarray, recipe: Recipe) -> Example:
    things = [thing for thing in photograph.things if recipe.difficult or not thing.difficult]
    ground_truth = np.array([thing.box for thing in things], np.float32).reshape(-1, 4)
    own = np.array([classes.index(thing.name) + 1 for thing in things], np.int64)
    _, overlaps, found = match_rois(proposals, ground_truth, own, profile=recipe.profile)
    return Example(photograph, ground_truth, proposals, overlaps, found.astype(np.int32))


def _rois(example: Example, rows: np.ndarray, mirrored: bool) -> np.ndarray:
    """Some of an example's boxes, (len(rows), 4) float32, as they lie in the photograph or in its mirror image."""
    boxes = np.concatenate([example.ground_truth, example.proposals])[rows]
    return flip_boxes(boxes, example.photograph.width) if mirrored else boxes


def _targets(example: Example, rows: np.ndarray, mirrored: bool, profile: str) -> np.ndarray:
    """The plain targets (len(rows), 4) of foreground RoIs, in float64, in which the original has them too.

    The ground truth is chosen in the photograph as it is stored, since a mirror image's RoIs have the same one; the
    type is match_rois's, so that it is the one whose class the RoI has.
    """
    if not len(rows):  # there may be no ground truth to choose from
        return np.zeros((0, 4))
    wide = np.float32 if profile == "exact" else np.float64
    boxes = _rois(example, rows, False)
    nearest = iou(boxes.astype(wide), example.ground_truth.astype(wide)).argmax(axis=1)
    truth = example.ground_truth[nearest]
    if mirrored:
        boxes, truth = (flip_boxes(array, example.photograph.width) for array in (boxes, truth))
    return encode_boxes(boxes.astype(np.float64), truth.astype(np.float64), profile=profile)


def _check_spread(split: Split, stds: np.ndarray, labels: np.ndarray) -> None:
    """A std of 0, which `exact` never has, cannot be divided by."""
    for k in np.unique(labels):
        if not (stds[k] > 0).all():
            raise TrainingSetError(
                f"the regression targets of class {split.classes[k - 1]} in {split.name} have standard deviations "
                f"{stds[k].tolist()}; give it objects with more proposals, or take profile exact, which has 1 for 0"
            )
