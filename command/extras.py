"""What a command needs beyond click: an extra of the package, imported when the command runs."""

from __future__ import annotations

import functools

import click


def needs(extra: str):
    """For a command's function: a module that is not there is a usage error that says which extra to install."""

    def decorated(command):
        @functools.wraps(command)
        def run(*arguments, **options):
            try:
                return command(*arguments, **options)
            except ModuleNotFoundError as error:
                raise click.UsageError(f"this needs {error.name}: pip install 'frcnn[{extra}]'") from error

        return run

    return decorated
