"""`frcnn bench`: how fast, beside what a user would pick instead."""

from __future__ import annotations

import importlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from frcnn.extras import needs
from frcnn.machine import commit, machine

_FILE = click.Path(path_type=Path)
BENCHMARKS = ("roi-pool", "nms", "train-step")


class _Peer(click.ParamType):
    """NAME=PYTHON, for --peer."""

    name = "name=python"

    def convert(self, value, param, ctx):
        from frcnn.benchmarks.worker import names

        name, _, python = value.partition("=")
        if name not in names() or not python:
            self.fail(f"{value!r} must be one of {', '.join(names())}, and the Python that has it", param, ctx)
        return name, python


@click.command()
@click.argument("benchmark", type=click.Choice(BENCHMARKS))
@click.option("--case", "cases", multiple=True, help="More than once.  [default: the benchmark's own]")
@click.option("--mode", "modes", multiple=True, help="inference, training, ...; more than once.  [default: all]")
@click.option("--library", "libraries", multiple=True, help="frcnn-torch, frcnn-tf; more than once.  [default: both]")
@click.option("--peer", "peers", type=_Peer(), multiple=True, help="A library, and the Python that has it.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="That a library may use.")
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--growth", is_flag=True, help="roi-pool: let R, C, P and the map grow instead, and fit exponents.")
@click.option("--out", type=_FILE, help="Without an ending.  [default: reports/bench-BENCHMARK]")
@needs("bench")
def bench(benchmark, cases, modes, libraries, peers, threads, rounds, growth, out) -> None:
    """Time frcnn beside other libraries: the same inputs, in one run, and the machine's own limit.

    roi-pool: forward for inference and for training, and backward. nms: one image's boxes of all classes. train-step:
    a whole step of training, ours alone.

    Writes OUT.json and OUT.md, with --growth also OUT.png and OUT.svg.
    """
    from rich.console import Console

    from frcnn.benchmarks import growth as growing
    from frcnn.benchmarks.measure import COPY, measure
    from frcnn.benchmarks.table import as_markdown
    from frcnn.benchmarks.worker import WorkerError

    console = Console(stderr=True)
    own = importlib.import_module(f"frcnn.benchmarks.{benchmark.replace('-', '_')}")
    for given, known in ((cases, own.CASES), (modes, own.MODES), (libraries, own.OURS)):
        if unknown := [name for name in given if name not in known]:
            raise click.UsageError(f"{unknown[0]!r} is none of {', '.join(known)}")
    if growth and not hasattr(own, "GROWTH"):
        raise click.UsageError(f"{benchmark} has no --growth")
    axes = own.GROWTH if growth else {"": [own.CASES[name] for name in cases or own.DEFAULT]}
    pythons = dict.fromkeys((COPY, *(libraries or own.OURS)), sys.executable)
    for name, python in peers:
        if name in own.PEERS:
            pythons[name] = python
        else:
            console.print(f"{name} has no part in {benchmark}", highlight=False)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        chosen = [case for axis in axes.values() for case in axis]
        found = measure(pythons, chosen, modes or own.MODES, rounds, threads, console)
    except WorkerError as error:
        raise click.ClickException(str(error)) from error
    head = {"benchmark": own.TITLE, "started": started, "commit": commit(), "machine": machine()}
    found = {**head, "threads": threads, "rounds": rounds, **found}
    out = out or Path("reports") / f"bench-{benchmark}"
    out.parent.mkdir(parents=True, exist_ok=True)
    text = as_markdown(found)
    out.with_suffix(".json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    out.with_suffix(".md").write_text(text, encoding="utf-8")
    if growth:
        names = {axis: {case.name for case in some} for axis, some in axes.items()}
        rows = {axis: [row for row in found["rows"] if row["case"]["name"] in names[axis]] for axis in axes}
        growing.plot(out, rows)
    click.echo(text)
