"""The suite examined: its clause kills a fault, a change of nothing survives, and what merely breaks is no kill."""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner

from conformance_runs import run_suite
from frcnn import reference, spec
from frcnn.cli import main
from frcnn.conformance import mutants as shelf
from frcnn.conformance import report
from frcnn.conformance.mutants import StaleMutant, examination, mutants

LOWEST_FIRST = mutants()["nms-lowest-first"]
FILES = ["test_all_witnesses.py", "test_nms_greedy.py"]


def attempt(monkeypatch, **changes):
    """The row of the kill matrix of a mutant that is like LOWEST_FIRST but for these fields."""
    mutant = dataclasses.replace(LOWEST_FIRST, id="made-up", **changes)
    monkeypatch.setattr(shelf, "mutants", lambda: {"made-up": mutant})
    return examination.attempt(mutant, FILES)


def test_a_fault_is_killed_by_tests_of_its_clause(monkeypatch):
    row = attempt(monkeypatch)
    assert row["outcome"] == "killed"
    assert any("test_all_witnesses.py" in test for test in row["killed_by"])
    assert any("test_nms_greedy.py" in test for test in row["killed_by"])


def test_a_change_that_changes_nothing_survives(monkeypatch):
    row = attempt(monkeypatch, replace="np.argsort(-1 * scores,")
    assert (row["outcome"], row["killed_by"]) == ("survived", [])
    assert row["tests"] > 0


def test_a_mutant_that_merely_breaks_is_no_kill(monkeypatch):
    row = attempt(monkeypatch, replace="np.argsort(no_such_name,")
    assert (row["outcome"], row["errors"]) == ("broken", ["NameError"])


def draws(monkeypatch, *killers, drawing):
    """The row of a mutant that in the first draw these tests kill, in the second those, and so on."""
    found = iter(killers)

    def examined(mutant, files, seed):
        return [{"test": test, "outcome": "failed", "errors": ["Nonconforming"]} for test in next(found)], drawing

    monkeypatch.setattr(examination, "_examined", examined)
    return examination.attempt(LOWEST_FIRST, FILES)


def test_what_a_test_finds_that_draws_nothing_is_asked_once(monkeypatch):
    row = draws(monkeypatch, ["witness", "property"], drawing={"property"})
    assert (row["outcome"], row["draws"], row["killed_by"]) == ("killed", 1, ["property", "witness"])


def test_what_drawn_examples_alone_find_must_be_found_in_each_draw(monkeypatch):
    row = draws(monkeypatch, ["one"], ["another"], ["one", "another"], drawing={"one", "another"})
    assert (row["outcome"], row["draws"]) == ("killed", 3)
    row = draws(monkeypatch, ["one"], [], drawing={"one", "another"})
    assert (row["outcome"], row["draws"], row["killed_by"]) == ("survived", 2, [])


def test_a_mutant_that_drawn_examples_alone_kill_is_drawn_for_with_several_seeds():
    row = examination.attempt(mutants()["smooth-l1-always-float32"], ["test_loss_properties.py"])
    assert (row["outcome"], row["draws"]) == ("killed", 3)


def test_a_mutant_whose_text_is_not_there_is_stale():
    with pytest.raises(StaleMutant, match=r"stands 0 times in nms\.py"):
        shelf.mutated_reference(dataclasses.replace(LOWEST_FIRST, find="np.argsort(of something else"))


def test_every_mutant_s_text_stands_once():
    for mutant in mutants().values():
        shelf.mutated_reference(mutant)


def test_a_mutant_leaves_the_reference_as_it_is():
    boxes, scores = np.float32([[0, 0, 9, 9], [50, 0, 59, 9]]), np.float32([0.1, 0.9])
    assert shelf.mutated_reference(LOWEST_FIRST).nms(boxes, scores, 0.3).tolist() == [0, 1]
    assert reference.nms(boxes, scores, 0.3).tolist() == [1, 0]


def test_a_mutant_is_a_backend_that_the_suite_fails(tmp_path):
    clause = LOWEST_FIRST.clause
    conforms, reports = run_suite(tmp_path, f"frcnn.conformance.mutants:{LOWEST_FIRST.id}", clauses=(clause,))
    assert not conforms
    assert reports[0][2]["clauses"][clause] == "failed"


def test_the_command_runs_the_mutants_of_a_clause_and_writes_the_matrix(tmp_path):
    answer = CliRunner().invoke(
        main, ["conformance", "--mutants", "--clause", "nms-greedy.order", "--out", str(tmp_path)]
    )
    assert answer.exit_code == 0, answer.output
    rows = json.loads((tmp_path / "mutants.json").read_text())["mutants"]
    assert {row["clause"] for row in rows} == {"nms-greedy.order"}
    assert f"{len(rows)} of {len(rows)} mutants killed" in answer.output


def test_the_shelf_has_a_mutant_for_each_clause_and_eighty_in_all():
    assert {mutant.clause for mutant in mutants().values()} == set(spec.clauses())
    assert len(mutants()) >= 80


def test_the_kill_matrix_that_is_shipped_is_of_this_suite_and_has_no_survivor():
    """After a change: `nox -s conformance -- --mutants --out conformance/mutants`."""
    assert "reason" not in examination.shipped()
    assert {row["mutant"] for row in examination.shipped()["matrix"]} == set(mutants())
    assert {row["outcome"] for row in examination.shipped()["matrix"]} == {"killed"}


def test_every_report_holds_the_kill_matrix_or_says_why_not(tmp_path, monkeypatch):
    _, reports = run_suite(tmp_path / "with", "reference", clauses=("nms-greedy.order",))
    assert reports[0][0]["mutants"] == examination.shipped()
    assert (
        f"by drawn examples alone, in each of {len(examination.SEEDS)} draws"
        in (tmp_path / "with/index.md").read_text()
    )
    monkeypatch.setattr(report, "suite_digest", lambda: "0" * 64)
    _, reports = run_suite(tmp_path / "without", "reference", clauses=("nms-greedy.order",))
    assert "frcnn conformance --mutants" in reports[0][0]["mutants"]["reason"]
