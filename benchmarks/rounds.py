"""Rounds: workers make their calls in turn, again and again, so that what else the machine does meets all."""

import math
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
    """Timings of workers that are prepared, in their order; the first of a round is another one each time."""
    timed = [(worker, _calls(worker), Timing()) for worker in workers]
    for number in range(WARM_UP + rounds):
        first = number % max(len(timed), 1)
        for worker, calls, timing in timed[first:] + timed[:first]:
            time.sleep(PAUSE)
            seconds = worker.time(calls)
            if number >= WARM_UP:
                timing.seconds.append(seconds)
    return [timing for _, _, timing in timed]


def _calls(worker):
    worker.time(1)
    return min(max(math.ceil(LEAST / worker.time(1)), 1), MOST_CALLS)
