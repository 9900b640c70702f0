"""A checkpoint: names to arrays and what else a run must know to go on, in one safetensors file of no framework's own.

The state (iteration, random state, recipe) is JSON in the file's metadata, so that the file is read without running
anything. Arrays come back bit for bit; whole numbers of any size do too, as a generator's 128-bit state needs.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors import numpy as safetensors_numpy

from frcnn.whole_file import whole_file

STATE = "frcnn-state"
# Those that both safetensors and NumPy itself have.
DTYPES = frozenset(
    ("float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8", "bool")
)


class CheckpointError(ValueError):
    """A checkpoint cannot be written, or a file is none."""


def save(path, arrays, state):
    """Write a checkpoint in place of any other there: whoever reads meanwhile, or after a crash, sees one or the other.

    path: its folder must exist. arrays: name -> array, of a type in DTYPES. state: a dict that JSON has, NaN excepted.

    Raises CheckpointError naming the file and the array or the state.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/1.safetensors"
    >>> save(path, {"fc6/b": np.float32([1, 2])}, {"iteration": 1})
    >>> load(path)
    ({'fc6/b': array([1., 2.], dtype=float32)}, {'iteration': 1})
    """
    path, whole = Path(path), {}
    for name, array in arrays.items():
        array = np.asarray(array)
        if array.dtype.name not in DTYPES:
            raise CheckpointError(f"{path} cannot hold {name}, {array.dtype}; convert it to one of {_listed(DTYPES)}")
        # safetensors writes the memory as it lies, whatever its strides and byte order say.
        whole[name] = np.array(array, array.dtype.newbyteorder("="), order="C")
    try:
        text = json.dumps(state, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot hold the state, which must be JSON: {error}") from None
    if not isinstance(state, dict) or json.loads(text) != state:
        raise CheckpointError(f"{path} cannot hold the state: JSON has dicts with names for keys, and lists, alone")
    try:
        with whole_file(path) as file:
            file.write(safetensors_numpy.save(whole, {STATE: text}))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror}") from None


def load(path):
    """The arrays and the state of a checkpoint, as they were saved; the arrays are the caller's own.

    Raises CheckpointError naming the file and what is wrong.
    """
    if Path(path).is_dir():
        raise CheckpointError(f"{path} is a folder; give one of its files, iteration_N.safetensors")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in sorted(file.keys())}
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from None
    except (SafetensorError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is no checkpoint, or cut short: {error}; take an earlier one") from None
    try:
        state = json.loads(metadata[STATE])
    except KeyError:
        raise CheckpointError(f"{path} holds arrays but no state of a run; frcnn writes it as {STATE}") from None
    except ValueError as error:
        raise CheckpointError(f"{path} has a state that is no JSON: {error}") from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} has a state that is no dict: {state!r}")
    return arrays, state


def _listed(names):
    return ", ".join(sorted(names))
