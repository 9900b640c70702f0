"""`frcnn repro`: the paper trained and tested again, in one command."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from frcnn.extras import Refused, needs
from frcnn.page_help import link, of_files, put
from frcnn.repro_help import let_threads_sleep, twice, with_precision, with_proposals, with_svd

_FILE = click.Path(path_type=Path)
REMARKS = "remarks.md"  # beside a report, by hand: what is known of its data, say


@click.group()
def repro() -> None:
    """Train and test Fast R-CNN again, from photographs to a report beside the paper's figures."""


@repro.command()
@click.option(
    "--tier",
    type=click.Choice(["instant", "short", "full", "auto"]),
    default="auto",
    show_default=True,
    help="auto: full with a CUDA device, short without.",
)
@click.option(
    "--backend",
    "backends",
    type=click.Choice(["torch", "tf"]),
    multiple=True,
    help="More than once.  [default: both]",
)
@click.option("--voc-root", type=_FILE, help="A VOCdevkit folder; instant makes its own images.")
@click.option("--weights", type=_FILE, help="Pre-trained on ImageNet: .npz, .pth, .h5 or .caffemodel.")
@with_proposals
@click.option("--train-set", help="The list to train on: train, trainval, ...  [default: the recipe's]")
@click.option("--test-set", help="The list to test on: val, test, ...  [default: the recipe's]")
@click.option("--out", type=_FILE, help="A folder.  [default: reports/repro-voc07-TIER-TIME]")
@click.option("--resume", is_flag=True, help="Go on with what --out holds.")
@click.option("--seed", type=click.IntRange(min=0), help="Instead of the recipe's.")
@click.option("--iterations", type=click.IntRange(min=1), help="Instead of the recipe's.")
@with_svd
@with_precision
@click.option(
    "--conformance", type=_FILE, multiple=True, metavar="FILE", help="A backend's conformance report, to be named."
)
@needs("repro")
def voc07(tier, backends, out, resume, conformance, voc_root, weights, proposals, ranks, precision, **changes) -> None:
    """Train and test on PASCAL VOC 2007, or, in tier instant, on made-up images; write a report.

    Exits with 1 where a backend stays below the recipe's goal, 2 where the request was wrong, there are no data or the
    loss diverged, 130 where Ctrl-C stopped it, or SIGTERM while it trained.
    """
    if resume and out is None:
        raise click.UsageError("--resume goes on with a folder: give it as --out")
    let_threads_sleep()
    from rich.console import Console

    from frcnn.backends import UnavailableBackend
    from frcnn.repro import run as runs
    from frcnn.repro.recipe import RecipeError, read_recipe
    from frcnn.repro.results import per_cent

    console = Console(stderr=True)
    reports = tuple(_conformance(file) for file in conformance)
    try:
        devices = runs.devices_of(backends or runs.BACKENDS)
        tier, because, devices = runs.chosen_tier(tier, devices)
        recipe = read_recipe(tier, **{name: value for name, value in changes.items() if value is not None})
    except (UnavailableBackend, RecipeError) as error:
        raise click.UsageError(str(error)) from error
    console.print(because, highlight=False)
    folder = out or Path("reports") / f"repro-voc07-{tier}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    request = runs.Request(
        recipe=recipe,
        tier=tier,
        tier_because=because,
        devices=devices,
        out=folder,
        voc_root=voc_root,
        weights=weights,
        proposals=proposals,
        conformance=reports,
        resume=resume,
        ranks=ranks,
        precision=precision,
    )
    try:
        runs.check(request)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    try:
        footer = runs.run(request, console)
    except runs.NoData as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except runs.Interrupted as error:
        click.echo(str(error), err=True)
        sys.exit(130)
    except KeyboardInterrupt:
        click.echo(f"stopped; --resume --out {folder}", err=True)
        sys.exit(130)
    except (ValueError, UnavailableBackend) as error:
        raise Refused(str(error)) from error
    click.echo(f"{folder / 'report.md'}: {footer['verdict']}, report {footer['id'][:12]}")
    if footer["missed"]:
        click.echo(f"mean AP below the goal of {per_cent(recipe.goal_map)}: {', '.join(footer['missed'])}", err=True)
        sys.exit(1)


@repro.command()
@of_files("reports")
@needs("repro")
def page(reports, into) -> None:
    """The page on what was reproduced, of report.jsonl files: every run, the band over seeds, the frameworks apart.

    What stands in remarks.md beside a report is shown with it; last comes how tier full is run. Exits with 1 where a
    report was altered or cannot stand beside another, 2 where the request was wrong.
    """
    from frcnn.repro.page import SeedTwice
    from frcnn.repro.page import page as made
    from frcnn.repro.report import InvalidReport, read

    folders = [file.absolute().parent for file in reports]
    if again := twice([folder.name for folder in folders]):
        raise click.UsageError(f"two reports lie in a folder named {again}, and a run has its folder's name")
    try:
        found = {folder.name: read(file) for folder, file in zip(folders, reports, strict=True)}
        pictures = {folder.name: link(folder, into) for folder in folders if (folder / "losses.png").exists()}
        remarks = {folder.name: file.read_text("utf-8") for folder in folders if (file := folder / REMARKS).exists()}
        put(made(found, pictures, remarks), into)
    except (InvalidReport, SeedTwice) as error:
        raise click.ClickException(str(error)) from error


def _conformance(file: Path) -> dict:
    """What a reproduction's report says of a conformance report, which is checked first."""
    try:
        from frcnn.conformance.report import InvalidReport, read
    except ModuleNotFoundError as error:
        raise click.UsageError(f"--conformance needs {error.name}: pip install 'frcnn[conformance]'") from error
    try:
        head, _, foot = read(file)
    except (InvalidReport, OSError) as error:
        raise click.UsageError(f"--conformance {file}: {error}") from error
    backend = head["backend"]
    return {
        "backend": backend["name"],
        "version": backend["version"],
        "verdict": foot["verdict"],
        "id": foot["id"],
    }
