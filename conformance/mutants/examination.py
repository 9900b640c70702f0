"""The suite examined: every mutant is to be failed, by a test of the clause that it violates.

Only that clause's tests run, with the examples of profile `quick`, drawn without chance, so that the outcome is the
same wherever the suite is installed; in an editable install Hypothesis also draws constants that it finds in our
sources, and draws otherwise. A mutant is killed by a test that finds a wrong answer (Nonconforming); one that merely
breaks (NameError, IndexError) has shown nothing, and counts as broken. Survivors and broken ones fail the examination.
"""

import contextlib
import importlib.resources
import io
import json
import multiprocessing
import tempfile
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tabulate import tabulate

from frcnn.conformance import report
from frcnn.conformance.mutants import Mutant, mutants
from frcnn.conformance.plugin import EXAMPLES, Run, arguments
from frcnn.conformance.subject import Nonconforming
from frcnn.machine import processors

EFFORT = "quick"


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
        ProcessPoolExecutor(processors(), mp_context=multiprocessing.get_context("spawn")) as pool,
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


def attempt(mutant: Mutant, files: list[str]) -> dict:
    """One row of the kill matrix: the tests of the mutant's clause, and those of them that failed it."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.jsonl"
        backend = f"frcnn.conformance.mutants:{mutant.id}"
        run = Run(backend, "cpu", EFFORT, EXAMPLES[EFFORT], (mutant.clause,), (), "", str(results), examination=True)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            pytest.main(arguments(run, *files))
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    failed = [line for line in lines if line["outcome"] == "failed"]
    killers = [line["test"] for line in failed if set(line["errors"]) == {Nonconforming.__name__}]
    broken = sorted({error for line in failed for error in line["errors"]} - {Nonconforming.__name__})
    return {
        "mutant": mutant.id,
        "clause": mutant.clause,
        "fault": mutant.fault,
        "outcome": "killed" if killers else "broken" if broken else "survived",
        "tests": len([line for line in lines if line["outcome"] != "skipped"]),
        "killed_by": sorted(killers),
        "errors": broken,
    }


def shipped() -> dict:
    """The kill matrix that came with this suite, as a report's header holds it; the reason where there is none."""
    file = importlib.resources.files("frcnn.conformance.mutants").joinpath(report.KILLS)
    kept = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if kept.get("suite") != report.suite_digest():
        return {"reason": "this suite differs from the one whose mutants were run: frcnn conformance --mutants"}
    fields = ("mutant", "clause", "fault", "outcome", "tests")
    matrix = [{name: row[name] for name in fields} | {"killed_by": len(row["killed_by"])} for row in kept["mutants"]]
    return {"examples": kept["examples"], "matrix": matrix}


def closing_lines(rows) -> list[str]:
    """The survivors and the broken ones in a table, and the sum."""
    left = [
        {"mutant": row["mutant"], "clause": row["clause"], "outcome": row["outcome"], "why": ", ".join(row["errors"])}
        for row in rows
        if row["outcome"] != "killed"
    ]
    killed = sum(row["outcome"] == "killed" for row in rows)
    return [*([tabulate(left, headers="keys"), ""] if left else []), f"{killed} of {len(rows)} mutants killed"]
