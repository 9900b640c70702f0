"""`frcnn train`: from photographs, annotations and proposals to a trained network."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from frcnn.extras import needs
from frcnn.machine import peak_memory
from frcnn.repro_help import let_threads_sleep, with_precision, with_proposals

_FILE = click.Path(path_type=Path)


@click.command()
@click.argument("recipe")
@click.option(
    "--backend", type=click.Choice(["torch", "tf"]), default="torch", show_default=True, help="Whose operators."
)
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="What the network runs on."
)
@with_precision
@click.option("--voc-root", type=_FILE, help="A VOCdevkit folder.  [default for made-up data: made in OUT/data]")
@click.option("--year", help="The part of the folder's name after VOC.  [default: the recipe's data]")
@click.option("--split", "name", help="train, val, ...  [default: the recipe's train_set]")
@with_proposals
@click.option("--weights", type=_FILE, help="Pre-trained: .npz, .pth, .h5 or .caffemodel.  [default: drawn weights]")
@click.option("--out", type=_FILE, required=True, help="Folder for checkpoints and metrics.")
@click.option("--resume", is_flag=True, help="Go on from OUT's newest whole checkpoint, or the start if there is none.")
@click.option("--iterations", type=click.IntRange(min=1), help="Instead of the recipe's.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True, help="That make minibatches.")
@click.option("--tensorboard", is_flag=True, help="Write events to OUT/tensorboard too.")
@needs("repro")
def train(recipe, name, voc_root, year, proposals, weights, out, iterations, **options) -> None:
    """Train as RECIPE says: instant, short, full, or the path of a .toml file.

    Ctrl-C or SIGTERM ends the iteration in hand and writes a checkpoint. Exits with 130 then; with 1 where the loss is
    no number or grows, when the minibatch is saved, and where data, weights, boxes or the backend cannot be used; 2
    where the request was wrong.
    """
    let_threads_sleep()
    from rich.console import Console

    from frcnn.backends import UnavailableBackend
    from frcnn.repro import training
    from frcnn.repro.boxes import boxes_for
    from frcnn.repro.proposals import ProposalsError
    from frcnn.repro.recipe import RecipeError, read_recipe
    from frcnn.repro.run import YEARS
    from frcnn.repro.voc import DevkitError

    console = Console(stderr=True)
    try:
        asked = read_recipe(recipe, **({} if iterations is None else {"iterations": iterations}))
    except RecipeError as error:
        raise click.UsageError(str(error)) from error
    if voc_root is None and asked.data != "made-up":
        raise click.UsageError(
            f"{recipe} trains on {asked.data}: give --voc-root; `frcnn data {asked.data}` fetches it"
        )
    try:
        asked_of = {name: options[name] for name in ("backend", "resume", "device", "precision")}
        training.check(asked, out, weights, **asked_of)  # before data are made
        split = _split(asked, voc_root or _made_up(asked, out), year or YEARS[asked.data], name or asked.train_set)
        first = training.first_parameters(asked, len(split.classes), weights)  # before boxes are made
        boxes, source = boxes_for([split], asked.proposals, proposals, console)
        beginning = training.prepare(asked, split, boxes, source, first)
        for line in training.in_words(beginning):
            console.print(line, highlight=False)
        ended = training.train(asked, beginning, out, console=console, **options)
    except (DevkitError, ProposalsError, ValueError, UnavailableBackend) as error:
        raise click.ClickException(str(error)) from error
    memory = peak_memory()
    click.echo(
        f"{ended.checkpoint}: {ended.iteration} iterations in {ended.seconds:.0f} s, "
        f"{ended.waited / ended.seconds:.1%} of the time spent waiting for minibatches"
        + (f"; {memory / 1e9:.1f} GB of memory at most" if memory else "")
    )
    if ended.interrupted:
        click.echo("interrupted; --resume goes on from there", err=True)
        sys.exit(130)


def _made_up(recipe, out):
    from frcnn.repro.made_up import write_devkit

    root = out / "data"
    write_devkit(root, seed=recipe.seed, train=recipe.made_up_train, val=recipe.made_up_val)
    return root


def _split(recipe, root, year, name):
    from frcnn.repro import made_up, voc

    classes = made_up.CLASSES if recipe.data == "made-up" else voc.VOC_CLASSES
    return voc.read_split(root, year, name, classes=classes)
