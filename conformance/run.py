"""One run of the suite: which backends, on what, and the reports that come of it."""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from frcnn import cache, spec
from frcnn.backends import UnavailableBackend
from frcnn.conformance import photographs, report, summary
from frcnn.conformance.describe import describe
from frcnn.conformance.mutants import examination
from frcnn.conformance.plugin import EXAMPLES, EXAMPLES_INTERPRETED, PYTEST_S, Run, arguments
from frcnn.machine import processors

DEFAULT_BACKENDS = {"cpu": ("reference", "torch", "torch-triton", "tf"), "cuda": ("torch", "torch-triton")}
PHOTOGRAPHS = 20


class UnknownClause(LookupError):
    """No clause of the spec has this id."""


class SuiteEnded(RuntimeError):
    """The process that runs the suite ended before the suite did."""


@dataclass(frozen=True)
class Request:
    """What a person asked for, as `frcnn conformance` takes it."""

    backends: tuple[str, ...]
    effort: str = "default"
    device: str = "cpu"
    clauses: tuple[str, ...] = ()
    voc_root: Path | None = None
    weights: Path | None = None
    proposals: Path | None = None
    out: Path = Path("reports")
    seed: int | None = None
    call_limit: float = 300.0
    """Seconds: some two hundred times what Triton's interpreter takes for its longest call."""


def run_mutants(request: Request, console: Console) -> bool:
    """Have the suite examined by its mutants, those of the clauses asked for or all; whether each was killed.

    Raises UnknownClause before anything is written.
    """
    _check_clauses(request.clauses)
    return examination.examine(request.clauses, plan_of_the_suite(), request.out, console)


def run(request: Request, console: Console) -> bool:
    """Hold each backend to the spec, write its report and the index, print the table; whether all conform.

    Raises before anything is written: UnknownClause, backends.UnknownBackend, backends.UnavailableBackend,
    photographs.RealDataError. Raises SuiteEnded where a run was cut short, of which there is no report.
    """
    _check_clauses(request.clauses)
    with console.status("loading the backends, and compiling on first use"), ThreadPoolExecutor() as pool:
        answers = pool.map(describe, request.backends, repeat(request.device))
        described = dict(zip(request.backends, answers, strict=True))  # one that was named twice runs once
    files = [file_name(answer["name"]) for answer in described.values()]
    if twice := next((name for name in files if files.count(name) > 1), None):
        raise UnavailableBackend(f"the reports of two backends would both be {twice}.jsonl; give one another name")
    maps, real = _photographs(request, console)
    seed = _seed(request)

    request.out.mkdir(parents=True, exist_ok=True)
    reports, plan, examined = [], _plan(request, maps), examination.shipped()
    for name in described:
        executed = described[name]["executed"]
        examples = (EXAMPLES_INTERPRETED if executed == "interpreter" else EXAMPLES)[request.effort]
        started = report.now()
        asked = Run(
            name,
            request.device,
            request.effort,
            examples,
            request.clauses,
            maps,
            no_photographs_because=real.get("reason", ""),
            results="",
            call_limit=request.call_limit,
        )
        lines = _hold(asked, plan, described[name], seed, request.out, console)
        head = report.header(asked, described[name], plan, real, examined, seed, started)
        body = report.results(plan, lines)
        foot = report.footer(head, body)
        report.write(request.out / f"{file_name(described[name]['name'])}.jsonl", [head, *body, foot])
        reports.append((head, body, foot))
    (request.out / "index.md").write_text(summary.index(reports), encoding="utf-8")
    console.print(summary.table(reports), markup=False, highlight=False, soft_wrap=True)
    for line in summary.closing_lines(reports, request.out):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return all(foot["verdict"] == "passed" for _, _, foot in reports)


def plan_of_the_suite() -> list[dict]:
    """Every test with its clauses, as profile `quick` has them."""
    return _plan(Request((), effort=examination.EFFORT), maps=())


def _check_clauses(clauses):
    if unknown := [clause for clause in clauses if clause not in spec.clauses()]:
        raise UnknownClause(f"no clause is called {unknown[0]!r}; `frcnn spec list` names them all")


def file_name(backend_name: str) -> str:
    """A backend's name as the stem of its files."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in backend_name)


def _seed(request):
    """Hypothesis's; None where it draws the same examples always."""
    if request.effort == "certify":
        return None
    return random.SystemRandom().randrange(2**32) if request.seed is None else request.seed


def _photographs(request, console):
    """The prepared maps' paths, and what the header says of them."""
    if request.voc_root is None or request.weights is None:
        return (), {"reason": "no real input: --voc-root was not given"}
    with console.status("conv5_3 maps of photographs") as status:
        paths = photographs.prepare(
            request.voc_root,
            request.weights,
            request.proposals,
            count=PHOTOGRAPHS,
            cache=cache.folder("photographs"),
            progress=status.update,
        )
    return tuple(map(str, paths)), {"photographs": len(paths), "maps": [p.stem for p in paths]}


def _plan(request, maps):
    """The tests that are to run, the same ones for each backend; no backend is asked for here."""
    asked = Run("", request.device, request.effort, 1, request.clauses, maps, "", "")
    with tempfile.TemporaryDirectory() as folder:
        plan_file = Path(folder) / "plan.json"
        command = [*pytest_command(asked, seed=None), "--collect-only", f"--frcnn-plan={plan_file}"]
        planned = subprocess.run(command, capture_output=True, text=True, env=surroundings())
        if not plan_file.exists():
            raise RuntimeError(f"the suite could not be collected:\n{planned.stdout}{planned.stderr}")
        return json.loads(plan_file.read_text())


def _hold(asked, plan, described, seed, out, console):
    """What each test left behind on one backend."""
    with tempfile.TemporaryDirectory() as folder:
        asked = replace(asked, results=str(Path(folder) / "results.jsonl"))
        command = pytest_command(asked, seed)
        workers = min(processors(), 8)
        with (out / f"{file_name(described['name'])}.log").open("w") as log:
            distribution = ("-n", str(workers), "--dist", "worksteal", "--max-worker-restart", "1000")
            child = subprocess.Popen(
                [*command, *distribution], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=surroundings()
            )
            _watch(child, Path(asked.results), len(plan), described, console)
        if child.returncode not in (0, 1):  # pytest's for a suite that ran to its end
            raise SuiteEnded(
                f"{described['name']}: the suite ended early, with {child.returncode}; {log.name} says why"
            )
        results = Path(asked.results)
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    return lines


def surroundings() -> dict[str, str]:
    """The environment in which the suite runs.

    Every worker's threads wait asleep: spinning, they would take the processors that the others need. What a person
    has pytest do in other projects, such as leaving tests out, is not done here.
    """
    kept = {name: value for name, value in os.environ.items() if name not in PYTEST_S}
    return {"OMP_WAIT_POLICY": "PASSIVE", **kept}


def pytest_command(asked, seed):
    seeded = [] if seed is None else ["--hypothesis-seed", str(seed)]
    return [sys.executable, "-m", "pytest", *arguments(asked), *seeded]


def _watch(child, results, planned, described, console):
    """A progress line until the child ends; where the output is no terminal, one now and then."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    name = escape(f"{described['name']} ({described['executed']})")
    said = time.monotonic()
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(name, total=planned)
            while child.poll() is None:
                time.sleep(0.2)
                done = _count_lines(results)
                progress.update(task, completed=done)
                if not console.is_terminal and time.monotonic() - said > 15:
                    console.print(f"{name}: {done} of {planned} tests", highlight=False)
                    said = time.monotonic()
    finally:
        if child.poll() is None:
            child.terminate()


def _count_lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0
