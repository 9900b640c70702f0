"""A stand-in for a network: it knows each photograph by its grey, and answers each RoI from a table."""

from pathlib import Path

import numpy as np

from frcnn.repro.recipe import read_recipe
from frcnn.repro.voc import Photograph, Split, Thing

WIDTH, HEIGHT = 40, 30
MEAN = (10.0, 20.0, 30.0)
SURE = 20.0  # softmax of it beside a zero is all but 1


def split_of(classes, *things):
    """A split with a photograph for each tuple of (class, box) or (class, box, difficult)."""
    photographs = [
        Photograph(
            f"p{index}",
            Path(f"p{index}.png"),
            WIDTH,
            HEIGHT,
            tuple(Thing(name, box, bool(rest)) for name, box, *rest in own),
        )
        for index, own in enumerate(things)
    ]
    return Split(Path("."), "MadeUp", "val", tuple(classes), tuple(photographs), ())


def read(photograph):
    return np.full((photograph.height, photograph.width, 3), 3 * int(photograph.id[1:]), np.uint8)


def recipe(**changes):
    """The instant tier's, with images resized to twice their size."""
    return read_recipe("instant", test_short_sides=[2 * HEIGHT], test_longest_side=2 * WIDTH, **changes)


class Answers:
    """table: (photograph's index, box) -> class number, logit, and the deltas (4,) of every class."""

    def __init__(self, class_count, table):
        self.class_count, self.table = class_count, table
        self.seen = []

    def trunk(self, image):
        assert image.dtype == np.float32
        index = round(float(image[0, 0, 0]) + MEAN[0]) // 3
        return index, image.shape[2] / WIDTH

    def head(self, features, rois):
        index, scale = features
        scores = np.zeros((len(rois), self.class_count + 1), np.float32)
        deltas = np.zeros((len(rois), 4 * (self.class_count + 1)), np.float32)
        for row, (_, *corners) in enumerate(rois.tolist()):
            box = tuple(corner / scale for corner in corners)
            self.seen.append((index, scale, box))
            k, logit, own = self.table.get((index, box), (0, SURE, (0, 0, 0, 0)))
            scores[row, k] = logit
            deltas[row] = np.tile(own, self.class_count + 1)
        return scores, deltas
