"""What can be enumerated is: the edges of every extent and grid, the rounding at every half, products beside a half.

A map whose values are row numbers, rising in one channel and falling in the other, makes a backend show the last and
the first row of each of its windows.
"""

import numpy as np
import pytest

from frcnn.conformance.cases import Pooling
from frcnn.conformance.naive import roi_pool as naive

LONGEST = 1024
SOME_GRIDS = (1, 6, 7, 22, 64)
ALL_GRIDS = tuple(range(1, 65))


def pytest_generate_tests(metafunc):
    if "grid" in metafunc.fixturenames:
        metafunc.parametrize("grid", SOME_GRIDS if metafunc.config.frcnn_run.effort == "quick" else ALL_GRIDS)


def ruler(length, axis):
    """Features (1, 2, length, 1), or lying down: cell numbers, rising and falling."""
    numbers = np.arange(length, dtype=np.float32)
    shape = (1, 2, length, 1) if axis == "rows" else (1, 2, 1, length)
    return np.stack([numbers, -numbers]).reshape(shape)


def along(axis, first, last, scale=1.0):
    """RoIs (R, 5) from first to last along the axis, on cell 0 of the other one."""
    first, last = np.broadcast_arrays(first, last)
    zero = np.zeros_like(first)
    columns = (zero, zero, first, zero, last) if axis == "rows" else (zero, first, zero, last, zero)
    return np.stack(columns, axis=1).astype(np.result_type(first, np.float32))


def show_windows(subject, case, expected_first, expected_end, axis):
    """The backend's windows are [expected_first, expected_end), arrays (R, P), both empty where equal."""
    __tracebackhide__ = True
    empty = expected_first >= expected_end
    last = np.where(empty, -1, expected_end - 1)
    argmax = np.stack([last, np.where(empty, -1, expected_first)], axis=1).astype(np.int64)
    output = np.where(argmax < 0, 0, argmax * np.array([[1], [-1]])).astype(np.float32)
    # The falling channel's cell 0 holds -0.
    output[:, 1][argmax[:, 1] == 0] = case.features.reshape(2, -1)[1, 0]
    shape = (*argmax.shape, 1) if axis == "rows" else (*argmax.shape[:2], 1, argmax.shape[2])
    subject.check_forward(case, (output.reshape(shape), argmax.reshape(shape)))


@pytest.mark.clause("roi-pool.grid", "roi-pool.non-square")
@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_every_extent_up_to_1024_is_cut_where_the_clause_says(subject, profile, axis, grid):
    extents = np.arange(1, LONGEST + 1)
    first, end = edges(extents[:, None], grid, profile)
    case = Pooling(
        ruler(LONGEST + 2, axis),
        along(axis, np.zeros(LONGEST, np.float32), extents - 1),
        (grid, 1) if axis == "rows" else (1, grid),
        profile=profile,
    )
    show_windows(subject, case, first, end, axis)


def edges(n, P, profile):
    """First and end (R, P) of the sub-windows of extents n (R, 1). For `exact` cells are looked up by whole-number
    comparison: offset k overlaps sub-window p where (k + 1) P > p n and k P < (p + 1) n."""
    p = np.arange(P)
    if profile == "exact":
        starts = np.arange(LONGEST + 1) * P
        return np.searchsorted(starts[1:], p * n, side="right"), np.searchsorted(starts, (p + 1) * n, side="left")
    bin_size = n.astype(np.float32) / np.float32(P)
    edge = np.arange(P + 1, dtype=np.float32) * bin_size
    return np.floor(edge[:, :-1]).astype(np.int64), np.ceil(edge[:, 1:]).astype(np.int64)


def halves_and_neighbours(scale, cells):
    """Float32 pixels that come to half-way between two cells, and the floats just below and above each."""
    halves = ((np.arange(*cells) + 0.5) / scale).astype(np.float32)
    return np.concatenate([np.nextafter(halves, np.float32(-np.inf)), halves, np.nextafter(halves, np.float32(np.inf))])


