"""One photograph from pixels to detections, with frcnn's operators in each framework, all layers whole or cut by SVD.

Nothing else does the same, so there is no peer. The weights are drawn: no figure but the time means anything.
"""

from dataclasses import asdict, dataclass

import numpy as np

TITLE = "Detection in one photograph"
MODES = ("detect", "detect, svd")
HERE = ("frcnn-torch", "frcnn-tf")
PEERS: tuple[str, ...] = ()
ON_CUDA = ("frcnn-torch",)
CLASSES = 20


@dataclass(frozen=True)
class Case:
    """A network with a recipe's test settings, a photograph of H x W with R proposals; t of fc6 where it is cut."""

    name: str
    network: str
    recipe: str
    H: int
    W: int
    R: int
    t: int

    def arrays(self, mode):
        random = np.random.default_rng(12)
        sides = random.uniform(16, [0.8 * self.W, 0.8 * self.H], (self.R, 2))
        corners = random.uniform(0, 1, (self.R, 2)) * ([self.W, self.H] - sides)
        return {
            **{name: value for name, value in asdict(self).items() if name in ("network", "recipe", "t")},
            "photograph": random.integers(0, 256, (self.H, self.W, 3)).astype(np.uint8),
            "boxes": np.column_stack([corners, corners + sides - 1]).round().astype(np.float32),
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
    "T": Case("T", network="T", recipe="short", H=375, W=500, R=1600, t=256),
    "L": Case("L", network="L", recipe="full", H=375, W=500, R=2000, t=1024),
}
DEFAULT = tuple(CASES)
