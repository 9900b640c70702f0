"""`frcnn report`: reports verified, and those of conformance made into a table or a page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click

from frcnn.extras import needs
from frcnn.page_help import of_files, put

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def report() -> None:
    """Verify reports; make tables and pages of those of conformance."""


@report.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@needs("conformance")
def verify(files) -> None:
    """Check that each FILE is a whole, unaltered report, and say what it found.

    Reports of conformance, reports/BACKEND.jsonl, and of a reproduction, report.jsonl of `frcnn repro`.

    Exits with 1 and names the fault of the first one that is not, 2 where the request was wrong. A verdict of failed
    is no fault of the report.
    """
    for file in files:
        click.echo(f"{file}: {_reproduction(file) if _is_of_repro(file) else _conformance(file)}")


def _conformance(file: Path) -> str:
    """What a conformance report found, and its id, once it is verified."""
    from frcnn.conformance.report import scope

    ((head, _, foot),) = _read([file])
    backend = head["backend"]
    verdict = f"{foot['verdict']}{scope(head)}"
    return f"{backend['name']} ({backend['version']}) {verdict}, {foot['counts']}, id {foot['id']}"


@needs("repro")
def _reproduction(file: Path) -> str:
    """The same of a reproduction's report."""
    from frcnn.repro.report import InvalidReport, read, runs_of
    from frcnn.repro.results import per_cent

    try:
        head, *lines = read(file)
    except InvalidReport as error:
        raise click.ClickException(str(error)) from error
    means = [
        f"{run['backend']} ({run['version']}) mean AP {per_cent(run['mean'][head['method']])}" for run in runs_of(lines)
    ]
    done = ", ".join([f"reproduction of tier {head['tier']}", f"seed {head['recipe']['seed']}", *means])
    return f"{done}: {lines[-1]['verdict']}, id {lines[-1]['id']}"


def _is_of_repro(file: Path) -> bool:
    """Whether it begins as a reproduction's report; what begins as none is left to the suite's reader to refuse."""
    with file.open("rb") as lines:
        try:
            head = json.loads(lines.readline())
        except ValueError:
            return False
    return isinstance(head, dict) and "tier" in head


@report.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--into", type=_FILE, help="Put it between this page's marks.  [default: standard output]")
@needs("conformance")
def table(files, into) -> None:
    """One line for each report: who, what ran, how much, the verdict, and what real input showed.

    Exits with 1 where a report is not whole and unaltered or the page has no marks, 2 where the request was wrong.
    """
    from frcnn.conformance import summary

    text = summary.verdicts(_by_name(files))
    if into is None:
        click.echo(text)
    else:
        try:
            page = summary.replaced(into.read_text(encoding="utf-8"), text)
        except ValueError as error:
            raise click.ClickException(f"{into}: {error}") from error
        into.write_text(page, encoding="utf-8")


@report.command()
@of_files("reports", pictures=False)
@click.option("--brief", is_flag=True, help="Verdicts, groups and clauses alone: the files have the rest.")
@needs("conformance")
def page(reports, into, brief) -> None:
    """The page that a run writes as index.md, of reports that were made one by one.

    Exits with 1 where a report is not whole and unaltered, 2 where the request was wrong.
    """
    from frcnn.conformance import summary

    text = summary.index(_by_name(reports))
    put(re.split(r"\n## (?:Suite|Not passed)", text)[0] if brief else text, into)


def _by_name(files):
    return sorted(_read(files), key=lambda lines: lines[0]["backend"]["name"])


def _read(files):
    from frcnn.conformance.report import InvalidReport, read

    if of_repro := next(filter(_is_of_repro, files), None):
        raise click.ClickException(f"{of_repro} is a reproduction's report: `frcnn repro page` makes a page of those")
    try:
        yield from map(read, files)
    except InvalidReport as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from error
