"""`frcnn bench`: how fast, beside what a user would pick instead."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import click

from frcnn.extras import needs
from frcnn.late_help import LateHelp
from frcnn.machine import commit, machine
from frcnn.page_help import link, of_files, put
from frcnn.repro_help import twice

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


_WRITES = """Writes OUT.json and OUT.md.

Exits with 1 where a library does not start, with nothing written, or fails on the way, with all else written and the
failure named; 2 where the request was wrong. Answers that differ are named, and are no failure."""


def _module(benchmark: str) -> ModuleType:
    return importlib.import_module(f"frcnn.benchmarks.{benchmark.replace('-', '_')}")


def _named(names: Iterable[str]) -> str:
    """Names as a list; some of modes and cases have commas and blanks in them."""
    return "; ".join(names)


def _cases(own: ModuleType) -> str:
    default = "all" if set(own.DEFAULT) == set(own.CASES) else _named(own.DEFAULT)
    return f"{_named(own.CASES)}. More than once.  [default: {default}]"


def _modes(own: ModuleType) -> str:
    return f"{_named(own.MODES)}. More than once.  [default: all]"


def _libraries(own: ModuleType) -> str:
    peers = ", or one of --peer" if own.PEERS else ""
    return f"{_named(own.HERE)}{peers}. More than once.  [default: all]"


def _peers(own: ModuleType) -> str | None:
    """None where no peer takes part; it is named and left out then, since `nox -s bench` gives its peers to all."""
    return f"{_named(own.PEERS)}, and the Python that has it. More than once." if own.PEERS else None


def _devices(own: ModuleType) -> str:
    return f"What libraries run on; on cuda: {_named(own.ON_CUDA)}."


@click.group()
def bench() -> None:
    """Time frcnn beside other libraries: the same inputs, in one run, and the machine's own limit."""


def _timing(benchmark: str, help: str) -> None:
    """Add the command of one benchmark."""

    def told(part: Callable[[ModuleType], str | None]) -> dict[str, Any]:
        """For an option's help: the part of the benchmark's module that it tells."""
        return {"cls": LateHelp, "tells": lambda: part(_module(benchmark))}

    @bench.command(benchmark, help=f"{help}\n\n{_WRITES}")
    @click.option("--case", "cases", multiple=True, **told(_cases))
    @click.option("--mode", "modes", multiple=True, **told(_modes))
    @click.option("--library", "libraries", multiple=True, **told(_libraries))
    @click.option("--peer", "peers", type=_Peer(), multiple=True, **told(_peers))
    @click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True, help="That a library may use.")
    @click.option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, **told(_devices))
    @click.option(
        "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="In each, every library is timed."
    )
    @click.option(
        "--out",
        type=_FILE,
        default=Path("reports") / f"bench-{benchmark}",
        show_default=True,
        help="Without an ending.",
    )
    @needs("bench")
    def command(**options) -> None:
        _run(benchmark, **options)

    if benchmark == "roi-pool":
        in_turn = "Let the cases take turns, one library after the other: for ratios of cases."
        click.option("--cases-in-turn", is_flag=True, help=in_turn)(command)
        growth = "Let R, C, P and the map grow instead, and fit exponents; writes OUT.png and OUT.svg too."
        click.option("--growth", is_flag=True, help=growth)(command)


_timing("roi-pool", "RoI pooling: forward for inference and for training, and backward.")
_timing("nms", "Non-maximum suppression: one image's boxes of all classes.")
_timing("loss", "The multi-task loss with its gradients.")
_timing("svd", "Truncated SVD of the first fully connected layer.")
_timing("train-step", "A whole step of training, ours alone.")
_timing("detect", "One photograph from pixels to detections, ours alone.")


