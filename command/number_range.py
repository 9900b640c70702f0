"""A number on the command line, between two others."""

from __future__ import annotations

import math

import click


class NumberRange(click.FloatRange):
    """A number within the range, which click takes NaN to be, as it is neither below nor above."""

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is no number from {self.min:g} to {self.max:g}.", param, ctx)
        return number
