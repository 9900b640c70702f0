"""The gate: every clause stands in the spec, the reference, a witness, a test and a mutant, and nothing cites another.

`frcnn spec check` prints the table and fails where a cell is blank. It reads the package as it is installed.
"""

import importlib.resources
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from frcnn import spec
from frcnn.conformance.mutants import mutants
from frcnn.conformance.witnesses import witnesses
from frcnn.conformance.witnesses.calls import call_witnesses, refusals

COLUMNS = ("spec", "reference", "witness", "test", "mutant")
CITING = ("frcnn.spec", "frcnn.reference", "frcnn.backends", "frcnn.conformance")
_ENDINGS = (".md", ".py", ".h", ".cpp", ".toml")


@dataclass(frozen=True)
class Verdict:
    """rows: for each clause where it stands, one tuple of places a column. wrong: what cites a clause that is none."""

    rows: dict[str, dict[str, tuple[str, ...]]]
    wrong: tuple[str, ...]

    @property
    def blank(self) -> list[str]:
        """The empty cells, in words."""
        return [f"{clause} has no {name}" for clause, row in self.rows.items() for name in COLUMNS if not row[name]]


def check(plan) -> Verdict:
    """What stands where. plan: the suite's tests with their clauses, as a run collects them."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: {name: [] for name in COLUMNS})
    wrong = []
    for place, id in citations():
        if id in spec.retired():
            wrong.append(f"{place} cites {id}, which is retired")
        elif id not in spec.clauses():
            wrong.append(f"{place} cites {id}, which is no clause")
        elif place.startswith("reference/"):
            found[id]["reference"].insert(0, place)  # the line that carries it out stands below the docstring
    for clause in spec.clauses().values():
        found[clause.id]["spec"].append(f"{clause.page}.md")
    named = [(w.id, w.clauses) for w in witnesses()] + [(w.id, w.clauses) for w in call_witnesses()]
    for witness, clauses in named + [(r.id, r.clauses) for r in refusals()]:
        for id in clauses:
            found[id]["witness"].append(witness)
    for test in plan:
        for id in test["clauses"]:
            found[id]["test"].append(test["test"].partition("[")[0])
    for mutant in mutants().values():
        found[mutant.clause]["mutant"].append(mutant.id)
    for id, row in found.items():
        if id not in spec.clauses():
            wrong += [f"a {column} names {id}, which is no clause in force" for column in COLUMNS if row[column]]
    rows = {id: {name: tuple(dict.fromkeys(found[id][name])) for name in COLUMNS} for id in spec.clauses()}
    return Verdict(rows, tuple(wrong))


def citations():
    """(file:line, id) of everything in the package's sources that reads like a clause's id."""
    prefixes = sorted({id.partition(".")[0] for id in (*spec.clauses(), *spec.retired())})
    # An id's first word has a hyphen, which no name in a program has; what follows a dot may also be a file's ending.
    endings = "|".join(ending[1:] for ending in _ENDINGS)
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(prefixes)})\.(?!(?:{endings})\b)[a-z0-9-]*[a-z0-9]")
    for package in CITING:
        root = Path(str(importlib.resources.files(package)))
        for file in sorted(root.rglob("*")):
            if file.suffix in _ENDINGS:
                place = f"{package.rpartition('.')[2]}/{file.relative_to(root).as_posix()}"
                for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                    yield from ((f"{place}:{number}", id) for id in pattern.findall(line))


def table(verdict: Verdict) -> list[dict[str, str]]:
    """One row a clause: in each column the first place, and how many more."""
    return [
        {"clause": id, **{name: _first_of(places) for name, places in row.items()}} for id, row in verdict.rows.items()
    ]


def _first_of(places):
    if not places:
        return ""
    first = places[0].rpartition("::")[2]
    return first if len(places) == 1 else f"{first} + {len(places) - 1}"
