"""The multi-task loss of Eq. 1 with its gradients, beside torch's own two losses put together as a user would."""

from dataclasses import dataclass

import numpy as np

from frcnn.benchmarks import case

TITLE = "The multi-task loss"
MODES = ("loss",)
HERE = ("frcnn-torch", "frcnn-tf", "torch")
PEERS: tuple[str, ...] = ()
ON_CUDA = ("frcnn-torch", "torch")


@dataclass(frozen=True)
class Case(case.Case):
    """Sizes of one call, float32: R RoIs, K classes without the background."""

    R: int
    K: int

    def arrays(self, mode):
        random = np.random.default_rng(10)
        labels = case.drawn_labels(random, self.R, self.K)
        return {
            "scores": random.normal(0, 2, (self.R, self.K + 1)).astype(np.float32),
            "deltas": random.normal(0, 1, (self.R, 4 * (self.K + 1))).astype(np.float32),
            "labels": labels,
            "targets": random.normal(0, 1, (self.R, 4)).astype(np.float32),
        }

    @property
    def outputs(self):
        return 5 * self.R * (self.K + 1)

    def bytes(self, mode):
        """Scores and deltas in, their gradients out; labels and targets."""
        return 4 * (2 * self.outputs + 6 * self.R)


CASES = {"minibatch": Case("minibatch", R=128, K=20), "all": Case("all", R=2000, K=20)}
DEFAULT = tuple(CASES)
