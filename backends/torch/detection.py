"""The choice of a pyramid's scale on tensors, as spec/detection.md says.

torch.argmin gives the first of equals, as detect-scale.tie wants. Eager arithmetic rounds every operation; a compiler
for CUDA may fuse the product with the subtraction, which is one rounding less (detect-scale.arithmetic).
"""

import numpy as np
import torch

from frcnn.backends.torch.arguments import LARGEST_COORDINATE
from frcnn.backends.torch.boxes import as_tensor, check_boxes, check_places

AREA = 224 * 224


@torch.no_grad()
def select_scale(boxes, scales, *, validate=True):
    """The index (R,), int64, of the scale at which each box (R, 4) is closest to 224^2 pixels in area.

    boxes: float32 or float64; inclusive corners in image pixels. scales: a row (S,) of numbers.
    validate: False does not look at the boxes' numbers, for which CUDA would have to be waited for.
    Raises ValueError or TypeError naming the argument and the first offending row. Clauses: detect-scale.*.

    >>> select_scale(torch.tensor([[0.0, 0, 223, 223], [0, 0, 49, 49]]), [1, 2, 4]).tolist()
    [0, 2]
    """
    check_boxes("boxes", boxes)
    if validate:
        check_places("boxes", boxes)
    s = torch.from_numpy(_as_scales(scales)).to(boxes.device)
    x1, y1, x2, y2 = boxes.double().unbind(1)
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    return torch.argmin((areas[:, None] * (s * s) - AREA).abs(), dim=1)


def _as_scales(value):
    """Clause detect-scale.error-scales: (S,) float64."""
    try:
        scales = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"scales must be a row of numbers, got {value!r}") from None
    if scales.ndim != 1 or not len(scales):
        raise ValueError(f"scales must have shape (S,) and hold one at least, got {scales.shape}")
    if scales.dtype.kind not in "fiu":
        raise TypeError(f"scales must hold numbers, got {scales.dtype}")
    scales = scales.astype(np.float64)
    good = (scales > 0) & (scales <= LARGEST_COORDINATE)
    if not good.all():
        row = np.argmin(good)
        raise ValueError(f"scales[{row}] must be positive and at most 2^24, got {scales[row]:g}")
    return scales


class DetectionAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    def select_scale(self, boxes, scales):
        return select_scale(as_tensor(boxes, self.device), scales).cpu().numpy()
