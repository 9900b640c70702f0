"""One photograph from pixels to detections, with frcnn's operators in each framework, all layers whole or cut by SVD.

Nothing else does the same, so there is no peer. The weights are drawn: no figure but the time means anything.
"""

from dataclasses import asdict, dataclass

import numpy as np

from frcnn.benchmarks import case

TITLE = "Detection in one photograph"
MODES = ("detect", "detect, svd")
HERE = ("frcnn-torch", "frcnn-tf")
PEERS: tuple[str, ...] = ()
ON_CUDA = ("frcnn-torch",)
CLASSES = 20


@dataclass(frozen=True)
class Case(case.Case):
    """A network with a recipe's test settings, a photograph of H x W with R proposals; t of fc6 where it is cut."""

    network: str
    recipe: str
    H: int
    W: int
    R: int
    t: int

    def arrays(self, mode):
        random = np.random.default_rng(12)
        boxes = case.drawn_boxes(random, self.R, self.H, self.W, largest=0.8)
        return {
            **{name: value for name, value in asdict(self).items() if name in ("network", "recipe", "t")},
            "photograph": random.integers(0, 256, (self.H, self.W, 3)).astype(np.uint8),
            "boxes": boxes.round().astype(np.float32),
        }


CASES = {
    "T": Case("T", network="T", recipe="short", H=375, W=500, R=1600, t=256),
    "L": Case("L", network="L", recipe="full", H=375, W=500, R=2000, t=1024),
}
DEFAULT = tuple(CASES)
