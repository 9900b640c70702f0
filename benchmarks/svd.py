"""Truncated SVD of the paper's first fully connected layer, and of network T's, beside what torch has for it.

That is torch.linalg.svd, cut by hand, and torch.svd_lowrank, which is randomised and does not give the best layers.

What is compared is the singular values that are kept.
"""

from dataclasses import dataclass

import numpy as np

from frcnn.benchmarks import case

TITLE = "Truncated SVD"
MODES = ("svd",)
HERE = ("frcnn-torch", "frcnn-tf", "torch", "torch-lowrank")
PEERS: tuple[str, ...] = ()
ON_CUDA = ("frcnn-torch", "torch", "torch-lowrank")


@dataclass(frozen=True)
class Case(case.Case):
    """A layer of v inputs and u outputs, float32, of whose singular values t are kept."""

    u: int
    v: int
    t: int

    def arrays(self, mode):
        """Noise, and a part of low rank beneath it, as trained layers have."""
        random = np.random.default_rng(11)
        rank = max(self.t // 4, 1)
        low = random.standard_normal((self.u, rank), np.float32) @ random.standard_normal((rank, self.v), np.float32)
        noise = random.standard_normal((self.u, self.v), np.float32)
        return {"weights": 0.01 * (low / np.float32(rank**0.5) + noise), "t": self.t}

    @property
    def outputs(self):
        return self.t * (self.u + self.v)

    def bytes(self, mode):
        """The layer in, the two layers out."""
        return 4 * (self.u * self.v + self.outputs)


CASES = {"fc6 of L": Case("fc6 of L", u=4096, v=25088, t=1024), "fc6 of T": Case("fc6 of T", u=1024, v=18432, t=256)}
DEFAULT = tuple(CASES)
