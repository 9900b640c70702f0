"""Help that is made of the code of which it tells: imported when the help is asked for, and not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


class LateHelp(click.Option):
    """An option whose help is what `tells` returns when it is shown; an option of which it returns None is not shown.

    What is not shown is taken all the same.
    """

    def __init__(self, *names: Any, tells: Callable[[], str | None], **attributes: Any) -> None:
        super().__init__(*names, **attributes)
        self._tells = tells

    def get_help_record(self, ctx):
        self.help = self._tells()
        return None if self.help is None else super().get_help_record(ctx)
