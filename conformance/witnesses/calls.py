"""Witnesses of the operators other than RoI pooling, and of what any operator refuses.

A call, and the answer worked out by hand.

In a .toml file each is a table `[[call]]`:

    id, clauses, why    as for RoI pooling
    operator            the function's name in frcnn.reference
    types               the types to run it in; ["float64"] where nothing is said
    arguments           positional, a list; options: by name, a table
    expected            the answer; a list of answers where `results` says how many arrays the operator gives
    part                where only one of these arrays is settled, its number; `expected` is that array
    within              a name in tolerance.WITNESS_BOUNDS for answers that are not exact, such as those of exp

A call that must be refused is a table `[[refusal]]`: id, clauses, operator, type ("float32" where nothing is said),
arguments and options as above, and `names`: the words of which the error must hold one, an argument's name or its row.

A list of numbers stands for an array of the type under test, a table { array = [...], type = "int64" } for one of its
own type, with `shape` where it has no elements; { list = [...] } a list of such. Numbers, strings and booleans stand
for themselves.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from frcnn.conformance import tolerance
from frcnn.conformance.cases import DTYPES


@dataclass(frozen=True)
class CallWitness:
    """One call of an operator in one type, and what it must give."""

    id: str
    clauses: tuple[str, ...]
    why: str
    operator: str
    arguments: tuple
    options: dict
    expected: object
    """An array or number, or a tuple of them; None in a tuple for one that is not settled."""
    bound: object


@dataclass(frozen=True)
class Refusal:
    """One call that must end in a ValueError or TypeError that holds one of these names."""

    id: str
    clauses: tuple[str, ...]
    operator: str
    arguments: tuple
    options: dict
    names: tuple[str, ...]


@cache
def call_witnesses() -> tuple[CallWitness, ...]:
    """All of them, in the order of the files, once for each type they are to run in."""
    return tuple(_witness(table, name) for table in _tables("call") for name in table.get("types", ["float64"]))


@cache
def refusals() -> tuple[Refusal, ...]:
    """All of them, in the order of the files."""
    found = []
    for table in _tables("refusal"):
        dtype = DTYPES[table.get("type", "float32")]
        arguments = tuple(_value(argument, dtype) for argument in table["arguments"])
        options = {name: _value(option, dtype) for name, option in table.get("options", {}).items()}
        clauses, names = tuple(table["clauses"]), tuple(table["names"])
        found.append(Refusal(table["id"], clauses, table["operator"], arguments, options, names))
    return tuple(found)


def _tables(kind):
    files = sorted(Path(__file__).parent.glob("*.toml"))
    return [table for file in files for table in tomllib.loads(file.read_text(encoding="utf-8")).get(kind, ())]


def _witness(table, dtype_name):
    dtype = DTYPES[dtype_name]
    if "part" in table:
        answers = [_value(table["expected"], dtype) if k == table["part"] else None for k in range(table["results"])]
    else:
        answers = [
            _value(answer, dtype) for answer in (table["expected"] if "results" in table else [table["expected"]])
        ]
    within = table.get("within")
    bounds = [None if within is None else tolerance.WITNESS_BOUNDS[within](answer, dtype_name) for answer in answers]
    return CallWitness(
        f"{table['id']}-{dtype_name}",
        tuple(table["clauses"]),
        table["why"],
        table["operator"],
        tuple(_value(argument, dtype) for argument in table.get("arguments", ())),
        {name: _value(option, dtype) for name, option in table.get("options", {}).items()},
        tuple(answers) if "results" in table else answers[0],
        tuple(bounds) if "results" in table else bounds[0],
    )


def _value(written, dtype):
    if isinstance(written, dict) and "list" in written:
        return [_value(one, dtype) for one in written["list"]]
    if isinstance(written, dict) and "array" in written:
        array = np.array(written["array"], written.get("type", dtype))
        return array.reshape(written["shape"]) if "shape" in written else array
    return np.array(written, np.float64).astype(dtype) if isinstance(written, list) else written
