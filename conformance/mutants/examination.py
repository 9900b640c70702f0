"""The suite examined: every mutant is to be failed, by a test of the clause that it violates.

Only that clause's tests run, with the examples of profile `quick`. A mutant is killed by a test that finds a wrong
answer (Nonconforming); one that merely breaks (NameError, IndexError) has shown nothing, and counts as broken.
Survivors and broken ones fail the examination.

What drawn examples alone find must be found in each of several draws, or it was luck. Their seeds are fixed, so that
the outcome is the same wherever the suite is installed; in an editable install alone Hypothesis draws otherwise, for it
takes constants from sources that it holds for one's own.
"""

import contextlib
import importlib.resources
import io
import json
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tabulate import tabulate

from frcnn.conformance import report
from frcnn.conformance.mutants import Mutant, mutants
from frcnn.conformance.plugin import EXAMPLES, PYTEST_S, Run, arguments
from frcnn.conformance.subject import Nonconforming
from frcnn.machine import processors

EFFORT = "quick"
SEEDS = (0, 1, 2)


def examine(clauses: tuple[str, ...], plan: list[dict], out: Path, console: Console) -> bool:
    """Run the mutants of these clauses, of all where none is named; write out/mutants.json; whether all were killed.

    plan: the tests of the suite with their clauses, as a run collects them.
    """
    asked = [mutant for mutant in mutants().values() if not clauses or mutant.clause in clauses]
    files = {
        mutant.id: sorted({t["test"].partition("::")[0] for t in plan if mutant.clause in t["clauses"]})
        for mutant in asked
    }
    found = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # A fresh interpreter each: nothing that pytest or Hypothesis keeps in this one may reach the mutants' tests.
    with (
        ProcessPoolExecutor(processors(), multiprocessing.get_context("spawn"), _leave_out_what_pytest_is_told) as pool,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("mutants", total=len(asked))
        jobs = {pool.submit(attempt, mutant, files[mutant.id]): mutant.id for mutant in asked}
        for number, job in enumerate(as_completed(jobs), 1):
            found[jobs[job]] = job.result()
            progress.update(task, completed=number)
            if not console.is_terminal and number % 50 == 0:
                console.print(f"mutants: {number} of {len(asked)}", highlight=False)
    rows = [found[mutant.id] for mutant in asked]
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"suite": report.suite_digest(), "examples": EXAMPLES[EFFORT], "mutants": rows}, indent=1) + "\n"
    (out / report.KILLS).write_text(text, encoding="utf-8")
    for line in closing_lines(rows):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(f"kill matrix: {out / report.KILLS}", markup=False, highlight=False, soft_wrap=True)
    return bool(rows) and all(row["outcome"] == "killed" for row in rows)


def _leave_out_what_pytest_is_told():
    for name in PYTEST_S:
        os.environ.pop(name, None)


def attempt(mutant: Mutant, files: list[str]) -> dict:
    """One row of the kill matrix: the tests of the mutant's clause, and those of them that failed it.

    It is of the first draw where a test failed that draws nothing; else of the first draw that killed nothing, or of
    the last. `draws` says how many there were.
    """
    for draws, seed in enumerate(SEEDS, 1):
        lines, drawing = _examined(mutant, files, seed)
        failed = [line for line in lines if line["outcome"] == "failed"]
        killers = {line["test"] for line in failed if set(line["errors"]) == {Nonconforming.__name__}}
        broken = sorted({error for line in failed for error in line["errors"]} - {Nonconforming.__name__})
        row = {
            "mutant": mutant.id,
            "clause": mutant.clause,
            "fault": mutant.fault,
            "outcome": "killed" if killers else "broken" if broken else "survived",
            "tests": len([line for line in lines if line["outcome"] != "skipped"]),
            "killed_by": sorted(killers),
            "errors": broken,
            "draws": draws,
        }
        if not killers or killers - drawing:
            break
    return row


def _examined(mutant, files, seed):
    """The results of the mutant's clause, and which of its tests draw their examples."""

    class Drawing:
        tests: frozenset[str] = frozenset()

        def pytest_collection_finish(self, session):
            self.tests = frozenset(item.nodeid for item in session.items if is_hypothesis_test(item.function))

    with tempfile.TemporaryDirectory() as folder:
        results, drawing = Path(folder) / "results.jsonl", Drawing()
        backend = f"frcnn.conformance.mutants:{mutant.id}"
        run = Run(backend, "cpu", EFFORT, EXAMPLES[EFFORT], (mutant.clause,), (), "", str(results), examination=True)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            pytest.main([*arguments(run, *files), "--hypothesis-seed", str(seed)], plugins=[drawing])
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    return lines, drawing.tests


def shipped() -> dict:
    """The kill matrix that came with this suite, as a report's header holds it; the reason where there is none."""
    file = importlib.resources.files("frcnn.conformance.mutants").joinpath(report.KILLS)
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if kept.get("suite") != report.suite_digest():
        return {"reason": "this suite differs from the one whose mutants were run: frcnn conformance --mutants"}
    fields = ("mutant", "clause", "fault", "outcome", "tests", "draws")
    matrix = [{name: row[name] for name in fields} | {"killed_by": len(row["killed_by"])} for row in kept["mutants"]]
    return {"examples": kept["examples"], "matrix": matrix}


def closing_lines(rows) -> list[str]:
    """The survivors and the broken ones in a table, and the sum."""
    left = [
        {name: row[name] for name in ("mutant", "clause", "outcome", "draws")} | {"why": ", ".join(row["errors"])}
        for row in rows
        if row["outcome"] != "killed"
    ]
    killed = [row for row in rows if row["outcome"] == "killed"]
    drawn = sum(row["draws"] > 1 for row in killed)
    by_drawing = f", {drawn} of them by drawn examples alone, in each of {len(SEEDS)} draws" if drawn else ""
    return [
        *([tabulate(left, headers="keys"), ""] if left else []),
        f"{len(killed)} of {len(rows)} mutants killed{by_drawing}",
    ]
