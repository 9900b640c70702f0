"""What the commands around frcnn.repro share."""

from __future__ import annotations

import os
from pathlib import Path

import click


def with_proposals(command):
    """The option --proposals."""
    text = """.npz, or the original's .mat; more than once, where a file has one list alone.  [default:
    selective_search_fast.npz, or whatever mode the recipe names, beside the VOCdevkit folder; where there is none,
    selective search]"""
    return click.option("--proposals", type=click.Path(path_type=Path), multiple=True, help=text)(command)


def with_bad(command):
    """The option --bad, of reading a split."""
    text = "What becomes of a photograph with a fault: the end, or it is left out and named."
    kinds = click.Choice(["error", "skip"])
    return click.option("--bad", type=kinds, default="error", show_default=True, help=text)(command)


def with_precision(command):
    """The option --precision, of training."""
    return click.option(
        "--precision",
        type=click.Choice(["float32", "tf32", "bfloat16"]),
        default="float32",
        show_default=True,
        help="Of training; tf32 and bfloat16, both with torch alone: faster on a GPU, and not the recipe's arithmetic.",
    )(command)


def with_svd(command):
    """The option --svd."""
    text = "Test also with this layer cut to T singular values, such as fc6=1024; more than once."
    return click.option("--svd", "ranks", type=Rank(), multiple=True, callback=_by_layer, help=text)(command)


def _by_layer(ctx, param, ranks):
    if again := twice([layer for layer, _ in ranks]):
        raise click.BadParameter(f"{again} is given twice", ctx, param)
    return dict(ranks)


def twice(names):
    """The first name that has been there before; None where there is none."""
    return next((name for position, name in enumerate(names) if name in names[:position]), None)


def let_threads_sleep() -> None:
    """Have OpenMP's threads wait asleep; a framework reads this when it is imported, so call it before.

    Spinning, as they do otherwise, they take the processors from the threads that make minibatches: two processes of
    two threads each on two processors took four times as long.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class Rank(click.ParamType):
    """LAYER=T, for --svd."""

    name = "layer=t"

    def convert(self, value, param, ctx):
        layer, _, rank = value.partition("=")
        if not (layer and rank.isdecimal() and int(rank)):
            self.fail(f"{value!r} must be a layer and how many singular values are kept, such as fc6=1024", param, ctx)
        return layer, int(rank)
