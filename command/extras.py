"""What a command needs beyond click: an extra of the package, imported when it runs, and files within reach."""

from __future__ import annotations

import errno
import functools

import click


class Refused(click.ClickException):
    """What cannot be done as it was asked for; exits with 2, since 1 is some commands' verdict."""

    exit_code = 2


def needs(extra: str):
    """For a command's function, and the extra that it needs.

    A module that is not there is a usage error that says which extra to install. A file that cannot be read or written
    is an error in the system's own words, which name the path; so is a full disc, of which they name none. Any other
    OSError that names none has nothing to do with what was typed, and comes through as it is.
    """

    def decorated(command):
        @functools.wraps(command)
        def run(*arguments, **options):
            try:
                return command(*arguments, **options)
            except ModuleNotFoundError as error:
                raise click.UsageError(f"this needs {error.name}: pip install 'frcnn[{extra}]'") from error
            except OSError as error:
                if error.filename is None and error.errno != errno.ENOSPC:
                    raise
                raise Refused(str(error)) from error

        return run

    return decorated
