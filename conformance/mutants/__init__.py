"""The shelf of mutants: backends with a single fault each, which the suite must fail by the clause that they violate.

A mutant is the reference with one piece of its text replaced. In a .toml file beside this one each is a table
`[[mutant]]`:

    id          a slug, used once
    clause      the clause it violates
    fault       what is wrong, in a few words
    file        the file of reference/ that it changes
    find        the text, which stands there exactly once
    replace     what stands there instead

Each is a backend by itself: `frcnn conformance --backend frcnn.conformance.mutants:ID --clause CLAUSE` shows how it is
failed. `frcnn conformance --mutants` runs the whole shelf (examination.py).
"""

import importlib
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import frcnn.reference
from frcnn.backends.reference import ReferenceBackend


@dataclass(frozen=True)
class Mutant:
    """One fault: see above for the fields."""

    id: str
    clause: str
    fault: str
    file: str
    find: str
    replace: str


class StaleMutant(ValueError):
    """What a mutant is to replace does not stand in the reference exactly once."""


@cache
def mutants() -> dict[str, Mutant]:
    """The whole shelf by id, in the order of the files. Raises ValueError where an id is used twice."""
    found: dict[str, Mutant] = {}
    for file in sorted(Path(__file__).parent.glob("*.toml")):
        for table in tomllib.loads(file.read_text(encoding="utf-8"))["mutant"]:
            mutant = Mutant(**table)
            if mutant.id in found:
                raise ValueError(f"{file.name}: two mutants are called {mutant.id}")
            found[mutant.id] = mutant
    return found


def mutated_reference(mutant: Mutant):
    """A second frcnn.reference, under another name and with the mutant's fault; the right one stays as it is.

    Raises StaleMutant where the text to replace does not stand in its file exactly once.
    """
    package = "frcnn_reference_" + mutant.id.replace("-", "_")
    source = Path(frcnn.reference.__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / package).mkdir()
        for file in source.glob("*.py"):
            text = file.read_text(encoding="utf-8")
            if file.name == mutant.file:
                if text.count(mutant.find) != 1:
                    raise StaleMutant(
                        f"{mutant.id}: {mutant.find!r} stands {text.count(mutant.find)} times in {file.name}"
                    )
                text = text.replace(mutant.find, mutant.replace)
            (Path(folder) / package / file.name).write_text(text.replace("frcnn.reference", package), encoding="utf-8")
        sys.path.insert(0, folder)
        try:
            importlib.invalidate_caches()
            return importlib.import_module(package)
        finally:
            sys.path.remove(folder)
            for name in [name for name in sys.modules if name.partition(".")[0] == package]:
                del sys.modules[name]  # nobody else is to import it


def __getattr__(name):
    """The backend class of the mutant of this id: what `--backend frcnn.conformance.mutants:ID` asks for."""
    if name not in mutants():
        raise AttributeError(name)
    fields = {"name": f"mutant {name}", "operators": mutated_reference(mutants()[name])}
    return type("MutantBackend", (ReferenceBackend,), fields)
