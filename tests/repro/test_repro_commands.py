"""`frcnn repro voc07`, as it is typed: what it refuses, and what its exit code says."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from frcnn.cli import main
from frcnn.repro import run, training


def typed(*words):
    words = ["repro", "voc07", "--tier", "instant", "--backend", "torch", *map(str, words)]
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--resume",), "--resume goes on with a folder: give it as --out"),
        (("--svd", "fc6=10", "--svd", "fc6=20"), "fc6 is given twice"),
    ],
)
def test_options_that_would_do_less_than_they_say_are_refused(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    result = typed(*words)
    assert (result.exit_code, said in " ".join(result.stderr.split())) == (2, True), result.output
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_gives_no_report_exits_with_2_since_1_is_a_missed_goal(tmp_path, monkeypatch):
    def diverged(request, console):
        raise training.Diverged("the loss of iteration 3 is nan")

    monkeypatch.setattr(run, "run", diverged)
    result = typed("--out", tmp_path)
    assert (result.exit_code, "Error: the loss of iteration 3 is nan" in result.stderr) == (2, True), result.output


def test_ctrl_c_exits_with_130_wherever_it_comes(tmp_path, monkeypatch):
    def stopped(request, console):
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run", stopped)
    result = typed("--out", tmp_path)
    assert (result.exit_code, f"--resume --out {tmp_path}" in result.stderr) == (130, True), result.output


def test_every_file_of_proposals_reaches_the_run(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        run, "run", lambda own, console: asked.append(own) or {"verdict": "passed", "id": "f", "missed": []}
    )
    result = typed("--proposals", "trainval.mat", "--proposals", "test.mat", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert asked[0].proposals == (Path("trainval.mat"), Path("test.mat"))
