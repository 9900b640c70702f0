"""What the sampling refuses, and the sentence it refuses it with.

Clauses: roi-sampling.error-classes, roi-sampling.error-keys, roi-sampling.error-numbers, roi-sampling.error-thresholds.
"""

import numpy as np

from frcnn.reference.arguments import as_array, as_number


def as_classes(name, value, rows, least):
    """`value` as an integer array (rows,), none below `least`. Clause roi-sampling.error-classes."""
    classes = _as_row(name, value, rows, ("int32", "int64"))
    bad = np.flatnonzero(classes < least)
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}] is {classes[bad[0]]}; it must be at least {least}")
    return classes


def as_keys(name, value, rows):
    """`value` as an array (rows,) without NaN. Clause roi-sampling.error-keys."""
    keys = _as_row(name, value, rows, ("float32", "float64", "int32", "int64"))
    bad = np.flatnonzero(np.isnan(keys))
    if len(bad):
        raise ValueError(f"{name}[{bad[0]}] is NaN, which has no place in an order")
    return keys


def as_share(name, value):
    """`value` as a float in 0..1. Clauses roi-sampling.error-numbers, roi-sampling.error-thresholds."""
    number = as_number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must lie in 0..1, got {value!r}")
    return number


def as_thresholds(lo, hi, fg, kind):
    """The three in the overlaps' type `kind`. Clauses roi-sampling.error-thresholds, roi-sampling.thresholds."""
    named = (("bg_threshold_lo", lo), ("bg_threshold_hi", hi), ("fg_threshold", fg))
    numbers = [as_share(name, value) for name, value in named]
    for (name, _), lower, (upper_name, _), upper in zip(named, numbers, named[1:], numbers[1:], strict=False):
        if lower > upper:
            raise ValueError(f"{name} must be at most {upper_name}, got {lower} and {upper}")
    return [kind(number) for number in numbers]


def _as_row(name, value, rows, types):
    array = as_array(name, value)
    if array.shape != (rows,):
        raise ValueError(f"{name} must have shape ({rows},), got {array.shape}")
    if array.dtype.name not in types:
        raise TypeError(f"{name} must have one of the types {', '.join(types)}, got {array.dtype}")
    return array
