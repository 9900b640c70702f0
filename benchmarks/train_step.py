"""One step of training, forward, backward and update, with frcnn's operators in each framework; made-up minibatches.

Nothing else does the same, so there is no peer: the figures are for whoever plans a run. A minibatch is the recipes':
two images, 64 RoIs of each, a quarter of them foreground.
"""

from dataclasses import dataclass

import numpy as np

from frcnn.benchmarks import case

TITLE = "A step of training"
MODES = ("train step",)
HERE = ("frcnn-torch", "frcnn-tf")
PEERS: tuple[str, ...] = ()
ON_CUDA = ("frcnn-torch",)
IMAGES, ROIS, CLASSES = 2, 64, 20


@dataclass(frozen=True)
class Case(case.Case):
    """A network, as a recipe of frcnn trains it, on images of H x W."""

    network: str
    recipe: str
    H: int
    W: int

    def arrays(self, mode):
        """The minibatch, as minibatch.Batch has it, and the names of network and recipe."""
        random, R = np.random.default_rng(7), IMAGES * ROIS
        boxes = case.drawn_boxes(random, R, self.H, self.W, largest=0.7)
        return {
            "network": self.network,
            "recipe": self.recipe,
            "images": random.normal(0, 64, (IMAGES, 3, self.H, self.W)).astype(np.float32),
            "rois": np.column_stack([np.repeat(np.arange(IMAGES), ROIS), boxes]).astype(np.float32),
            "labels": case.drawn_labels(random, R, CLASSES),
            "targets": random.normal(0, 1, (R, 4)).astype(np.float32),
        }


CASES = {
    "T": Case("T", network="T", recipe="short", H=320, W=480),
    "L": Case("L", network="L", recipe="full", H=600, W=800),
}
DEFAULT = tuple(CASES)
