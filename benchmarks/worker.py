"""The other end of workers/serve.py: a library in a process of its own, asked to prepare calls and to time them."""

import contextlib
import json
import os
import select
import signal
import subprocess
from importlib import resources
from pathlib import Path

PATIENCE = 600  # seconds that a worker may take for one answer: to prepare a call, or to make it a few times


class WorkerError(RuntimeError):
    """A worker that does not start, or that died; the sentence names it and what it said last."""


def names():
    """The libraries that there is a worker for."""
    folder = resources.files("frcnn.benchmarks.workers")
    found = (file.name for file in folder.iterdir())
    return sorted(name[5:-3].replace("_", "-") for name in found if name.startswith("with_") and name.endswith(".py"))


class Worker:
    """A library's worker, in a `with` block.

    name: of `names()`. python: the interpreter that has the library. threads: how many the library may use.
    log: a folder for what the library prints. device: "cpu" or "cuda", for the libraries on torch.

    `versions` is what it says of itself. Raises WorkerError naming it where it does not start, dies, or gives no answer
    for PATIENCE seconds; the process is ended then, and `prepare` begins another.
    """

    def __init__(self, name, python, threads, log, device="cpu"):
        self.name, self._made_with = name, (name, python, threads, log, device)
        self._start()

    def _start(self):
        _, python, threads, log, device = self._made_with
        file = resources.files("frcnn.benchmarks.workers") / f"with_{self.name.replace('-', '_')}.py"
        self.log = Path(log) / f"{self.name}.log"
        surroundings = {name: str(threads) for name in ("OMP_NUM_THREADS", "FRCNN_BENCH_THREADS")}
        surroundings["FRCNN_BENCH_DEVICE"] = device
        with self.log.open("w") as log_file:
            try:
                self._process = subprocess.Popen(
                    [str(python), str(file)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log_file,
                    text=True,
                    env={**os.environ, **surroundings},
                    start_new_session=True,  # what it starts ends with it
                )
            except OSError as error:
                raise WorkerError(f"worker {self.name} does not start: {python} is no Python here: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        try:
            self.versions = self._answer()["versions"]
        except BaseException:
            self.end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.end()

    def end(self):
        """End the process, and those that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):  # of a request that a dead process has not read
            self._requests.close()
        self._answers.close()

    def another(self):
        """A second worker like this one, which has done nothing yet."""
        return Worker(*self._made_with)

    def prepare(self, case_file, mode):
        """Have the call ready. Returns why the library has no such call, or None."""
        if self._process.poll() is not None:
            self.end()
            self._start()
        return self._ask(do="prepare", case=str(case_file), mode=mode).get("lacks")

    def time(self, calls):
        """Seconds of one call, the mean of so many."""
        return self._ask(do="time", calls=calls)["seconds"]

    def peak(self):
        """The most bytes held since the call was prepared, beside what was held then; or None."""
        return self._ask(do="peak")["bytes"]

    def answer(self, to, rows=None):
        """Make the call and have its result written, as .npy: these rows of it, or all."""
        self._ask(do="answer", to=str(to), rows=rows)

    def release(self):
        """Have nothing kept of the call."""
        self._ask(do="release")

    def _ask(self, **request):
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        except BrokenPipeError:
            self._fail()
        return self._answer()

    def _answer(self):
        if not select.select([self._answers], [], [], PATIENCE)[0]:
            self.end()
            raise WorkerError(f"worker {self.name} gave no answer for {PATIENCE} s")
        line = self._answers.readline()
        if not line:
            self._fail()
        try:
            return json.loads(line)
        except json.JSONDecodeError:
            self.end()
            raise WorkerError(f"worker {self.name} said {line.strip()!r} where an answer was due") from None

    def _fail(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)  # it has closed its end, and may be on its way out
        self.end()
        said = self.log.read_text(errors="replace").strip().splitlines()
        status = self._process.returncode
        raise WorkerError(f"worker {self.name} ended with status {status}: {said[-1] if said else 'it said nothing'}")
