"""The loss of a run's every iteration, as a picture: one line a framework, smoothed, over what it was smoothed from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

SMOOTHED = 50  # iterations, fewer in a short run


def loss_curve(path: Path, losses: Mapping[str, Sequence[float]], title: str) -> None:
    """losses: framework and version -> the loss of each iteration."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    for k, (framework, own) in enumerate(losses.items()):
        iterations = np.arange(1, len(own) + 1)
        axes.plot(iterations, own, color=f"C{k}", alpha=0.2, linewidth=0.6)
        dashes = (0, (4, 4)) if k else "-"  # curves that lie on each other are both seen
        axes.plot(iterations, smoothed(own), color=f"C{k}", linestyle=dashes, label=framework)
    axes.set(xlabel="iteration", ylabel=f"loss, and its mean over up to {SMOOTHED} iterations", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


def smoothed(losses: Sequence[float]) -> np.ndarray:
    """The mean of each loss and those up to SMOOTHED - 1 before it.

    >>> smoothed([4.0, 2.0, 0.0]).tolist()
    [4.0, 3.0, 2.0]
    """
    sums = np.cumsum([0.0, *losses])
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(ends - SMOOTHED, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)
