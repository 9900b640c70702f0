"""One run of a benchmark: every library in every case and mode, beside the copy bandwidth."""

import itertools
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from frcnn.benchmarks import rounds as turns
from frcnn.benchmarks.worker import Worker
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
    fresh process took to prepare the call and make it twice, beside the arrays that it was given.
    Raises WorkerError naming a library that does not start, or that died.
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


def rows_of_case(case, mode, workers, file, rounds):
    """The rows of one case in one mode, for which its arrays are put into the file: the libraries take turns."""
    if lacks := lacking_memory(case, mode):
        return [_row(case, mode, worker.name, lacks=lacks) for worker in workers]
    timings: dict[str, turns.Timing] = {}
    lacking: dict[str, str] = {}
    agreement: dict[str, float | None] = {}
    peaks: dict[str, int | None] = {}
    truth = put(case, mode, file)
    together = [workers] if 4 * case.outputs < TOO_LARGE else [[worker] for worker in workers]
    for some in together:
        able = []
        for worker in some:
            why = worker.prepare(file, mode)
            if why is None:
                able.append(worker)
            else:
                lacking[worker.name] = why
        agreement |= agreement_of(able, truth, file.parent)
        timings |= zip((worker.name for worker in able), turns.interleaved(able, rounds), strict=True)
        for worker in able:
            worker.release()
        peaks |= {worker.name: peak_of(worker, mode, file) for worker in able}
    return [
        _row(case, mode, name, timings.get(name), peaks.get(name), agreement.get(name), lacking.get(name))
        for name in (worker.name for worker in workers)
    ]


def rows_of_library(cases, mode, workers, file, rounds):
    """The rows of one library in one mode, with a worker a case, prepared by way of the file: the cases take turns."""
    lacking, checked = [], []
    for case, worker in zip(cases, workers, strict=True):
        lacks = lacking_memory(case, mode)
        if not lacks:
            truth = put(case, mode, file)
            lacks = worker.prepare(file, mode)
        if not lacks:
            checked.append((peak_of(worker, mode, file), agreement_of([worker], truth, file.parent).get(worker.name)))
        lacking.append(lacks)
    able = [worker for worker, lacks in zip(workers, lacking, strict=True) if not lacks]
    found = iter(zip(turns.interleaved(able, rounds), checked, strict=True))
    for worker in able:
        worker.release()
    rows = []
    for case, worker, lacks in zip(cases, workers, lacking, strict=True):
        timing, (peak, agrees) = (None, (None, None)) if lacks else next(found)
        rows.append(_row(case, mode, worker.name, timing, peak, agrees, lacks))
    return rows


def put(case, mode, file):
    """Put the arrays of a case into the file; what is known of the answer, as Case.truth has it."""
    arrays = case.arrays(mode)
    np.savez(file, **arrays)
    return case.truth(mode, arrays)


def lacking_memory(case, mode):
    """Why a case can't be measured on this machine; None where it can."""
    needed, there = HELD * (case.bytes(mode) or 0), machine()["memory_bytes"]
    return f"it needs about {needed / 1e9:.0f} GB, and the machine has {there / 1e9:.0f}" if needed > there else None


def _row(case, mode, library, timing=None, peak=None, agrees=None, lacks=None):
    return {
        "case": case.sizes(),
        "mode": mode,
        "library": library,
        "seconds": timing and timing.seconds,
        "peak_bytes": peak,
        "bytes": case.bytes(mode),
        "agrees": agrees,
        "lacks": lacks,
    }


def peak_of(worker, mode, file):
    """What a fresh process takes to prepare the call in the file and make it twice, in bytes; None where unknown."""
    with worker.another() as fresh:
        fresh.prepare(file, mode)
        fresh.time(2)
        return fresh.peak()


def agreement_of(workers, truth, folder):
    """Of each library's numbers, the share that are what they must be to a millionth: one operator is timed.

    truth: rows of the output and their numbers; None to hold all to the first library's, where there are several.
    """
    rows, expected = (truth[0].tolist(), truth[1]) if truth else (None, None)
    found: dict[str, float | None] = {}
    if expected is None and len(workers) < 2:
        return found
    for worker in workers:
        worker.answer(folder / "answer.npy", rows)
        answer = np.load(folder / "answer.npy", allow_pickle=True)
        if expected is None:
            expected = answer
        found[worker.name] = share_equal(answer, expected)
    return found


def share_equal(answer, expected):
    """Of an array's numbers, the share that are equal to a millionth; none of one of another shape."""
    if answer.dtype == object or answer.shape != expected.shape:
        return 0.0
    return float(np.isclose(answer, expected, rtol=1e-6, atol=1e-6).mean()) if expected.size else 1.0
