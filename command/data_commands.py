"""`frcnn data`: have photographs with annotations, published or made up, and check a devkit."""

from __future__ import annotations

from pathlib import Path

import click

from frcnn.extras import Refused, needs
from frcnn.repro_help import with_bad

_FOLDER = click.Path(path_type=Path, file_okay=False)


class _Unreachable(Refused):
    def show(self, file=None) -> None:
        click.echo(self.message, err=True)


@click.group()
def data() -> None:
    """Have photographs with annotations: PASCAL VOC, or made up; check a devkit."""


@data.command()
@click.option("--root", type=_FOLDER, required=True, help="Archives go to ROOT/archives, files to ROOT/VOCdevkit.")
@needs("repro")
def voc07(root) -> None:
    """Download PASCAL VOC 2007: trainval, test and the devkit's code.

    Exits with 1 where what came is not what was published, 2 where it cannot be had or ROOT cannot be written.
    """
    _fetch("voc07", root)


@data.command()
@click.option("--root", type=_FOLDER, required=True, help="Archives go to ROOT/archives, files to ROOT/VOCdevkit.")
@needs("repro")
def voc12(root) -> None:
    """Download PASCAL VOC 2012: trainval.

    Exits with 1 where what came is not what was published, 2 where it cannot be had or ROOT cannot be written.
    """
    _fetch("voc12", root)


@data.command("made-up")
@click.option("--root", type=_FOLDER, required=True, help="Files go to ROOT/VOCMadeUp.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of all that is drawn.")
@click.option("--train", type=click.IntRange(min=1), default=200, show_default=True, help="How many images to learn.")
@click.option("--val", type=click.IntRange(min=1), default=100, show_default=True, help="How many images to test on.")
@needs("repro")
def made_up(root, **options) -> None:
    """Write made-up images in a devkit's layout: no download, the same from the same seed.

    Exits with 2 where ROOT cannot be written or holds what was made otherwise.
    """
    from frcnn.repro import made_up as module

    try:
        folder = module.write_devkit(root, **options)
    except module.MadeUpError as error:
        raise click.UsageError(str(error)) from error
    click.echo(f"{folder}: {options['train']} images in train, {options['val']} in val")


@data.command()
@click.option("--voc-root", type=_FOLDER, required=True, help="A VOCdevkit folder.")
@click.option("--year", default="2007", show_default=True, help="What follows VOC in the folder's name: 2012, MadeUp.")
@click.option("--split", "name", default="trainval", show_default=True, help="A list in ImageSets/Main.")
@with_bad
@click.option("--check-images", is_flag=True, help="Decode every image, as --bad skip does; not only its header.")
@needs("repro")
def check(voc_root, year, name, bad, check_images) -> None:
    """Read a split and say what is in it, with its digest; with --bad skip, also what was left out and why.

    Exits with 1 and names the first fault where there is one, 2 where the request was wrong. With --bad skip a fault of
    one photograph is none of the split.
    """
    from frcnn.repro import made_up, voc

    classes = made_up.CLASSES if year == made_up.YEAR else voc.VOC_CLASSES
    try:
        split = voc.read_split(voc_root, year, name, classes=classes, bad=bad, check_images=check_images)
    except voc.DevkitError as error:
        raise click.ClickException(str(error)) from error
    for image_id, reason in split.skipped:
        click.echo(f"skipped {image_id}: {reason}")
    counts = split.counts()
    click.echo(f"{len(split.photographs)} photographs, {len(split.skipped)} skipped, {sum(counts.values())} objects")
    click.echo(", ".join(f"{name} {count}" for name, count in counts.items()))
    click.echo(f"digest {split.digest()}")


def _fetch(name: str, root: Path) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TimeRemainingColumn, TransferSpeedColumn

    from frcnn.repro import download

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    archives = download.ARCHIVES[name]
    bars = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
    tasks: dict[str, TaskID] = {}

    def progress(file: str, here: int, total: int | None) -> None:
        if file not in tasks:
            bars.start()
            tasks[file] = bars.add_task(file)
        bars.update(tasks[file], completed=here, total=total)

    try:
        fetched = [download.fetch(archive, root, progress) for archive in archives]
    except download.Unreachable as error:
        raise _Unreachable(_what_to_do(error, root, archives)) from error
    except download.DownloadError as error:
        raise click.ClickException(str(error)) from error
    finally:
        if tasks:
            bars.stop()
    for archive, found in zip(archives, fetched, strict=True):
        held = "as published" if found.verified else "not verified: no checksum of it is known"
        click.echo(f"{archive.file}: sha256 {found.sha256}, {held}")
    click.echo(f"{fetched[-1].devkit} is complete; {root / 'archives'} may be deleted")


def _what_to_do(error: Exception, root: Path, archives) -> str:
    """Three lines: what is wrong, what to do about it, what to do without."""
    urls = " ".join(archive.url for archive in archives)
    return (
        f"{error}\n"
        f"Run this again when there is a network, and it goes on from there; or bring {urls} to {root / 'archives'}.\n"
        f"Or do without: give --voc-root a VOCdevkit folder that you have, or run: frcnn data made-up --root {root}"
    )
