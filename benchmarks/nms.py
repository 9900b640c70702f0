"""Greedy non-maximum suppression, class by class, beside libraries that have it: one image's boxes of all classes.

Boxes are drawn as a detector gives them: many about each of a few objects. Where a library takes a box's last pixel for
outside, it is given boxes that are one pixel larger, so that all suppress the same. A library's own way is timed with
what it needs of it: boxes per class, or all with their classes. What is compared is which boxes remain.
"""

from dataclasses import dataclass

import numpy as np

from frcnn.benchmarks import case

TITLE = "Non-maximum suppression"
MODES = ("nms",)
HERE = ("frcnn-torch", "frcnn-tf")
PEERS = ("opencv", "torchvision")
ON_CUDA = ("frcnn-torch", "torchvision")
THRESHOLD = 0.3


@dataclass(frozen=True)
class Case(case.Case):
    """Sizes of one call, float32: R boxes in each of K classes."""

    R: int
    K: int

    def arrays(self, mode):
        """boxes (K, R, 4), scores (K, R) and the threshold, the same for every library."""
        random = np.random.default_rng(6)
        objects = random.uniform(0, [800, 500], (self.K, 20, 2))[:, :, None]
        centres = objects + random.normal(0, 30, (self.K, 20, -(-self.R // 20), 2))
        sides = random.uniform(20, 200, centres.shape)
        boxes = np.concatenate([centres - sides / 2, centres + sides / 2], axis=3)
        boxes = boxes.reshape(self.K, -1, 4)[:, : self.R]
        scores = random.uniform(0.001, 1, (self.K, self.R))
        return {"boxes": boxes.astype(np.float32), "scores": scores.astype(np.float32), "threshold": THRESHOLD}

    @property
    def outputs(self):
        return self.K * self.R

    def bytes(self, mode):
        """Boxes and scores, once."""
        return 20 * self.K * self.R


CASES = {"image": Case("image", R=2000, K=20), "class": Case("class", R=2000, K=1)}
DEFAULT = tuple(CASES)
