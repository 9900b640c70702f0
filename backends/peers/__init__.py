"""Public runtimes' RoI max pooling, held to the spec as it comes: nothing of theirs is mended here.

A file a runtime. A runtime knows of no profiles and answers alike under both: which of the two it follows, and where,
the report tells. None is registered, since the needs of each are its own:

    frcnn conformance --backend frcnn.backends.peers.openvino:OpenVino
"""

import numpy as np

from frcnn.backends import Missing, UnavailableBackend
from frcnn.backends.arguments import PROFILES


class ForInference:
    """A runtime that takes float32 features and RoIs and gives the output alone; a subclass says how it is called."""

    name: str
    version: str
    executed = "native"

    def __init__(self, device="cpu"):
        if device != "cpu":
            raise UnavailableBackend(f"backend {self.name} runs on cpu, not on {device}")

    def roi_pool(
        self, features, rois, output_size, spatial_scale=1.0, *, profile="exact", with_argmax=True, validate=True
    ):
        if profile not in PROFILES:
            raise Missing("profiles")
        if with_argmax:
            raise Missing("argmax")
        if not validate:
            raise Missing("validate=False")
        if rois.dtype.name in ("float16", "bfloat16"):  # which loses nothing
            rois = rois.astype(np.float32)
        for name, array in (("features", features), ("rois", rois)):
            if array.dtype.name in ("float16", "bfloat16", "float64"):
                raise Missing(f"{name} of {array.dtype}")
        size = (output_size, output_size) if isinstance(output_size, (int, np.integer)) else tuple(output_size)
        return self.pooled(features, rois, tuple(map(_of_python, size)), _of_python(spatial_scale)), None

    def pooled(self, features, rois, size, spatial_scale):
        """The runtime's output for size (P_h, P_w). Whatever it raises is a ValueError, in its words."""
        raise NotImplementedError


def _of_python(number):
    """NumPy's numbers as Python's, which is what the runtimes' own calls are written with."""
    return number.item() if isinstance(number, np.generic) else number
