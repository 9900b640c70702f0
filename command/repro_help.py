"""What the commands around frcnn.repro share."""

from __future__ import annotations

import os

import click


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


def proposals(recipe, split, file, console):
    """Those of the file, or where none was given the recipe's selective search."""
    from frcnn.repro.proposals import read_file
    from frcnn.repro.selective_search import selective_search

    if file is None:
        return selective_search(split, recipe.proposals, progress=console)
    return read_file(file, [photograph.id for photograph in split.photographs])
