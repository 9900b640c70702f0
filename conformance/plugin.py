"""The pytest plugin of the suite: which backend, what each test found, and the record of it.

Loaded by `frcnn conformance` alone, in a process of its own for each backend. A worker's tests write what they counted
into their reports' user properties, so that it survives the way back from pytest-xdist; the controller writes one line
of JSON a test as they come.
"""

import faulthandler
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import Flaky

from frcnn import backends
from frcnn.conformance.report import DIED, STUCK
from frcnn.conformance.subject import Broken, Nonconforming, Subject
from frcnn.reference.arguments import PROFILES

# A reason holds the lines that repeat a failure. Of one that is longer the beginning is kept, without half a line.
LONGEST_REASON = 100_000
BEGINNING = 2_000

# Variables by which pytest is told, in any project, what else to do.
PYTEST_S = ("PYTEST_ADDOPTS", "PYTEST_PLUGINS")

OPERATORS = Path(__file__).parent / "operators"

# Drawn for each property. Each costs Triton's interpreter a hundred times what it costs a kernel, so it gets fewer, and
# the report says how many; certify spares nobody.
EXAMPLES = {"quick": 25, "default": 200, "certify": 2000}
EXAMPLES_INTERPRETED = {"quick": 10, "default": 50, "certify": 2000}


@dataclass(frozen=True)
class Run:
    """One run of the suite on one backend; travels to pytest and its workers as JSON."""

    backend: str
    device: str
    effort: str
    examples: int
    clauses: tuple[str, ...]
    photographs: tuple[str, ...]
    no_photographs_because: str
    results: str
    examination: bool = False
    """Whether a mutant is examined: no time is spent on the smallest failing call."""
    call_limit: float | None = None
    """Seconds after which a call that has not ended ends its process."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Run":
        run = cls(**json.loads(text))
        return replace(run, clauses=tuple(run.clauses), photographs=tuple(run.photographs))


def arguments(run: Run, *files: str) -> list[str]:
    """pytest's, for a run of these files of operators/, or of all where none is named."""
    return [
        *(str(OPERATORS / file) for file in files or ("",)),
        *("--rootdir", str(OPERATORS), "-c", os.devnull, "-q", "--assert=plain", "--import-mode=importlib"),
        *("-p", "frcnn.conformance.plugin", "-p", "no:cacheprovider", "--frcnn-run", run.to_json()),
    ]


def pytest_addoption(parser):
    parser.addoption("--frcnn-run", help="the Run, as JSON")
    parser.addoption("--frcnn-plan", help="write the tests that were collected, with their clauses, to this file")


def pytest_configure(config):
    config.addinivalue_line("markers", "clause(*ids): the clauses of the spec that the test holds a backend to")
    config.frcnn_run = Run.from_json(config.getoption("--frcnn-run"))
    settings.register_profile(
        "frcnn",
        max_examples=config.frcnn_run.examples,
        derandomize=config.frcnn_run.effort == "certify",
        deadline=None,
        database=None,
        print_blob=True,
        # Shrinking finds the smallest failing call; explaining it again would only run the backend longer.
        phases=(
            Phase.explicit,
            Phase.generate,
            *(() if config.frcnn_run.examination else (Phase.target, Phase.shrink)),
        ),
        suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    )
    settings.load_profile("frcnn")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config.frcnn_run, config.pluginmanager))


def pytest_generate_tests(metafunc):
    given = {name for mark in metafunc.definition.iter_markers("parametrize") for name in _argnames(mark)}
    if "profile" in metafunc.fixturenames and "profile" not in given:
        metafunc.parametrize("profile", PROFILES)
    if "photograph" in metafunc.fixturenames:
        paths = metafunc.config.frcnn_run.photographs
        metafunc.parametrize("photograph", paths or [None], ids=[Path(path).stem for path in paths] or ["none"])


def _argnames(mark):
    names = mark.args[0]
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else names


def pytest_collection_modifyitems(config, items):
    wanted = set(config.frcnn_run.clauses)
    if wanted:
        kept = [item for item in items if wanted & set(clauses_of(item))]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def pytest_collection_finish(session):
    if plan := session.config.getoption("--frcnn-plan"):
        Path(plan).write_text(json.dumps([described(item) for item in session.items]))


def clauses_of(item) -> list[str]:
    """The clauses a test is marked with, in order, each once."""
    return list(dict.fromkeys(id for mark in item.iter_markers("clause") for id in mark.args))


def described(item) -> dict:
    """What is known of a test before it runs."""
    return {
        "test": item.nodeid,
        "group": item.path.stem.removeprefix("test_").replace("_", " "),
        "clauses": clauses_of(item),
        "profile": _profile_of(item),
    }