@pytest.mark.clause("roi-pool.round")
@pytest.mark.parametrize("axis", ["rows", "columns"])
@pytest.mark.parametrize("scale", [1.0, 0.5, 1 / 8, 1 / 16])
def test_every_half_of_an_image_and_its_two_neighbours_is_rounded_away_from_zero(subject, profile, axis, scale):
    """Up to 2,000 pixels, the longest side of the paper's largest scale. One-cell RoIs show where their corner went."""
    cells = int(2000 * scale)
    pixels = halves_and_neighbours(scale, (0, cells))
    went_to = np.array([naive.projected(x, scale, np.float32) for x in pixels])[:, None]
    case = Pooling(ruler(cells + 2, axis), along(axis, pixels, pixels), (1, 1), scale, profile)
    show_windows(subject, case, went_to, went_to + 1, axis)


@pytest.mark.clause("roi-pool.round")
@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_negative_halves_go_away_from_zero_too(subject, profile, axis):
    """The first corner is off the map, so a last corner that makes the extent 64 for one answer and 63 for another."""
    pixels = halves_and_neighbours(1.0, (-32, 0))
    first = np.array([naive.projected(x, 1.0, np.float32) for x in pixels])
    last = first + 63
    P = 64
    start = np.clip(first[:, None] + np.arange(P), 0, 100)
    case = Pooling(
        ruler(100, axis),
        along(axis, pixels, last.astype(np.float32)),
        (P, 1) if axis == "rows" else (1, P),
        profile=profile,
    )
    show_windows(subject, case, start, np.clip(first[:, None] + np.arange(P) + 1, 0, 100), axis)


@pytest.mark.clause("roi-pool.projection")
@pytest.mark.parametrize("scale", [0.7, 0.35, 0.1, 1 / 3, 0.0625 * 1.1, 600 / 375 / 16, 1000 / 500 / 16, 0.9])
def test_products_beside_a_half_are_those_of_float32(subject, profile, scale):
    """Whole pixels up to 2,000 and the floats around every half: the product is rounded before it goes to a cell."""
    cells = int(2000 * scale) + 2
    pixels = np.concatenate([np.arange(2000, dtype=np.float32), halves_and_neighbours(scale, (0, cells - 3))])
    went_to = np.array([naive.projected(x, scale, np.float32) for x in pixels])[:, None]
    case = Pooling(ruler(cells + 2, "columns"), along("columns", pixels, pixels), (1, 1), scale, profile)
    show_windows(subject, case, went_to, went_to + 1, "columns")


@pytest.mark.clause("roi-pool.extent")
def test_a_roi_that_ends_before_it_starts_is_one_cell_whatever_the_gap(subject, profile):
    first = np.arange(40, dtype=np.float32)
    last = first - np.arange(40) % 17 - 1
    case = Pooling(ruler(40, "rows"), along("rows", first, last), (3, 1), profile=profile)
    cell = np.repeat(first.astype(np.int64)[:, None], 3, axis=1)
    show_windows(subject, case, cell, cell + 1, "rows")


@pytest.mark.clause("roi-pool.clip", "roi-pool.empty")
@pytest.mark.parametrize("axis", ["rows", "columns"])
def test_bins_are_cut_before_they_are_clipped_at_either_border(subject, profile, axis):
    """RoIs of 12 cells slid over a map of 10 from wholly before it to wholly behind it; 4 bins of 3 each."""
    first = np.arange(-16, 16)
    start = first[:, None] + 3 * np.arange(4)
    case = Pooling(
        ruler(10, axis),
        along(axis, first.astype(np.float32), first + 11.0),
        (4, 1) if axis == "rows" else (1, 4),
        profile=profile,
    )
    show_windows(subject, case, np.clip(start, 0, 10), np.clip(start + 3, 0, 10), axis)
