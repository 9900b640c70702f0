"""What the box operators refuse, and the sentence they refuse it with.

Clauses: box-error.shape, box-error.type, box-error.coordinate, box-error.extent.
"""

import numpy as np

from frcnn.reference.arguments import LARGEST_COORDINATE, as_float_array

KINDS = ("float32", "float64")


def as_boxes(name, value, columns=4):
    """`value` as an array (R, columns) of float32 or float64. Clauses box-error.shape, box-error.type."""
    return _as_kind(name, as_float_array(name, value, ("R", columns)))


def as_scores(name, value, rows):
    """`value` as an array (rows,) of float32 or float64."""
    return _as_kind(name, as_float_array(name, value, (rows,)))


def check_same_type(name, array, other_name, other):
    """Clause box-error.type: nothing is widened or narrowed unasked."""
    if array.dtype != other.dtype:
        raise TypeError(f"{name} must have the type of {other_name}, {other.dtype}, got {array.dtype}")


def check_places(name, boxes):
    """Every coordinate is finite and at most 2^24 in size. Clause box-error.coordinate."""
    good = np.abs(boxes) <= LARGEST_COORDINATE  # a NaN compares false
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise ValueError(
            f"{name}[{row}] has {('x1', 'y1', 'x2', 'y2')[column]} = {boxes[row, column]:g}; "
            f"coordinates must be finite and at most 2^24 in size"
        )


def check_extents(name, widths, heights):
    """Every width and height is positive. Clause box-error.extent."""
    good = (widths > 0) & (heights > 0)
    if not good.all():
        row = np.flatnonzero(~good)[0]
        raise ValueError(
            f"{name}[{row}] is {widths[row]:g} wide and {heights[row]:g} high; its last corner must not lie before its "
            f"first"
        )


def _as_kind(name, array):
    if array.dtype.name not in KINDS:
        raise TypeError(f"{name} must have one of the types {', '.join(KINDS)}, got {array.dtype}")
    return array
