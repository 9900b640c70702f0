"""Profile certify: at least 2,000 examples for each property, and the same ones every time."""

import importlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import is_hypothesis_test

from conformance_runs import run_suite
from frcnn.cli import main
from frcnn.conformance.report import read

# A clause of few and fast tests, whose worst margins tell one draw of examples from another.
CLAUSE = "log-loss.row"
TIMES = {"started", "finished", "seconds"}

# The suite's own marker, which is registered only where the suite runs.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnknownMarkWarning")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two folders of the same run, whose processes do not even agree on the hashes of strings."""
    folders = []
    for hash_seed in ("1", "2"):
        out = tmp_path_factory.mktemp("certify")
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("PYTHONHASHSEED", hash_seed)
            command = ["conformance", "--profile", "certify", "--backend", "reference", "--clause", CLAUSE]
            answer = CliRunner().invoke(main, [*command, "--out", str(out)])
        assert answer.exit_code == 0, answer.output
        folders.append(out)
    return folders


def timeless(folder):
    """Each line of the report without what says a time, as it is written."""
    lines = map(json.loads, (folder / "reference.jsonl").read_text(encoding="utf-8").splitlines())
    return [json.dumps({key: value for key, value in line.items() if key not in TIMES}) for line in lines]


def properties(report):
    """The results of tests that draw their examples."""
    names = {}
    for result in report[1]:
        file, _, name = result["test"].partition("::")
        module = importlib.import_module(f"frcnn.conformance.operators.{Path(file).stem}")
        if is_hypothesis_test(getattr(module, name.partition("[")[0])):
            names[result["test"]] = result
    return names


def test_certify_is_the_same_byte_for_byte_apart_from_times(runs):
    first, second = map(timeless, runs)
    assert first == second


def test_certify_has_one_id_however_often_it_runs(runs):
    ids = {read(folder / "reference.jsonl")[2]["id"] for folder in runs}
    assert len(ids) == 1


def test_certify_asks_each_property_at_least_two_thousand_times(runs):
    found = properties(read(runs[0] / "reference.jsonl"))
    assert found
    assert all(result["examples"] >= 2000 for result in found.values()), found


def test_certify_says_that_no_seed_chose_its_examples(runs):
    head = read(runs[0] / "reference.jsonl")[0]
    assert (head["effort"], head["seed"], head["examples"]) == ("certify", None, 2000)


def test_other_examples_would_show_in_the_report(tmp_path, runs):
    """Or the comparison above would hold of any two runs."""
    certified = properties(read(runs[0] / "reference.jsonl"))
    _, [seeded] = run_suite(tmp_path, "reference", clauses=(CLAUSE,))
    drawn = properties(seeded)
    assert drawn.keys() == certified.keys()
    assert all(drawn[test]["worst_margin"] != certified[test]["worst_margin"] for test in drawn)
