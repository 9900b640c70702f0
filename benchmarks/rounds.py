"""Rounds: workers make their calls, one after the other, again and again: what else the machine does meets all."""

import math
import random
import statistics
import time
from dataclasses import dataclass, field

WARM_UP = 2  # rounds that are not counted
LEAST = 0.05  # seconds that one measurement lasts at least, of as many calls as it takes
MOST_CALLS = 1000
PAUSE = 0.02  # seconds, after which the threads of the library before no longer spin


@dataclass
class Timing:
    """Seconds of one call, round by round."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def spread(self):
        """From the fastest round to the slowest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def interleaved(workers, rounds):
    """Timings of workers that are prepared, in their order. A round is in any order: none follows always the same."""
    timed, dice = [(worker, _calls(worker), Timing()) for worker in workers], random.Random(0)
    for number in range(WARM_UP + rounds):
        for worker, calls, timing in dice.sample(timed, len(timed)):
            time.sleep(PAUSE)
            seconds = worker.time(calls)
            if number >= WARM_UP:
                timing.seconds.append(seconds)
    return [timing for _, _, timing in timed]


def _calls(worker):
    worker.time(1)
    return min(max(math.ceil(LEAST / worker.time(1)), 1), MOST_CALLS)
