"""`frcnn proposals`: boxes in which to look for objects, made, and measured against the objects that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from frcnn.extras import needs

_FILE = click.Path(path_type=Path)
_SPLIT = [
    click.option("--voc-root", type=_FILE, required=True, help="A VOCdevkit folder, which holds VOC2007 or the like."),
    click.option("--year", default="2007", show_default=True, help="The part of the folder's name after VOC."),
    click.option("--class", "classes", multiple=True, metavar="NAME", help="More than once.  [default: VOC's 20]"),
    click.option(
        "--bad",
        type=click.Choice(["error", "skip"]),
        default="error",
        show_default=True,
        help="What becomes of a photograph with a fault: the end, or it is left out and named.",
    ),
]


def _of_a_split(command):
    for option in reversed(_SPLIT):
        command = option(command)
    return command


@click.group()
def proposals() -> None:
    """Boxes in which Fast R-CNN looks for objects."""


@proposals.command()
@_of_a_split
@click.option("--split", "names", multiple=True, required=True, metavar="NAME", help="train, val, ...; more than once.")
@click.option(
    "--mode", type=click.Choice(["fast", "quality"]), default="fast", show_default=True, help="Selective search's."
)
@click.option("--workers", type=click.IntRange(min=1), help="How many processes.  [default: one for each processor]")
@click.option("--cache", type=_FILE, help="Folder for each photograph's boxes.  [default: the user's cache]")
@click.option("--out", type=_FILE, required=True, help="The .npz to write.")
@needs("repro")
def make(voc_root, year, classes, bad, names, mode, workers, cache, out) -> None:
    """Selective search in every photograph of the splits, into one .npz.

    Stopped and started again, it goes on where it was. Exits with 1 where a split has a fault, 2 where the request was
    wrong or OUT cannot be written.
    """
    from rich.console import Console

    from frcnn.repro.proposals import ProposalsError, write_npz
    from frcnn.repro.selective_search import selective_search
    from frcnn.repro.voc import DevkitError

    found: dict[str, Any] = {}
    try:
        for name in names:
            split = _read(voc_root, year, name, classes, bad)
            found |= selective_search(split, mode, workers=workers, cache=cache, progress=Console(stderr=True))
        write_npz(out, found)
    except (DevkitError, ProposalsError) as error:
        raise click.ClickException(str(error)) from error
    boxes = sum(len(of_one) for of_one in found.values())
    click.echo(f"{out}: {boxes} boxes of {len(found)} photographs, {boxes / max(len(found), 1):.0f} a photograph")


@proposals.command()
@_of_a_split
@click.option("--split", "name", required=True, metavar="NAME", help="train, val, ...")
@click.option("--proposals", "file", type=_FILE, required=True, help=".npz, or the original's .mat")
@click.option("--plot", type=_FILE, help="Draw recall over IoU here, .png or .svg.")
@needs("repro")
def recall(voc_root, year, classes, bad, name, file, plot) -> None:
    """The share of a split's objects that some proposal covers, at IoU .5 to .9, and average recall.

    Average recall is 2 times the integral of recall over IoU from .5 to 1 (arXiv:1502.05082). A class's line is of its
    objects that are not difficult.

    Exits with 1 where the split or the boxes have a fault, 2 where the request was wrong.
    """
    if plot is not None and plot.suffix.lower() not in (".png", ".svg"):
        raise click.UsageError(f"--plot {plot} must end in .png or .svg")
    from frcnn.repro import recall as measure
    from frcnn.repro.proposals import ProposalsError, of_split, read_file

    split = _read(voc_root, year, name, classes, bad)
    try:
        boxes = of_split(split, read_file(file, [[photograph.id for photograph in split.photographs]]))
        found = measure.recall(split, boxes)
    except ProposalsError as error:
        raise click.ClickException(str(error)) from error
    count = sum(map(len, boxes.values()))
    click.echo(
        f"{file}: {count} boxes of the {len(boxes)} photographs of {year} {name}, "
        f"{count / max(len(boxes), 1):.0f} a photograph\n\n{measure.table(found)}"
    )
    if plot is not None:
        measure.plot(plot, found, f"VOC {year} {name}, {count / max(len(boxes), 1):.0f} boxes a photograph")
        click.echo(f"\n{plot}: recall over IoU")


def _read(voc_root, year, name, classes, bad):
    """The split; what was left out is named on stderr."""
    from frcnn.repro.voc import VOC_CLASSES, DevkitError, read_split

    try:
        split = read_split(voc_root, year, name, classes=classes or VOC_CLASSES, bad=bad)
    except DevkitError as error:
        raise click.ClickException(str(error)) from error
    for photograph, reason in split.skipped:
        click.echo(f"left out: {photograph}: {reason}", err=True)
    return split
