"""How the time of a call grows: one size at a time, all others as in case B, with the exponent that fits."""

import statistics

import numpy as np

SIZES = {"R": ("R",), "C": ("C",), "P": ("P",), "H W": ("H", "W")}
WORDS = {"R": "RoIs", "C": "channels", "P": "sub-windows", "H W": "cells of the map, which RoIs fit"}


def size_of(case, axis):
    """The size that grows: of "H W" the cells of the map, of "P" the sub-windows of a RoI."""
    value = int(np.prod([case[name] for name in SIZES[axis]]))
    return value**2 if axis == "P" else value


def fitted(rows, axis):
    """b of seconds = a * size^b, by least squares of the logarithms."""
    sizes = [size_of(row["case"], axis) for row in rows]
    seconds = [statistics.median(row["seconds"]) for row in rows]
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def exponents(growth):
    """Of each axis the sizes, and of each library and mode that was timed at two or more the exponent.

    Of all sizes, and of the first two and the last two: what a call costs whatever its size bends the curve.
    growth: axis -> rows, as a file of results has them.
    """
    found = []
    for axis, rows in growth.items():
        for library, mode, own in _curves(rows):
            if len(own) > 1:
                sizes = [size_of(row["case"], axis) for row in own]
                own.sort(key=lambda row: size_of(row["case"], axis))
                said = {"axis": axis, "library": library, "mode": mode, "exponent": fitted(own, axis)}
                ends = {"first": fitted(own[:2], axis), "last": fitted(own[-2:], axis)}
                found.append(said | ends | {"from": min(sizes), "to": max(sizes)})
    return found


def _curves(rows):
    """What was timed, by library and mode."""
    for library, mode in dict.fromkeys((row["library"], row["mode"]) for row in rows if row["seconds"]):
        place = library, mode
        yield *place, [row for row in rows if (row["library"], row["mode"]) == place and row["seconds"]]


def plot(path, growth):
    """A picture of all axes, two a row; path without its ending: a PNG and an SVG. growth: axis -> rows."""
    from matplotlib.figure import Figure

    high = -(-len(growth) // 2)
    figure = Figure(figsize=(12, 3.6 * high), layout="constrained")
    for place, (axis, rows) in enumerate(growth.items()):
        axes = figure.add_subplot(high, 2, place + 1)
        for library, mode, own in _curves(rows):
            sizes = [size_of(row["case"], axis) for row in own]
            milliseconds = [1e3 * statistics.median(row["seconds"]) for row in own]
            label = f"{library}, {mode}" + (f": {fitted(own, axis):.2f}" if len(own) > 1 else "")
            axes.loglog(sizes, milliseconds, marker="o", markersize=3, linewidth=1.2, label=label)
        axes.set_xlabel(WORDS[axis])
        axes.set_ylabel("ms a call")
        if axes.lines:
            beside = {"loc": "upper left", "bbox_to_anchor": (1.01, 1)}
            axes.legend(fontsize=7, title="exponent", title_fontsize=7, frameon=False, **beside)
        axes.grid(True, which="major", linewidth=0.3)
    for ending in ("png", "svg"):
        figure.savefig(f"{path}.{ending}", dpi=120)
