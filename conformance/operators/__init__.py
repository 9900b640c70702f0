"""The tests, one file a clause group.

What is asked in several types is a test a type. In a half type it names the clause on types too, so that a backend
without the type lacks that clause alone (report.clause_outcomes); in float64, which is optional, it names no other.
"""

import pytest

TYPES = ("float16", "bfloat16", "float32", "float64")


def marks_by_type(*clauses, types=TYPES):
    """[(dtype_name, mark)]: the clauses that a test in this type is marked with."""
    own = {"float32": clauses, "float64": ("roi-pool.dtype-float64",)}
    return [(name, pytest.mark.clause(*own.get(name, (*clauses, "roi-pool.dtype")))) for name in types]


def each_type(*clauses, types=TYPES):
    """Parametrisation over dtype_name, marked as above."""
    return pytest.mark.parametrize(
        "dtype_name", [pytest.param(name, marks=mark) for name, mark in marks_by_type(*clauses, types=types)]
    )
