"""Hypothesis strategies: input that is hostile on purpose.

Corners sit on half cells and beside them, extents are those where float32 and integers part, RoIs are malformed or
leave the map, values tie, are signed zeros, NaN and infinite, image indices are unsorted and at both ends, and maps lie
in memory with their channels first or last.
"""

from math import prod

import numpy as np
from hypothesis import strategies as st

from frcnn.conformance.cases import DTYPES, Pooling, channels_last, pattern

# Extents whose float32 edges are wrong at P = 7 (57, 114), whose float64 edges would be (29, 58, 116), and neighbours.
EXTENTS = (1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15, 28, 29, 56, 57, 58, 114, 116)
SCALES = (1.0, 1 / 16, 1 / 8, 0.5, 2.0, 0.7, 1 / 3, 0.1, 0.0625 * 1.001)
GRIDS = (1, 2, 3, 6, 7)

ORDINARY = (0.0, 0.5, 1.0, 1.5, 2.0, -1.0, -2.5, 100.0)
TYING = (0.0, -0.0, 1.0, -1.0)
SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0)

map_sides = st.sampled_from((1, 1, 2, 3, 4, 5, 7, 9, 12))
scales = st.sampled_from(SCALES)
output_sizes = st.tuples(st.sampled_from(GRIDS), st.sampled_from(GRIDS))
roi_types = st.sampled_from(("float32", "float32", "float16", "bfloat16"))


_besides = st.sampled_from((0.0, 0.5, -0.5, 0.25, "below", "above"))
_extents = st.sampled_from(EXTENTS)


@st.composite
def arrays(draw, elements, shape, dtype_name="float32", between=0.0):
    """An array of some of the elements, in every other array most of them alike; with `between`, half of its numbers
    are multiples of a thousandth of that, up to it in size.

    All of it is one choice of bytes: hypothesis.extra.numpy chooses cell by cell, which took half of the suite's time.
    """
    size = prod(shape)
    picks = np.frombuffer(draw(st.binary(min_size=2 * size, max_size=2 * size)), ">u2").astype(np.int64)
    if size and draw(st.booleans()):
        picks = np.where(picks % 4, picks[0], picks)
    choice, number = picks >> 1, picks % 2
    array = np.array(elements)[choice % len(elements)]
    if between:
        array = np.where(number, (choice % 2001 - 1000) * between / 1000, array)
    return array.reshape(shape).astype(DTYPES[dtype_name])


def _coordinate(draw, size, scale):
    """A corner along an axis of `size` cells, in pixels: on a cell, half-way, a float's breadth beside, or between."""
    cell, beside = draw(st.integers(-3, size + 3)), draw(_besides)
    half = np.float32((cell + 0.5) / scale)
    if beside == "below":
        return float(np.nextafter(half, np.float32(-np.inf)))
    if beside == "above":
        return float(np.nextafter(half, np.float32(np.inf)))
    return float(np.float32((cell + beside) / scale))


def _span(draw, size, scale):
    """First and last corner along an axis: any two, so malformed now and then, or one of the extents above."""
    first = _coordinate(draw, size, scale)
    if draw(st.booleans()):
        return first, _coordinate(draw, size, scale)
    return first, float(np.float32(first + (draw(_extents) - 1) / scale))


@st.composite
def roi_arrays(draw, images, map_size, scale, roi_type="float32", least=0, most=4):
    """RoIs (R, 5) for a map, image indices at both ends and in any order."""
    H, W = map_size
    rows = []
    for _ in range(draw(st.integers(least, most))):
        x1, x2 = _span(draw, W, scale)
        y1, y2 = _span(draw, H, scale)
        rows.append((draw(st.integers(0, images - 1)), x1, y1, x2, y2))
    return np.array(rows, np.float64).reshape(-1, 5).astype(DTYPES[roi_type])


@st.composite
def poolings(draw, elements=ORDINARY, dtype_name="float32", least_rois=0, roi_type=None, profile="exact"):
    """A forward call on a small map of drawn values."""
    N, C, H, W = draw(st.integers(1, 3)), draw(st.integers(0, 3)), draw(map_sides), draw(map_sides)
    scale = draw(scales)
    rois = draw(roi_arrays(N, (H, W), scale, roi_type or draw(roi_types), least=least_rois))
    features = draw(laid_out(draw(arrays(elements, (N, C, H, W), dtype_name))))
    return Pooling(features, rois, draw(output_sizes), scale, profile)


def laid_out(maps):
    """Maps (N, C, H, W) as they are, or with their channels last in memory, which some libraries pool by other code."""
    return st.sampled_from((maps, channels_last(maps)))


def either_order(array):
    """The array as it is, or with its columns first in memory."""
    return st.sampled_from((array, np.asfortranarray(array)))


@st.composite
def long_poolings(draw, profile="exact"):
    """A forward call on a map large enough for the extents where edges differ, its values showing the windows."""
    size = (draw(st.sampled_from((1, 3, 60, 118))), draw(st.sampled_from((1, 3, 60, 118))))
    scale = draw(st.sampled_from((1.0, 1 / 16, 0.7)))
    rois = draw(roi_arrays(2, size, scale, least=1, most=2))
    features = pattern(draw(st.sampled_from(("rising", "falling"))), (2, 1, *size))
    return Pooling(
        features, rois, (draw(st.sampled_from((1, 2, 6, 7, 22))), draw(st.sampled_from((1, 6, 7)))), scale, profile
    )


def gradients(shape, dtype_name="float32"):
    """Upstream gradients, whole, broken and a subnormal one, of both signs; no sum comes near a type's end."""
    return arrays((0.0, 1.0, -1.0, 0.1, -0.3, 3.0, 2.0**-10, 17.0, 2.0**-130), shape, dtype_name)
