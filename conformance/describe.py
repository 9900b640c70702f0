"""Ask a backend who it is, in a process of its own: `python -m frcnn.conformance.describe NAME DEVICE`.

The suite's own process thus never imports a framework, and a backend that cannot be loaded stops the run before it
begins. The two small calls make a backend that compiles on first use do so now, apart from the time of the tests.
"""

import json
import subprocess
import sys

import numpy as np

from frcnn import backends


def describe(name: str, device: str) -> dict:
    """{"name", "version", "executed"} of a backend, from a child process.

    Raises backends.UnknownBackend or backends.UnavailableBackend with the backend's own sentence.
    """
    child = subprocess.run(
        [sys.executable, "-m", __name__, name, device], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    try:
        answer = json.loads(child.stdout.splitlines()[-1])
    except (IndexError, json.JSONDecodeError):
        last = "\n".join(child.stderr.splitlines()[-5:])
        raise backends.UnavailableBackend(f"backend {name} died while loading ({child.returncode}):\n{last}") from None
    if error := answer.get("error"):
        raise getattr(backends, answer["kind"])(error)
    return answer


def _main(name, device):
    try:
        backend = backends.load(name, device)
        _warm_up(backend)
    except (backends.UnknownBackend, backends.UnavailableBackend) as error:
        answer = {"kind": type(error).__name__, "error": str(error)}
    else:
        answer = {"name": backend.name, "version": backend.version, "executed": backend.executed}
    print(json.dumps(answer))


def _warm_up(backend):
    rois = np.array([[0, 0, 0, 1, 1]], np.float32)
    try:
        _, argmax = backend.roi_pool(np.ones((1, 1, 2, 2), np.float32), rois, (1, 1))
        backend.roi_pool_backward(np.ones((1, 1, 1, 1), np.float32), argmax, rois, (1, 1, 2, 2))
    except backends.Missing:
        pass  # an outcome that the tests will record


if __name__ == "__main__":
    _main(*sys.argv[1:])