def _profile_of(item):
    """The profile under which a test asks, as a parameter of its own or in its call's options; None without."""
    given = item.callspec.params if hasattr(item, "callspec") else {}
    call = given.get("witness") or given.get("refusal")
    profile = given.get("profile") or getattr(call, "options", {}).get("profile")
    return profile if isinstance(profile, str) and profile in PROFILES else None


@pytest.fixture(scope="session")
def subject(request):
    run = request.config.frcnn_run
    backend = backends.load(run.backend, run.device)
    loading = f"load({run.backend!r})" if run.device == "cpu" else f"load({run.backend!r}, {run.device!r})"
    if run.call_limit is None:
        yield Subject(backend, loading)
        return
    with _last_words(run, request.config.workerinput["workerid"]).open("w") as file:
        yield Subject(backend, loading, partial(limited, run.call_limit, file))


@contextmanager
def limited(seconds: float, file: TextIO) -> Iterator[None]:
    """End the process where what is done here takes longer, and leave in the file where every thread stood."""
    faulthandler.dump_traceback_later(seconds, exit=True, file=file)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _last_words(run, worker):
    """Where a worker that was ended says what it was at."""
    return Path(f"{run.results}.{worker}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    item.funcargs["subject"].begin()
    if "photograph" in item.fixturenames and item.callspec.params["photograph"] is None:
        pytest.skip(item.config.frcnn_run.no_photographs_because)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    errors = [] if call.excinfo is None else single_errors(call.excinfo.value)
    errors.sort(key=lambda error: isinstance(error, backends.Missing))  # what failed tells more than what lacks
    report = yield
    found = {
        "outcome": report.outcome,
        "reason": None,
        "errors": [],
        "examples": 0,
        "worst_margin": None,
        "executed": None,
        "facts": {},
    }
    if subject := item.funcargs.get("subject"):
        found |= {"examples": subject.examples, "worst_margin": subject.worst_margin, "facts": subject.facts}
        found["executed"] = subject.backend.executed
    if errors:
        reasons = [_said(error, LONGEST_REASON // len(errors)) for error in errors]
        if isinstance(call.excinfo.value, Flaky):  # Hypothesis makes every failing call again
            reasons.insert(0, "The same call, made again, passed: the backend does not always answer alike.")
        found["reason"] = "\n".join(reasons)
        raised = [error.__cause__ if isinstance(error, Broken) else error for error in errors]
        found["errors"] = sorted({type(error).__name__ for error in raised})
        if all(isinstance(error, backends.Missing) for error in errors):
            found["outcome"], report.outcome, report.longrepr = (
                "missing",
                "skipped",
                (str(item.path), 0, found["reason"]),
            )
    if (shown := str(report.longrepr)) != _writable(shown):
        report.longrepr = _writable(shown)
    report.user_properties.append(("frcnn", found))
    return report


def _writable(text):
    """The text as a file can hold it: a lone surrogate is written out."""
    return text.encode(errors="backslashreplace").decode()


def _said(error, most):
    """Its sentence; its kind too where it is no word of ours, and may have no other."""
    ours = isinstance(error, (Nonconforming, backends.Missing, pytest.skip.Exception))
    text = _writable(str(error) if ours else f"{type(error).__name__}: {error}")
    return text if len(text) <= most else f"{text[:BEGINNING]}...\n(of {len(text)} characters)"


def single_errors(error) -> list[BaseException]:
    """The errors that Hypothesis found in one test: it raises several distinct ones as a group."""
    if isinstance(error, BaseExceptionGroup):
        return [single for part in error.exceptions for single in single_errors(part)]
    return [error]


class Recorder:
    """On the controller: one line of JSON a test, as the reports come."""

    def __init__(self, run: Run, plugins: pytest.PytestPluginManager):
        self.run, self.plugins = run, plugins

    def pytest_runtest_logreport(self, report):
        properties = dict(report.user_properties)
        if "frcnn" in properties and report.when != "call" and report.outcome == "passed":
            return
        # A worker that died leaves a report without properties.
        found = properties.get("frcnn") or {"outcome": "crashed", "reason": self._why_it_died(report)}
        line = {"test": report.nodeid, **found, "seconds": round(report.duration, 3)}
        with Path(self.run.results).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def _why_it_died(self, report):
        file = _last_words(self.run, report.node.gateway.id)
        stood = file.read_text(encoding="utf-8") if file.exists() else ""
        if not stood:
            return DIED
        terminal: Any = self.plugins.get_plugin("terminalreporter")
        terminal.write_line(f"{report.nodeid}\n{stood}")
        return STUCK.format(self.run.call_limit)
