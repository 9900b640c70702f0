"""The reference as a backend, so that the suite can hold it to a second formulation."""

import numpy as np

from frcnn import reference
from frcnn.backends import UnavailableBackend


class ReferenceBackend:
    """NumPy on the CPU."""

    name = "reference"
    version = f"numpy {np.__version__}"
    executed = "numpy"
    operators = reference

    def __init__(self, device="cpu"):
        if device != "cpu":
            raise UnavailableBackend(f"backend {self.name} runs on cpu, not on {device}")

    def roi_pool(self, features, rois, output_size, spatial_scale=1.0, *, with_argmax=True, **options):
        output, argmax = self.operators.roi_pool(features, rois, output_size, spatial_scale, **options)
        return output, (argmax if with_argmax else None)

    def roi_pool_backward(self, *arguments, deterministic=True, **options):
        return self.operators.roi_pool_backward(*arguments, **options)  # always in one order, asked or not

    def __getattr__(self, operator):
        """Every other operator is the reference's function of that name."""
        if operator.startswith("_") or operator not in self.operators.__all__:
            raise AttributeError(operator)
        return getattr(self.operators, operator)
