"""How the time of a call grows: one size at a time, all others as in case B, with the exponent that fits."""

import statistics

import numpy as np

SIZES = {"R": ("R",), "C": ("C",), "P": ("P",), "H W": ("H", "W")}


def size_of(case, axis):
    """The size that grows: of "H W" the cells of the map, of "P" the sub-windows of a RoI."""
    value = int(np.prod([case[name] for name in SIZES[axis]]))
    return value**2 if axis == "P" else value


def fitted(rows, axis):
    """b of seconds = a * size^b, by least squares of the logarithms."""
    sizes = [size_of(row["case"], axis) for row in rows]
    seconds = [statistics.median(row["seconds"]) for row in rows]
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def plot(path, growth):
    """A picture of all axes; path without its ending: a PNG and an SVG. growth: axis -> rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(growth), 3.6), layout="constrained")
    for axes, (axis, rows) in zip(np.atleast_1d(figure.subplots(1, len(growth))), growth.items(), strict=True):
        for place in dict.fromkeys((row["library"], row["mode"]) for row in rows):
            own = [row for row in rows if (row["library"], row["mode"]) == place and row["seconds"]]
            if not own:
                continue
            sizes = [size_of(row["case"], axis) for row in own]
            seconds = [1e3 * statistics.median(row["seconds"]) for row in own]
            label = f"{place[0]}, {place[1]}" + (f": {fitted(own, axis):.2f}" if len(own) > 1 else "")
            axes.loglog(sizes, seconds, marker="o", markersize=3, linewidth=1.2, label=label)
        axes.set_xlabel({"R": "RoIs", "C": "channels", "P": "sub-windows", "H W": "cells of the map"}[axis])
        axes.set_ylabel("ms a call")
        if axes.lines:
            axes.legend(fontsize=7, title="exponent", title_fontsize=7)
        axes.grid(True, which="major", linewidth=0.3)
    for ending in ("png", "svg"):
        figure.savefig(path.with_suffix(f".{ending}"), dpi=120)
