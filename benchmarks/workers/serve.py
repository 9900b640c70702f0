"""What every worker of `frcnn bench` does: it prepares calls of one library, makes them and times them, as it is told.

A worker runs in the Python that has its library, which needs NumPy and nothing of frcnn. It reads a JSON object a line
from standard input and answers each with one; what the library itself prints goes to standard error.

    {"do": "prepare", "case": FILE, "mode": NAME}   {} or {"lacks": WHY}     arrays of the .npz, a mode of the benchmark
    {"do": "time", "calls": N}                      {"seconds": S}           of one call, the mean of N
    {"do": "peak"}                                  {"bytes": B}             the most since before the call was prepared
    {"do": "answer", "to": FILE, "rows": [I, ...]}  {}                       of the call's result, these or all, as .npy
    {"do": "release"}                               {}                       nothing is kept of the case

The first line, before any request, is {"versions": {NAME: VERSION}}.
"""

import gc
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

THREADS = int(os.environ.get("FRCNN_BENCH_THREADS", "1"))
DEVICE = os.environ.get("FRCNN_BENCH_DEVICE", "cpu")


class Lacks(Exception):
    """The library has no such call; the sentence says why."""


def serve(versions, make, device=None):
    """Answer requests until standard input ends.

    versions: what is measured, name -> version. make: (case, mode) -> a function without arguments that makes the call
    and returns its result, an array or what np.asarray takes, once it is there. It raises Lacks.
    device: where calls are not over when they return, an object with `wait()`, and with `begin()` and `most()` for its
        own memory, as those of `Memory` below.
    """
    wait, memory = (device.wait, device) if device else (lambda: None, Memory())
    with os.fdopen(os.dup(1), "w", buffering=1) as answers:
        os.dup2(2, 1)
        print(json.dumps({"versions": versions}), file=answers)
        call: Any = None
        for line in sys.stdin:
            request = json.loads(line)
            answer = {}
            match request["do"]:
                case "prepare":
                    try:
                        call = _prepared(make, request, memory)
                    except Lacks as error:
                        answer = {"lacks": str(error)}
                case "time":
                    answer = {"seconds": timed(call, request["calls"], wait)}
                case "peak":
                    answer = {"bytes": memory.most()}
                case "answer":
                    found = np.asarray(call())
                    np.save(request["to"], found if request["rows"] is None else found[request["rows"]])
                case "release":
                    call = None
                    gc.collect()
            print(json.dumps(answer), file=answers)


def _prepared(make, request, memory):
    with np.load(request["case"]) as stored:
        case = {name: stored[name] for name in stored.files}
    memory.begin()
    return make({name: array if array.ndim else array.item() for name, array in case.items()}, request["mode"])


def timed(call, calls, wait):
    """Seconds of one call, the mean of so many. A result is let go of before the next call, as a loop would do."""
    wait()
    began = time.perf_counter()
    for _ in range(calls):
        call()
    wait()
    return (time.perf_counter() - began) / calls


class Memory:
    """What the process came to hold since it began to prepare a call; nothing is known where Linux does not tell."""

    before: int | None = None

    def begin(self):
        try:
            Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
            self.before = _status("VmRSS")
        except OSError:
            self.before = None

    def most(self):
        """In bytes, what was held then taken off."""
        return None if self.before is None else _status("VmHWM") - self.before


def _status(field):
    (kilobytes,) = re.findall(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return 1024 * int(kilobytes)
