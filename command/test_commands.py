"""`frcnn test` and `frcnn detect`: what a trained network finds in a split, and in any picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from frcnn.extras import needs
from frcnn.number_range import NumberRange
from frcnn.repro_help import let_threads_sleep, twice, with_bad, with_proposals, with_svd

_FILE = click.Path(path_type=Path)
_BACKEND = click.option(
    "--backend", type=click.Choice(["torch", "tf"]), default="torch", show_default=True, help="Whose operators."
)
_DEVICE = click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="What the network runs on."
)


@click.command()
@click.argument("checkpoint", type=_FILE)
@click.argument("recipe")
@_BACKEND
@_DEVICE
@click.option("--voc-root", type=_FILE, required=True, help="A VOCdevkit folder, which holds VOC2007 or the like.")
@click.option("--year", help="The part of the folder's name after VOC.  [default: the recipe's data]")
@click.option("--split", "name", help="val, test, ...  [default: the recipe's test_set]")
@with_proposals
@with_bad
@click.option("--out", type=_FILE, required=True, help="Folder for files of detections, the table and the sheets.")
@with_svd
@needs("repro")
def test(checkpoint, recipe, backend, device, voc_root, year, name, proposals, bad, out, ranks) -> None:
    """Test CHECKPOINT, of `frcnn train`, with the test settings of RECIPE: instant, short, full, or a .toml file.

    With --svd fc6=1024 --svd fc7=256 it is tested twice: as it is, and into OUT/svd with these layers cut.

    Exits with 1 where the checkpoint, the split, the boxes or the backend cannot be used, 2 where the request was wrong
    or OUT cannot be written.
    """
    let_threads_sleep()

    from rich.console import Console

    from frcnn.backends import UnavailableBackend, load
    from frcnn.repro import model, testing
    from frcnn.repro.boxes import boxes_for
    from frcnn.repro.recipe import RecipeError, read_recipe
    from frcnn.repro.run import YEARS
    from frcnn.repro.test_folder import reasons_of, setting_of, write_test
    from frcnn.repro.voc import read_split

    console = Console(stderr=True)
    try:
        asked = read_recipe(recipe)
    except RecipeError as error:
        raise click.UsageError(str(error)) from error
    try:
        testing.check(backend, device)
        trained = model.read_model(checkpoint)
        cut = None
        if ranks:
            operators: Any = load(backend)
            cut = model.compressed(trained.network, trained.arrays, ranks, operators.truncated_svd)
        where = (voc_root, year or YEARS[asked.data], name or asked.test_set)
        split = read_split(*where, classes=trained.classes, bad=bad)
        for photograph, reason in split.skipped:
            click.echo(f"left out: {photograph}: {reason}", err=True)
        out.mkdir(parents=True, exist_ok=True)  # before anything takes long
        boxes, source = boxes_for([split], asked.proposals, proposals, console)

        def tested(network, arrays, folder, own, whole=None):
            found = testing.detect_split(network, arrays, split, boxes, asked, backend, console, device=device)
            setting = setting_of(trained, asked, split, own)
            table = write_test(
                folder, trained, split, found, setting, reasons_of(trained, asked, setting, source), whole
            )
            click.echo((folder / "results.md").read_text(encoding="utf-8"))
            return table

        whole = tested(trained.network, trained.arrays, out, {})
        if cut is not None:
            tested(*cut, out / "svd", ranks, whole)
    except (ValueError, UnavailableBackend) as error:  # ours are kinds of ValueError, each a sentence
        raise click.ClickException(str(error)) from error


@click.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--checkpoint", type=_FILE, required=True, help="Of `frcnn train`.")
@_BACKEND
@_DEVICE
@click.option("--least", type=NumberRange(0, 1), default=0.5, show_default=True, help="The lowest score shown.")
@click.option("--out", type=_FILE, default=Path("detections"), show_default=True, help="Folder for the pictures.")
@needs("repro")
def detect(images, checkpoint, backend, device, least, out) -> None:
    """Find objects in each IMAGE: print them, and draw them into OUT/IMAGE's name.png.

    A line beneath the drawn picture says which network, framework and seed found them.

    Proposals are selective search's, and the scale is that of the recipe of the training. Each picture is looked at for
    itself: there is no limit on the boxes of a class, as `frcnn test` has over a whole set.

    Exits with 1 where the checkpoint, an image or the backend cannot be used, 2 where the request was wrong.
    """
    let_threads_sleep()

    from rich.console import Console

    from frcnn.backends import UnavailableBackend

    if again := twice([image.stem for image in images]):
        raise click.UsageError(f"two images are named {again}, and would be one picture; take them one by one")
    given = {image.resolve() for image in images}
    for image in images:
        if (drawn := _drawn_in(out, image.stem)).resolve() in given:
            raise click.UsageError(
                f"{drawn} is one of the images, and would be drawn over; give another folder as --out"
            )
    try:
        _detect(images, checkpoint, backend, device, least, out, Console(stderr=True))
    except (ValueError, UnavailableBackend) as error:
        raise click.ClickException(str(error)) from error


def _detect(images, checkpoint, backend, device, least, out, console) -> None:
    import cv2
    import numpy as np

    from frcnn.repro import model, pictures, testing
    from frcnn.repro.selective_search import boxes_of
    from frcnn.repro.voc import Photograph, Split, decoded

    testing.check(backend, device)
    trained = model.read_model(checkpoint)
    pixels, photographs = {}, []
    for path in images:
        pixels[path.stem] = decoded(path)
        height, width = pixels[path.stem].shape[:2]
        photographs.append(Photograph(path.stem, path, width, height, ()))
    split = Split(Path(), "", "pictures", trained.classes, tuple(photographs), ())
    out.mkdir(parents=True, exist_ok=True)  # before anything takes long
    boxes = {name: boxes_of(picture, trained.recipe.proposals).astype(np.float32) for name, picture in pixels.items()}
    found = testing.detect_split(
        trained.network,
        trained.arrays,
        split,
        boxes,
        testing.unlimited(trained.recipe, boxes),
        backend,
        console,
        device=device,
        read=lambda photograph: pixels[photograph.id],
    )
    for index, photograph in enumerate(photographs):
        drawn = pictures.detections_of(found.by_class, index, least)
        path = _drawn_in(out, photograph.id)
        picture = pictures.captioned(pictures.draw(pixels[photograph.id], drawn), trained.title)
        if not cv2.imwrite(str(path), picture):
            raise click.ClickException(f"{path} cannot be written")
        click.echo(f"{photograph.path}: {len(drawn)} found, drawn in {path}")
        for one in drawn:
            click.echo(f"  {one.label}  {' '.join(f'{corner:.0f}' for corner in one.box)}")


def _drawn_in(out: Path, stem: str) -> Path:
    return out / f"{stem}.png"
