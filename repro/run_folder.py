"""The folder of a training run: checkpoints, the last two kept, and a line of metrics for each iteration.

iteration_000100.safetensors    parameters, velocities and state after 100 updates; with .damaged behind it one that
                                could not be read when the run was resumed
metrics.jsonl                   one JSON object a line: iteration (from 1), losses, rate; seconds since the start, and
                                how many of them were spent waiting for minibatches
stopped_000123.npz              the minibatch at which a run stopped whose loss was no number or diverged
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from frcnn.repro import checkpoint

KEPT = 2
_NAME = re.compile(r"iteration_(\d{6,})\.safetensors")


class RunError(ValueError):
    """A run that cannot begin, go on or end as asked; the sentence says why and what to do."""


class RunFolder:
    """path: made if need be. begin() or resume() comes first, close() last."""

    def __init__(self, path):
        self.path = Path(path)
        self.metrics = self.path / "metrics.jsonl"
        self._file: Any = None  # open from begin() or resume() to close()

    def checkpoints(self):
        """(iteration, path) of each, the newest first."""
        found = [(match, file) for file in self.path.glob("*") if (match := _NAME.fullmatch(file.name))]
        return sorted(((int(match[1]), file) for match, file in found), reverse=True)

    def check_free(self):
        """Raises RunError where a run is there already."""
        if self.checkpoints() or self.metrics.exists():
            raise RunError(f"{self.path} holds a run already; resume it (--resume), or give another folder")

    def begin(self):
        """Take the folder for a run from its start. Raises RunError where one is there already."""
        self.check_free()
        self.path.mkdir(parents=True, exist_ok=True)
        self._file = self.metrics.open("a", encoding="ascii")

    def resume(self, note):
        """The arrays and the state of the newest checkpoint that is whole, and the lines of metrics up to it.

        note: takes a sentence about a checkpoint that is not, which is renamed: the run comes to its iteration again,
        and numbers decide which checkpoints are kept. Arrays and state are None where there is no checkpoint.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        for half in self.path.glob(".iteration_*"):  # of a run that was killed while it wrote
            half.unlink()
        arrays, state = None, None
        for number, file in self.checkpoints():
            try:
                found, said = checkpoint.load(file)
                if said.get("iteration") != number:
                    raise checkpoint.CheckpointError(f"{file} is of iteration {said.get('iteration')} by its state")
                arrays, state = found, said
                break
            except checkpoint.CheckpointError as error:
                damaged = file.rename(file.with_name(file.name + ".damaged"))
                note(f"left out, and now called {damaged.name}: {error}")
        lines = self._kept(state["iteration"] if state else 0)
        self._file = self.metrics.open("a", encoding="ascii")
        return arrays, state, lines

    def log(self, line):
        """Append a line of metrics."""
        self._file.write(json.dumps(line) + "\n")

    def save(self, arrays, state):
        """Write the checkpoint of state["iteration"], and delete those before the last two."""
        self._file.flush()  # or a resumed run might lack lines of before its checkpoint
        os.fsync(self._file.fileno())
        path = self.path / f"iteration_{state['iteration']:06d}.safetensors"
        checkpoint.save(path, arrays, state)
        for _, old in self.checkpoints()[KEPT:]:
            old.unlink()
        return path

    def save_batch(self, batch):
        """Write the minibatch of a run that stops; returns the file."""
        self._file.flush()
        path = self.path / f"stopped_{batch.number + 1:06d}.npz"
        names = ("number", "names", "scales", "images", "rois", "labels", "targets", "seed", "dropout")
        np.savez(path, allow_pickle=False, **{name: np.asarray(getattr(batch, name)) for name in names})
        return path

    def close(self):
        if self._file is not None:
            self._file.close()

    def _line(self, number, text):
        """A line of metrics, held to what a resumed run takes from it."""
        try:
            line = json.loads(text)
            right = line["iteration"] == number
            right &= all(isinstance(line[name], int | float) for name in ("loss", "seconds", "waited"))
        except (ValueError, TypeError, KeyError):
            right = False
        if not right:
            raise RunError(
                f"{self.metrics}, line {number}, is not of iteration {number}; give another folder to a new run"
            )
        return line

    def _kept(self, last):
        """The lines of the first `last` iterations, those after them cut off the file, which a kill may leave torn."""
        text = self.metrics.read_bytes() if self.metrics.exists() else b""
        kept = text.splitlines(keepends=True)[:last]
        lines = [self._line(number, line) for number, line in enumerate(kept, 1)]
        if len(lines) < last:
            raise RunError(f"{self.metrics} lacks lines of iterations before {last}; give another folder to a new run")
        if text:
            os.truncate(self.metrics, sum(map(len, kept)))
        return lines