@bench.command()
@of_files("results")
@needs("bench")
def page(results, into) -> None:
    """The page on performance, of files that the other commands wrote: RESULTS.

    Exits with 1 where one holds no results, 2 where the request was wrong.
    """
    from frcnn.benchmarks.page import InvalidResults, read
    from frcnn.benchmarks.page import page as made

    if again := twice([file.stem for file in results]):
        raise click.UsageError(f"two files are named {again}, by which the page knows them; give one another name")
    try:
        found = {file.stem: read(file) for file in results}
    except InvalidResults as error:
        raise click.ClickException(str(error)) from error
    plots = {file.stem: file.with_suffix(".png") for file in results}
    put(made(found, {name: link(plot, into) for name, plot in plots.items() if plot.exists()}), into)


def _run(
    benchmark, cases, modes, libraries, peers, threads, device, rounds, out, cases_in_turn=False, growth=False
) -> None:
    from rich.console import Console

    from frcnn.benchmarks import growth as growing
    from frcnn.benchmarks.measure import COPY, measure
    from frcnn.benchmarks.table import as_markdown
    from frcnn.benchmarks.worker import WorkerError

    console = Console(stderr=True)
    own = _module(benchmark)
    if again := twice([name for name, _ in peers]):
        raise click.UsageError(f"two Pythons are given for {again}")
    if growth and (cases or cases_in_turn):
        raise click.UsageError("--growth has cases of its own, too many to be held side by side: no --case, no turns")
    cases, modes = dict.fromkeys(cases), tuple(dict.fromkeys(modes))
    there = dict.fromkeys((COPY, *own.HERE), sys.executable) | dict(peers)
    for given, known in ((cases, own.CASES), (modes, own.MODES), (libraries, [name for name in there if name != COPY])):
        if unknown := [name for name in given if name not in known]:
            raise click.UsageError(f"{unknown[0]!r} is none of {'; '.join(known)}")
    axes = own.GROWTH if growth else {"": [own.CASES[name] for name in cases or own.DEFAULT]}
    pythons = {name: there[name] for name in (COPY, *libraries)} if libraries else there
    able = {COPY, *(own.ON_CUDA if device == "cuda" else (*own.HERE, *own.PEERS))}
    if left_out := [name for name in pythons if name not in able]:
        console.print(f"{', '.join(left_out)}: no part in {benchmark} on {device}", highlight=False)
    pythons = {name: python for name, python in pythons.items() if name in able}
    if not set(pythons) - {COPY}:
        raise click.UsageError(f"nothing is left to measure {benchmark} with")
    head = {
        "benchmark": own.TITLE,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "load": os.getloadavg()[0],
    }
    try:  # what cannot be written is known before anything is measured
        out.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out.parent).close()
    except OSError as error:
        raise click.UsageError(f"--out: {error}") from error
    if out.name in ("", ".."):
        raise click.UsageError(f"--out must end in a name for the files, got {out}")
    out = out.with_name(out.name.removesuffix(".json"))  # what is behind any other dot belongs to the name
    try:
        chosen = [case for axis in axes.values() for case in axis]
        found = measure(pythons, chosen, modes or own.MODES, rounds, threads, console, device, cases_in_turn)
    except WorkerError as error:
        raise click.ClickException(str(error)) from error
    found = {**head, "device": device, "threads": threads, "rounds": rounds, "cases_in_turn": cases_in_turn, **found}
    if growth:
        names = {axis: {case.name for case in some} for axis, some in axes.items()}
        rows = {axis: [row for row in found["rows"] if row["case"]["name"] in names[axis]] for axis in axes}
        found["growth"] = growing.exponents(rows)
    Path(f"{out}.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    text = as_markdown(found)
    Path(f"{out}.md").write_text(text, encoding="utf-8")
    click.echo(text)
    if growth:
        growing.plot(out, rows)
    failed = [
        f"{row['library']} ({row['case']['name']}, {row['mode']}): {row['lacks']}"
        for row in found["rows"]
        if row["failed"]
    ]
    if wrong := [row for row in found["rows"] if row["agrees"] not in (None, 1)]:
        places = ", ".join(dict.fromkeys(f"{row['library']} ({row['case']['name']}, {row['mode']})" for row in wrong))
        click.echo(f"not all of the answers are the same: {places}", err=True)
    if failed:
        raise click.ClickException("not everything was measured:\n" + "\n".join(failed))
