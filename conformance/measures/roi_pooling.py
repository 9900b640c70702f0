"""RoI pooling, and the maps and proposals that it is given."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from frcnn.conformance import photographs
from frcnn.conformance.measures.effect import measure, share
from frcnn.conformance.photographs import SPATIAL_SCALE
from frcnn.reference import pool_windows, project_rois

P = 7  # VGG16's grid


@measure
def bins_by_edges(scenes):
    """Bins whose window differs between integer and float32 edges, 7 x 7 at 1/16, after clipping to the map."""
    apart = []
    for scene in scenes:
        rchw = project_rois(scene.rois, SPATIAL_SCALE)[:, 1:]
        exact, caffe = (pool_windows(rchw, P, scene.map_size, profile=profile) for profile in ("exact", "caffe-2015"))
        rows, columns = ((one != other).any(axis=2) for one, other in zip(exact, caffe, strict=True))
        apart.append(rows[:, :, None] | columns[:, None, :])
    return [share("bins", apart), share("RoIs", [each.any(axis=(1, 2)) for each in apart])]


@measure
def bins_that_are_empty(scenes):
    """Bins without a cell on the map, 7 x 7 at 1/16."""
    empty = []
    for scene in scenes:
        windows = pool_windows(project_rois(scene.rois, SPATIAL_SCALE)[:, 1:], P, scene.map_size)
        rows, columns = ((each[..., 0] >= each[..., 1]) for each in windows)
        empty.append(rows[:, :, None] | columns[:, None, :])
    return [share("bins", empty)]


@measure
def bins_beyond_corners(scenes):
    """Bins, as the original cuts them, with a cell of the map beyond the RoI's rounded corners, 7 x 7 at 1/16."""
    return [share("bins", _bins_that_hold(scenes, lambda p, k, n: k >= n))]


@measure
def bins_the_walk_misses(scenes):
    """Bins, as the original cuts them, with a cell within the corners whose walk misses them, 7 x 7 at 1/16."""
    return [share("bins", _bins_that_hold(scenes, lambda p, k, n: k < n and not _walk_finds(p, k, n)))]


def _bins_that_hold(scenes, lost):
    """For each scene (R, 7, 7): whether a sub-window of `caffe-2015` holds a cell of which lost(p, k, n) is true.

    p is the place of the sub-window along an axis, k the cell's offset and n the extent.
    """
    for scene in scenes:
        axes = []
        rchw = project_rois(scene.rois, SPATIAL_SCALE)[:, 1:]
        for axis, windows in enumerate(pool_windows(rchw, P, scene.map_size, profile="caffe-2015")):
            first, end = (windows - rchw[:, axis, None, None]).transpose(2, 0, 1)
            extents, of_axis = rchw[:, axis + 2], np.zeros((len(rchw), P), bool)
            for n in np.unique(extents).tolist():
                for p, k in _held(n):
                    if lost(p, k, n):
                        of_axis[:, p] |= (extents == n) & (first[:, p] <= k) & (k < end[:, p])
            axes.append(of_axis)
        yield axes[0][:, :, None] | axes[1][:, None, :]


@cache
def _held(n):
    """(p, k): which cells of an extent n each sub-window holds in float32, before the map clips it: roi-pool.grid."""
    size = np.float32(n) / np.float32(P)
    edges = [(math.floor(np.float32(p) * size), math.ceil(np.float32(p + 1) * size)) for p in range(P)]
    return [(p, k) for p, (first, end) in enumerate(edges) for k in range(first, end)]


@cache
def _walk_finds(p, k, n):
    """Clause roi-pool.backward-dropped along one axis: whether cell k's walk over its bins comes to sub-window p."""
    size = np.float32(n) / np.float32(P)
    return math.floor(np.float32(k) / size) <= p < math.ceil(np.float32(k + 1) / size)


@measure
def bins_by_sppnet(scenes):
    """Bins whose window differs where an extent n has P windows ceil(n / P) long at a stride of floor(n / P)."""
    apart = []
    for scene in scenes:
        extents = project_rois(scene.rois, SPATIAL_SCALE)[:, 3:]
        for levels in (1, 2, 4):
            p, n = np.arange(levels), extents[..., None]
            first, end = p * n // levels, -(-(p + 1) * n // levels)
            start = p * (n // levels)
            differs = (first != start) | (end != start - (-n // levels))
            apart.append(differs[:, 0, :, None] | differs[:, 1, None, :])
    return [share("bins of a pyramid of 1, 2 and 4", apart)]


@measure
def rois_by_rounding(scenes):
    """RoIs with a corner that another rounding of the same float32 product takes to another cell."""
    readings: dict[str, Callable] = {
        "half to even": np.round,
        "floor(x + .5) in float32": lambda x: np.floor(x + np.float32(0.5)),
    }
    scaled = [scene.rois[:, 1:] * np.float32(SPATIAL_SCALE) for scene in scenes]
    ours = [_half_away(x) for x in scaled]
    return [
        share(
            f"RoIs, by {name}",
            [(other(x) != mine).any(axis=1) for x, mine in zip(scaled, ours, strict=True)],
        )
        for name, other in readings.items()
    ]


@measure
def rois_by_projection(scenes):
    """RoIs with a corner that goes to another cell where boxes are scaled to the image and to the map in float64."""
    moved = []
    for scene in scenes:
        wide = scene.proposals * photographs.image_scale(*scene.size) * SPATIAL_SCALE
        moved.append((_half_away(wide) != _half_away(scene.rois[:, 1:] * np.float32(SPATIAL_SCALE))).any(axis=1))
    return [share("RoIs", moved)]


@measure
def proposals_that_repeat(scenes):
    """Proposals that equal an earlier one once rounded, half to even, at 1/16; and those of them that RoI pooling,
    which rounds half away from zero, would have pooled elsewhere than the one whose scores they are given."""
    repeats, elsewhere = [], []
    for scene in scenes:
        scaled = scene.rois[:, 1:] * np.float32(SPATIAL_SCALE)
        _, first, group = np.unique(np.round(scaled), axis=0, return_index=True, return_inverse=True)
        representative = first[group.reshape(-1)]
        repeats.append(representative != np.arange(len(scaled)))
        cells = _half_away(scaled)
        elsewhere.append((cells != cells[representative]).any(axis=1))
    return [share("proposals that repeat", repeats), share("proposals pooled elsewhere", elsewhere)]


def _half_away(x):
    return np.trunc(x) + np.where(np.abs(x - np.trunc(x)) >= 0.5, np.sign(x), 0)


@measure
def maps_by_pooling(scenes):
    """Photographs whose map after four poolings of 2 x 2 has another size where lengths are rounded down, not up, and
    RoIs that reach into the row or column which is then not there."""
    floors = [tuple(side // 16 for side in scene.resized) for scene in scenes]
    beyond = []
    for scene, floor in zip(scenes, floors, strict=True):
        rchw = project_rois(scene.rois, SPATIAL_SCALE)[:, 1:]
        beyond.append((rchw[:, :2] + rchw[:, 2:] > floor).any(axis=1))
    other_size = [[scene.map_size != floor] for scene, floor in zip(scenes, floors, strict=True)]
    return [share("photographs", other_size), share("RoIs", beyond)]
