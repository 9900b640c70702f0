"""What every case of a benchmark has, and what more than one of them draws."""

from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True)
class Case:
    """Sizes of one call, float32. `arrays(mode)` gives its arrays, the same for every library."""

    name: str

    def sizes(self):
        return asdict(self)

    def truth(self, mode, arrays):
        """Rows of the output and what they must be, or None where libraries are held to the first of them."""
        return None

    @property
    def outputs(self):
        """Numbers in the output."""
        return 1

    def bytes(self, mode):
        """What a call has to move if each array goes through memory once; None where nobody counts it.

        A whole network lives on arithmetic.
        """
        return None


def drawn_boxes(random, count, H, W, largest):
    """Boxes (count, 4), float64, whole within an image of H x W; sides from 16 pixels to the share `largest` of its."""
    sides = random.uniform(16, [largest * W, largest * H], (count, 2))
    corners = random.uniform(0, 1, (count, 2)) * ([W, H] - sides)
    return np.column_stack([corners, corners + sides - 1])


def drawn_labels(random, R, K):
    """Classes (R,) of RoIs: of every fourth one of 1 .. K, of the others background."""
    return np.where(np.arange(R) % 4 == 0, random.integers(1, K + 1, R), 0)
