"""What the commands around frcnn.repro share."""

from __future__ import annotations


def proposals(recipe, split, file, console):
    """Those of the file, or where none was given the recipe's selective search."""
    from frcnn.repro.proposals import read_file
    from frcnn.repro.selective_search import selective_search

    if file is None:
        return selective_search(split, recipe.proposals, progress=console)
    return read_file(file, [photograph.id for photograph in split.photographs])
