"""Every clause stands in three places: the page, the reference, and a test, with a witness to tell right from wrong."""

import re
from pathlib import Path

import pytest

from frcnn import spec
from frcnn.conformance.witnesses import witnesses
from frcnn.conformance.witnesses.calls import call_witnesses

ROOT = Path(__file__).parent.parent
# An id's first word has a hyphen, which no name in a program has; what follows a dot may also be a file's ending.
PREFIXES = sorted({clause.partition(".")[0] for clause in spec.clauses()})
ID = re.compile(rf"\b(?:{'|'.join(PREFIXES)})\.(?!(?:md|py|h|toml)\b)[a-z0-9-]*[a-z0-9]")


def test_an_id_begins_with_a_word_that_no_program_has():
    assert all("-" in prefix for prefix in PREFIXES)


def cited(folder, pattern):
    text = "\n".join(file.read_text(encoding="utf-8") for file in sorted((ROOT / folder).rglob(pattern)))
    return set(ID.findall(text))


def test_a_clause_has_its_sentence_source_and_witness():
    assert spec.clauses()
    for clause in spec.clauses().values():
        assert clause.text.startswith("**"), f"{clause.id}: the sentence that binds comes first, in bold"
        for part in ("Source:", "Left open:", "Witness:"):
            assert part in clause.text, f"{clause.id} has no {part}"


def test_every_clause_is_tested():
    assert set(spec.clauses()) - cited("conformance/operators", "*.py") == set()


def test_every_clause_has_its_line_in_the_reference():
    assert set(spec.clauses()) - cited("reference", "*.py") == set()


@pytest.mark.parametrize(
    ("folder", "pattern"), [("conformance", "*.py"), ("reference", "*.py"), ("backends", "*"), ("spec", "*.md")]
)
def test_no_clause_is_cited_that_does_not_exist(folder, pattern):
    files = [file for file in (ROOT / folder).rglob(pattern) if file.suffix in (".py", ".md", ".h", ".cpp", ".toml")]
    for file in files:
        unknown = set(ID.findall(file.read_text(encoding="utf-8"))) - set(spec.clauses())
        assert not unknown, f"{file.relative_to(ROOT)} cites {unknown}"


def all_witnesses():
    return [*witnesses(), *call_witnesses()]


def test_every_witness_names_clauses_that_exist_and_is_named_once():
    ids = [witness.id for witness in all_witnesses()]
    assert len(ids) == len(set(ids))
    for witness in all_witnesses():
        assert set(witness.clauses) <= set(spec.clauses()), witness.id


def test_every_witness_that_the_page_names_is_there():
    named = set()
    for clause in spec.clauses().values():
        named |= set(re.findall(r"`([a-z][a-z0-9-]*[a-z0-9])`", clause.text.partition("Witness:")[2]))
    named -= {"exact", "caffe-2015"}
    ids = {witness.id for witness in witnesses()} | {w.id.rpartition("-")[0] for w in call_witnesses()}
    assert named - ids == set()
