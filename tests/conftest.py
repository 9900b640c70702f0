import sys
from pathlib import Path

import click
import pytest

from frcnn.cli import main

# What tests share with those in tf/, which run in a process of their own.
for folder in ("composition", "conformance"):
    sys.path.insert(0, str(Path(__file__).parent / folder))


@pytest.fixture
def parsed(monkeypatch):
    """Of the words behind `frcnn`, the context of their command, which is not run; files that it reads need not be."""
    monkeypatch.setattr(click.Path, "convert", lambda self, value, param, ctx: Path(value))

    def context(words):
        command, names, rest = main, ["frcnn"], list(words)
        while isinstance(command, click.Group):
            names, command, rest = [*names, rest[0]], command.commands[rest[0]], rest[1:]
        return command.make_context(" ".join(names), rest)

    return context
