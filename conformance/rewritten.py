"""The same call, written in other ways: how an array lies in memory and what class a number has say nothing.

None of this is new input. A backend that reads memory in place of an array, or takes Python's floats alone, is told.
"""

import numpy as np

from frcnn.conformance.cases import apart


def ways(arguments):
    """Each other way to write a call's arguments, a tuple of any depth: equal arguments, a list of tuples."""
    found = ([_rewritten(argument, way) for argument in arguments] for way in _WAYS)
    return [
        tuple(others)
        for others in found
        if any(other is not argument for other, argument in zip(others, arguments, strict=True))
    ]


def _rewritten(value, way):
    """The value itself where the way changes nothing of it."""
    if type(value) not in (tuple, list):
        return way(value)
    others = [_rewritten(one, way) for one in value]
    if all(other is one for other, one in zip(others, value, strict=True)):
        return value
    return type(value)(others)


def _columns_first(value):
    return np.asfortranarray(value) if isinstance(value, np.ndarray) and value.ndim > 1 else value


def _apart(value):
    return apart(value) if isinstance(value, np.ndarray) and value.ndim else value


def _int32(value):
    """Arrays of int64 as int32, where it holds their numbers."""
    fits = isinstance(value, np.ndarray) and value.dtype == np.int64 and (np.abs(value) < 2**31).all()
    return value.astype(np.int32) if fits else value


def _of_numpy(value):
    return {int: np.int64, float: np.float64}.get(type(value), lambda same: same)(value)


def _narrow(value):
    """Python's numbers as NumPy's of 32 bits, where these hold them."""
    if type(value) is int and abs(value) < 2**31:
        return np.int32(value)
    return np.float32(value) if type(value) is float and float(np.float32(value)) == value else value


def _integer(value):
    """Python's floats that are whole as its integers; -0.0 is none."""
    whole = type(value) is float and value.is_integer() and not (value == 0 and np.signbit(value))
    return int(value) if whole else value


_WAYS = (_columns_first, _apart, _int32, _of_numpy, _narrow, _integer)
