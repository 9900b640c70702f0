"""RoI pooling beside every library that has it: the same boxes in the same maps.

A mode is what a user does:
    inference              no argmax; buffers of the call before are used again where the library lets a caller; maps
                           are handed over, and results taken, as the library likes them best of those it can be given
    inference, contiguous  the same, for a caller whose maps have their channels first and who knows of nothing else
    training               with argmax, and without a place for the results; maps as the library likes them best
    training, contiguous   the same, for a caller whose maps have their channels first
    backward               the gradient of the maps, as the library likes them; in one order of addition where it can

The cases are two of the paper's sizes, its dense boxes, and what grows from them. Symbols as in spec/roi-pool.md: N
images, C channels, map H x W at 1/16; R RoIs of 16 to 500 by 16 to 400 pixels, whole within their image; P x P
sub-windows.
"""

from dataclasses import dataclass, replace

import numpy as np

from frcnn import reference
from frcnn.benchmarks import case

TITLE = "RoI pooling"
MODES = ("inference", "inference, contiguous", "training", "training, contiguous", "backward")
HERE = ("frcnn-torch", "frcnn-tf")
PEERS = ("openvino", "onnxruntime", "opencv", "torchvision", "mxnet")
ON_CUDA = ("frcnn-torch", "torchvision")
DEFAULT = ("A", "B")
SCALE = 1 / 16
WIDEST, TALLEST, SMALLEST = 500, 400, 16
CHECKED = 8  # RoIs of a call that are held to the reference


@dataclass(frozen=True)
class Case(case.Case):
    """Sizes of one call, float32."""

    N: int
    C: int
    H: int
    W: int
    R: int
    P: int

    def arrays(self, mode):
        """The call's arrays, the same for every library: features, rois, P, scale; for backward the output's grad."""
        random = np.random.default_rng(5)
        features = random.standard_normal((self.N, self.C, self.H, self.W), np.float32)
        height, width = self.H / SCALE, self.W / SCALE
        w = random.uniform(SMALLEST, min(WIDEST, width), self.R)
        h = random.uniform(SMALLEST, min(TALLEST, height), self.R)
        x, y = random.uniform(0, width - w), random.uniform(0, height - h)
        image = np.sort(random.integers(0, self.N, self.R))
        rois = np.stack([image, x, y, x + w - 1, y + h - 1], axis=1).astype(np.float32)
        arrays = {"features": features, "rois": rois, "P": self.P, "scale": SCALE}
        if mode == "backward":
            arrays["grad"] = random.standard_normal((self.R, self.C, self.P, self.P), np.float32)
        return arrays

    def truth(self, mode, arrays):
        """Forward, a few of the RoIs: their rows, and what the reference gives for them."""
        if mode == "backward":
            return None
        rows = np.linspace(0, self.R - 1, min(self.R, CHECKED), dtype=int)
        return rows, reference.roi_pool(arrays["features"], arrays["rois"][rows], self.P, SCALE)[0]

    @property
    def outputs(self):
        return self.R * self.C * self.P**2

    def bytes(self, mode):
        """What a call has to move if each array goes through memory once.

        Maps and outputs have 4 bytes a number, an argmax 4 too. Inference reads the maps and writes the output;
        training writes the argmax besides; backward reads both and writes the maps' gradient. RoIs are next to nothing.
        """
        arrays = 1 if mode.startswith("inference") else 2
        return 4 * (self.N * self.C * self.H * self.W + arrays * self.outputs)


A = Case("A", N=2, C=512, H=38, W=57, R=128, P=7)  # a minibatch of training, network L
B = Case("B", N=1, C=512, H=38, W=57, R=2000, P=7)  # an image of testing
DENSE = Case("dense", N=1, C=512, H=38, W=57, R=45_000, P=7)  # the paper's dense boxes, section 5.5
CASES = {one.name: one for one in (A, B, DENSE)}

GROWTH = {
    "R": [replace(B, name=f"R={R}", R=R) for R in (16, 64, 256, 1024, 2000, 4096, 16_384, 45_000)],
    "C": [replace(B, name=f"C={C}", C=C) for C in (16, 64, 256, 512, 1024, 2048)],
    "P": [replace(B, name=f"P={P}", P=P) for P in (1, 2, 3, 7, 14, 28)],
    "H W": [replace(B, name=f"HW={H * W}", H=H, W=W) for H, W in ((10, 15), (19, 28), (38, 57), (76, 114))],
}
