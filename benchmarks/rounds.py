"""Rounds: workers make their calls, one after the other, again and again: what else the machine does meets all."""

import math
import random
import statistics
import time
from dataclasses import dataclass, field

from frcnn.benchmarks.worker import WorkerError

WARM_UP = 2  # rounds that are not counted
LEAST = 0.05  # seconds that one measurement lasts at least, of as many calls as it takes
MOST_CALLS = 1000
PAUSE = 0.02  # seconds, after which the threads of the library before no longer spin


@dataclass
class Timing:
    """Seconds of one call, round by round; or why there are none, of a worker that failed on the way."""

    seconds: list[float] = field(default_factory=list)
    failed: str | None = None

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def spread(self):
        """From the fastest round to the slowest, as a share of the median."""
        return (max(self.seconds) - min(self.seconds)) / self.median


def interleaved(workers, rounds):
    """Timings of workers that are prepared, in their order. A round is in any order: none follows always the same.

    A worker that fails is left out of the rounds that follow.
    """
    timings, calls, dice = [Timing() for _ in workers], [0 for _ in workers], random.Random(0)
    for number in range(-1, WARM_UP + rounds):
        for place in dice.sample(range(len(workers)), len(workers)):
            if timings[place].failed:
                continue
            time.sleep(PAUSE)
            try:
                if number < 0:
                    calls[place] = _calls(workers[place])
                else:
                    timings[place].seconds.append(workers[place].time(calls[place]))
            except WorkerError as error:
                timings[place] = Timing(failed=str(error))
    for timing in timings:
        del timing.seconds[:WARM_UP]
    return timings


def _calls(worker):
    worker.time(1)
    return min(max(math.ceil(LEAST / worker.time(1)), 1), MOST_CALLS)
