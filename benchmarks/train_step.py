"""One step of training, forward, backward and update, with frcnn's operators in each framework; made-up minibatches.

Nothing else does the same, so there is no peer: the figures are for whoever plans a run. A minibatch is the recipes':
two images, 64 RoIs of each, a quarter of them foreground.
"""

from dataclasses import asdict, dataclass

import numpy as np

TITLE = "A step of training"
MODES = ("train step",)
HERE = ("frcnn-torch", "frcnn-tf")
PEERS: tuple[str, ...] = ()
ON_CUDA = ("frcnn-torch",)
IMAGES, ROIS, CLASSES = 2, 64, 20


@dataclass(frozen=True)
class Case:
    """A network, as a recipe of frcnn trains it, on images of H x W."""

    name: str
    network: str
    recipe: str
    H: int
    W: int

    def arrays(self, mode):
        """The minibatch, as minibatch.Batch has it, and the names of network and recipe."""
        random, R = np.random.default_rng(7), IMAGES * ROIS
        sides = random.uniform(16, [0.7 * self.W, 0.7 * self.H], (R, 2))
        corners = random.uniform(0, 1, (R, 2)) * ([self.W, self.H] - sides)
        rois = np.column_stack([np.repeat(np.arange(IMAGES), ROIS), corners, corners + sides - 1])
        return {
            "network": self.network,
            "recipe": self.recipe,
            "images": random.normal(0, 64, (IMAGES, 3, self.H, self.W)).astype(np.float32),
            "rois": rois.astype(np.float32),
            "labels": np.where(np.arange(R) % 4 == 0, random.integers(1, CLASSES + 1, R), 0),
            "targets": random.normal(0, 1, (R, 4)).astype(np.float32),
        }

    def sizes(self):
        return asdict(self)

    @property
    def outputs(self):
        return 1

    def bytes(self, mode):
        """Nobody counts them: a network lives on arithmetic."""
        return None


CASES = {
    "T": Case("T", network="T", recipe="short", H=320, W=480),
    "L": Case("L", network="L", recipe="full", H=600, W=800),
}
DEFAULT = tuple(CASES)
