"""Ask a backend who it is, in a process of its own: `python -m frcnn.conformance.describe NAME DEVICE`.

The suite's own process thus never imports a framework, and a backend that cannot be loaded stops the run before it
begins. The two small calls make a backend that compiles on first use do so now, apart from the time of the tests.
"""

import json
import subprocess
import sys

import numpy as np

from frcnn import backends
from frcnn.conformance.report import is_release, schema

_MARK = "frcnn.conformance.describe: "  # a backend may print lines of its own, before and after


def describe(name: str, device: str) -> dict:
    """{"name", "version", "executed"} of a backend, from a child process.

    Raises backends.UnknownBackend or backends.UnavailableBackend with the backend's own sentence.
    """
    child = subprocess.run(
        [sys.executable, "-m", __name__, name, device],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",  # what a backend prints may be in any encoding
    )
    try:
        said = [line.removeprefix(_MARK) for line in child.stdout.splitlines() if line.startswith(_MARK)]
        answer = json.loads(said[-1])
    except (IndexError, json.JSONDecodeError):
        last = "".join(f"\n{line}" for line in child.stderr.splitlines()[-5:])
        ended = f"was killed by signal {-child.returncode}" if child.returncode < 0 else "ended its process"
        raise backends.UnavailableBackend(f"backend {name} {ended} while loading or at its first calls{last}") from None
    if error := answer.get("error"):
        raise getattr(backends, answer["kind"])(error)
    return answer


def _main(name, device):
    try:
        backend = backends.load(name, device)
        answer = _said_of_itself(name, backend)
        _warm_up(backend)
    except (backends.UnknownBackend, backends.UnavailableBackend) as error:
        answer = {"kind": type(error).__name__, "error": str(error)}
    print(f"\n{_MARK}{json.dumps(answer)}")


def _said_of_itself(name, backend):
    """What a report will say of the backend; a run whose report nobody could read is not begun."""
    said: dict[str, str] = {}
    for attribute in ("name", "version", "executed"):
        value = getattr(backend, attribute, None)
        if not isinstance(value, str) or not value:
            raise backends.UnavailableBackend(f"backend {name}: its {attribute} must be a text, got {value!r}")
        said[attribute] = value
    if not is_release(said["version"]):
        raise backends.UnavailableBackend(f"backend {name}: {said['version']!r} is no version of a release")
    known = schema()["oneOf"][0]["properties"]["backend"]["properties"]["executed"]["enum"]
    if said["executed"] not in known:
        raise backends.UnavailableBackend(
            f"backend {name}: executed must be one of {', '.join(known)}, got {said['executed']!r}"
        )
    return said


def _warm_up(backend):
    rois = np.array([[0, 0, 0, 1, 1]], np.float32)
    try:
        _, argmax = backend.roi_pool(np.ones((1, 1, 2, 2), np.float32), rois, (1, 1))
        backend.roi_pool_backward(np.ones((1, 1, 1, 1), np.float32), argmax, rois, (1, 1, 2, 2))
    except backends.UnavailableBackend:
        raise
    except Exception:
        pass  # the tests will find and record it


if __name__ == "__main__":
    _main(*sys.argv[1:])
