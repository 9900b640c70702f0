"""`frcnn report`: conformance reports verified, and made into a table or a page."""

from __future__ import annotations

import re
from pathlib import Path

import click

from frcnn.extras import needs
from frcnn.page_help import of_files, put

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group()
def report() -> None:
    """Read conformance reports."""


@report.command()
@click.argument("files", nargs=-1, required=True, type=_FILE)
@needs("conformance")
def verify(files) -> None:
    """Check that each FILE is a whole, unaltered report, and say what it found.

    Exits with 1 and names the fault of the first one that is not, 2 where the request was wrong. A verdict of failed
    is no fault of the report.
    """
    from frcnn.conformance.report import scope

    for file, (head, _, foot) in zip(files, _read(files), strict=True):
        backend = head["backend"]
        click.echo(
            f"{file}: {backend['name']} ({backend['version']}) {foot['verdict']}{scope(head)}, {foot['counts']}, "
            f"id {foot['id']}"
        )


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

    try:
        yield from map(read, files)
    except InvalidReport as error:
        raise click.ClickException(f"{type(error).__name__}: {error}") from error
