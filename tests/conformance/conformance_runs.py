"""Runs of the suite as the tests of its machinery make them."""

import io

from rich.console import Console

from frcnn.conformance.report import read
from frcnn.conformance.run import Request, run


def run_suite(out, *backends, clauses=(), effort="quick", **options):
    """(whether all conform, the reports as read back and verified)."""
    console = Console(file=io.StringIO(), width=200)
    request = Request(backends=backends, effort=effort, clauses=clauses, out=out, seed=20150430, **options)
    conforms = run(request, console)
    return conforms, [read(path) for path in sorted(out.glob("*.jsonl"))]


def outcome_of(report):
    """The set of outcomes of a report's results."""
    return {result["outcome"] for result in report[1]}
