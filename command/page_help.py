"""What the commands share that make a page of files of results."""

from __future__ import annotations

import os
from pathlib import Path

import click


def of_files(name: str, pictures: bool = True):
    """Give a command the argument `name`, files that exist, and the option --into.

    pictures: whether the page shows some that lie beside the files.
    """
    linked = f" Pictures beside {name.upper()} are linked from there." if pictures else ""

    def add(command):
        command = click.option(
            "--into",
            type=click.Path(path_type=Path),
            help=f"Write the page here.{linked}  [default: standard output]",
        )(command)
        files = click.Path(path_type=Path, exists=True, dir_okay=False)
        return click.argument(name, nargs=-1, required=True, type=files)(command)

    return add


def link(path: Path, into: Path | None) -> str:
    """A path as the page `into` links to it; as seen from here where there is none."""
    return Path(os.path.relpath(path, into.parent if into else ".")).as_posix()


def put(text: str, into: Path | None) -> None:
    """Write the page, or show it where it has no file."""
    if into is None:
        click.echo(text)
    else:
        into.write_text(text, encoding="utf-8")
