"""One run of a benchmark: every library in every case and mode, beside the copy bandwidth."""

import itertools
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from frcnn.benchmarks import rounds as turns
from frcnn.benchmarks.case import Case
from frcnn.benchmarks.worker import Worker, WorkerError
from frcnn.machine import machine

COPY = "copy"
COPIED = 2**28  # bytes, more than any cache
TOO_LARGE = 2**30  # bytes of outputs, from which on libraries are measured one after the other
HELD = 5  # times a call's arrays that are in memory at once: drawn here, read, in another layout, another worker's


def measure(pythons, cases, modes, rounds, threads, console, device="cpu", cases_in_turn=False):
    """Time every library in every case and mode.

    pythons: library -> the interpreter that has it, "copy" first. cases, modes: of a benchmark's module.
    device: "cpu" or "cuda". cases_in_turn: one library after the other, its cases in turn, a process for each.

    Returns versions, copy_bytes_a_second and rows, as a file of results has them. Of each row `agrees` is the share of
    the numbers held to the reference, or to the first library, that are equal to a millionth; `peak_bytes` is what a
    fresh process took to prepare the call and make it twice, beside the arrays that it was given; `lacks` is why there
    is no figure, and `failed` says that it is because the library's process died or did not answer.
    Raises WorkerError naming a library that does not start, or where copying fails.
    """
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))

        def started(name, part="all"):
            (folder / part).mkdir(exist_ok=True)
            return stack.enter_context(Worker(name, pythons[name], threads, folder / part, device))

        names = [name for name in pythons if name != COPY]
        parts = [case.name for case in cases] if cases_in_turn else ["all"]
        workers = {part: [started(name, part) for name in names] for part in parts}
        copy = started(COPY)
        versions = {worker.name: worker.versions for worker in (copy, *workers[parts[0]])}
        np.savez(folder / "copy.npz", bytes=COPIED)
        copy.prepare(folder / "copy.npz", COPY)
        (copied,) = turns.interleaved([copy], rounds)
        if copied.failed:
            raise WorkerError(copied.failed)
        copy.release()
        file = folder / "case.npz"
        if cases_in_turn:
            for mode, place in itertools.product(modes, range(len(names))):
                console.print(f"{names[place]}, {mode}", highlight=False)
                rows += rows_of_library(cases, mode, [workers[case.name][place] for case in cases], file, rounds)
        else:
            for case, mode in itertools.product(cases, modes):
                console.print(f"{case.name}, {mode}", highlight=False)
                rows += rows_of_case(case, mode, workers["all"], file, rounds)
    return {"versions": versions, "copy_bytes_a_second": 2 * COPIED / copied.median, "rows": rows}


@dataclass
class Entry:
    """One library in one case and mode: what was measured, or why it was not."""

    case: Case
    mode: str
    worker: Worker
    lacks: str | None = None  # why there is no figure
    failed: bool = False  # because the worker died, or did not answer
    timing: turns.Timing | None = None
    peak: int | None = None
    agrees: float | None = None

    def attempt(self, step, *arguments):
        """What a step of the worker gives. Where it fails, that is noted, and None."""
        try:
            return step(*arguments)
        except WorkerError as error:
            self.fail(str(error))

    def fail(self, why):
        self.lacks, self.failed = why, True

    def row(self):
        """As a file of results has it."""
        timed = None if self.lacks or self.timing is None else self.timing.seconds
        return {
            "case": self.case.sizes(),
            "mode": self.mode,
            "library": self.worker.name,
            "seconds": timed,
            "peak_bytes": self.peak,
            "bytes": self.case.bytes(self.mode),
            "agrees": self.agrees,
            "lacks": self.lacks,
            "failed": self.failed,
        }


def rows_of_case(case, mode, workers, file, rounds):
    """The rows of one case in one mode, for which its arrays are put into the file: the libraries take turns."""
    entries = [Entry(case, mode, worker, lacking_memory(case, mode)) for worker in workers]
    truth = put(case, mode, file) if able(entries) else None
    together = [entries] if 4 * case.outputs < TOO_LARGE else [[entry] for entry in entries]
    for some in together:
        for entry in able(some):
            prepare(entry, file)
        hold_to(truth, able(some), file.parent)
        take_turns(able(some), rounds)
        for entry in able(some):
            entry.peak = entry.attempt(peak_of, entry, file)
    return [entry.row() for entry in entries]


def rows_of_library(cases, mode, workers, file, rounds):
    """The rows of one library in one mode, with a worker a case, prepared by way of the file: the cases take turns."""
    entries = [
        Entry(case, mode, worker, lacking_memory(case, mode)) for case, worker in zip(cases, workers, strict=True)
    ]
    for entry in able(entries):
        truth = put(entry.case, mode, file)
        prepare(entry, file)
        hold_to(truth, able([entry]), file.parent)
        for one in able([entry]):
            one.peak = one.attempt(peak_of, one, file)
    take_turns(able(entries), rounds)
    return [entry.row() for entry in entries]


def able(entries):
    """Those of whom nothing says yet that they have no figure."""
    return [entry for entry in entries if entry.lacks is None]


def prepare(entry, file):
    """Have the worker ready for the call in the file, or know why it is not."""
    why = entry.attempt(entry.worker.prepare, file, entry.mode)
    entry.lacks = entry.lacks or why


def take_turns(entries, rounds):
    """Time them, and let the workers forget the call."""
    for entry, timing in zip(entries, turns.interleaved([entry.worker for entry in entries], rounds), strict=True):
        if timing.failed:
            entry.fail(timing.failed)
        else:
            entry.timing = timing
            entry.attempt(entry.worker.release)


def put(case, mode, file):
    """Put the arrays of a case into the file; what is known of the answer, as Case.truth has it."""
    arrays = case.arrays(mode)
    np.savez(file, **arrays)
    return case.truth(mode, arrays)


def lacking_memory(case, mode):
    """Why a case can't be measured on this machine; None where it can."""
    needed, there = HELD * (case.bytes(mode) or 0), machine()["memory_bytes"]
    return f"it needs about {needed / 1e9:.0f} GB, and the machine has {there / 1e9:.0f}" if needed > there else None


def peak_of(entry, file):
    """What a fresh process takes to prepare the call in the file and make it twice, in bytes; None where unknown."""
    with entry.worker.another() as fresh:
        fresh.prepare(file, entry.mode)
        fresh.time(2)
        return fresh.peak()


def hold_to(truth, entries, folder):
    """Note of each library the share of its numbers that are what they must be to a millionth: one operator is timed.

    truth: rows of the output and their numbers; None to hold all to the first library's, where there are several.
    """
    rows, expected = (truth[0].tolist(), truth[1]) if truth else (None, None)
    if expected is None and len(entries) < 2:
        return
    for entry in entries:
        entry.attempt(entry.worker.answer, folder / "answer.npy", rows)
        if entry.failed:
            continue
        answer = np.load(folder / "answer.npy", allow_pickle=True)
        if expected is None:
            expected = answer
        entry.agrees = share_equal(answer, expected)


def share_equal(answer, expected):
    """Of an array's numbers, the share that are equal to a millionth; none of one of another shape."""
    if answer.dtype == object or answer.shape != expected.shape:
        return 0.0
    return float(np.isclose(answer, expected, rtol=1e-6, atol=1e-6).mean()) if expected.size else 1.0
