"""What a measure is and what it gives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from frcnn.conformance.scenes import Scene

LAST_PIXEL = np.array([0, 0, 1, 1])
MEAN_AP = "mean AP"  # a unit that is counted in points, not in cases


@dataclass(frozen=True)
class Effect:
    """A share: `count` of `total`, both of `unit`; beside it, `largest_what` is `largest`."""

    unit: str
    count: float
    total: float
    largest: float | None = None
    largest_what: str = ""


@dataclass(frozen=True)
class Measure:
    """A measuring function, and the sentence that says what it counts: its docstring."""

    name: str
    run: Callable[[Sequence[Scene]], list[Effect]] = field(repr=False)

    @property
    def says(self) -> str:
        return " ".join((self.run.__doc__ or "").split())


MEASURES: dict[str, Measure] = {}


def measure(function):
    """Enter a measuring function under its name."""
    MEASURES[function.__name__] = Measure(function.__name__, function)
    return function


def share(unit, flags) -> Effect:
    """How many of the flags of all scenes are set."""
    flags = [np.asarray(each) for each in flags]
    return Effect(unit, int(sum(np.count_nonzero(each) for each in flags)), int(sum(each.size for each in flags)))


def with_largest(effect, largest, unit):
    return Effect(effect.unit, effect.count, effect.total, float(largest), unit)
