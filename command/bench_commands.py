"""`frcnn bench`: how fast, beside what a user would pick instead."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from frcnn.extras import needs
from frcnn.machine import commit, machine

_FILE = click.Path(path_type=Path)


class _Peer(click.ParamType):
    """NAME=PYTHON, for --peer."""

    name = "name=python"

    def convert(self, value, param, ctx):
        from frcnn.benchmarks.worker import names

        name, _, python = value.partition("=")
        if name not in names() or not python:
            self.fail(f"{value!r} must be one of {', '.join(names())}, and the Python that has it", param, ctx)
        return name, python


@click.group()
def bench() -> None:
    """Time frcnn beside other libraries: the same inputs, in one run, and the machine's own limit."""


@bench.command("roi-pool")
@click.option("--case", "cases", multiple=True, help="A, B or dense; more than once.  [default: A and B]")
@click.option("--mode", "modes", multiple=True, help="inference, training, ...; more than once.  [default: all]")
@click.option("--library", "libraries", multiple=True, help="frcnn-torch, frcnn-tf; more than once.  [default: both]")
@click.option("--peer", "peers", type=_Peer(), multiple=True, help="A library, and the Python that has it.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="That a library may use.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--growth", is_flag=True, help="Let R, C, P and the map grow instead, and fit exponents.")
@click.option("--out", type=_FILE, default=Path("reports/bench-roi-pool"), show_default=True, help="Without an ending.")
@needs("bench")
def roi_pool(cases, modes, libraries, peers, threads, rounds, growth, out) -> None:
    """RoI pooling: forward for inference and for training, and backward.

    Writes OUT.json and OUT.md, with --growth also OUT.png and OUT.svg.
    """
    from rich.console import Console

    from frcnn.benchmarks import growth as growing
    from frcnn.benchmarks import roi_pool as benchmark
    from frcnn.benchmarks.cases import CASES, GROWTH
    from frcnn.benchmarks.table import as_markdown
    from frcnn.benchmarks.worker import WorkerError

    for given, known in ((cases, CASES), (modes, benchmark.MODES), (libraries, benchmark.OURS)):
        if unknown := [name for name in given if name not in known]:
            raise click.UsageError(f"{unknown[0]!r} is none of {', '.join(known)}")
    chosen = [case for axis in GROWTH.values() for case in axis] if growth else [CASES[n] for n in cases or ("A", "B")]
    ours = dict.fromkeys((benchmark.COPY, *(libraries or benchmark.OURS)), sys.executable)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        found = benchmark.measure(
            ours | dict(peers), chosen, modes or benchmark.MODES, rounds, threads, Console(stderr=True)
        )
    except WorkerError as error:
        raise click.ClickException(str(error)) from error
    head = {"benchmark": "RoI pooling", "started": started, "commit": commit(), "machine": machine()}
    found = {**head, "threads": threads, "rounds": rounds, **found}
    out.parent.mkdir(parents=True, exist_ok=True)
    text = as_markdown(found)
    out.with_suffix(".json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(text, encoding="utf-8")
    if growth:
        by_name = {case.name: axis for axis, own in GROWTH.items() for case in own}
        rows = {axis: [row for row in found["rows"] if by_name[row["case"]["name"]] == axis] for axis in GROWTH}
        growing.plot(out, rows)
    click.echo(text)
