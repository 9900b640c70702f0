"""A reproduction end to end, small; and what it does where it cannot run."""

import dataclasses
import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest
import run_cases
from click.testing import CliRunner
from rich.console import Console
from run_cases import request, small

from frcnn.backends import UnavailableBackend
from frcnn.cli import main
from frcnn.repro import loss_curve, made_up, report, run, run_facts, voc
from frcnn.repro.proposals import read_npz
from frcnn.repro.recipe import read_recipe
from frcnn.repro.results import read_paper


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "done"
    own = request(out, small())
    return own, run.run(own)


def test_a_run_leaves_a_report_of_what_it_trained_and_tested(done):
    own, footer = done
    head, *body, last = report.read(own.out / "report.jsonl")
    assert last == footer
    assert footer["verdict"] == "passed"
    assert [line["kind"] for line in body] == ["run"] + ["result"] * len(made_up.CLASSES)
    for part, name in (("train", "train"), ("test", "val")):
        split = voc.read_split(own.out / "data", made_up.YEAR, name, classes=made_up.CLASSES)
        assert head["data"][part]["digest"] == split.digest()
    assert head["proposals"]["source"] == f"boxes.npz, sha256 {report.file_digest(*own.proposals)}"
    assert (head["weights"]["file"], head["weights"]["given"]) == (None, [])
    assert {"conv1", "fc6", "cls_score", "bbox_pred"} <= set(head["weights"]["drawn"])
    assert body[0]["iterations"] == 4
    assert report.file_digest(own.out / body[0]["checkpoint"]) == body[0]["sha256"]
    table = json.loads((own.out / "torch" / "test" / "results.json").read_text())
    assert body[0]["mean"]["11-point"] == table["mean"]["11-point"]
    assert head["not_comparable"] == table["paper"]["because"]
    assert (own.out / "report.html").read_text().startswith("<!doctype html>")
    linked = re.findall(r"\]\((.*?)\)", (own.out / "report.md").read_text())
    assert len(linked) == 4
    for picture in linked:
        assert cv2.imread(str(own.out / picture)) is not None, picture


def test_made_up_images_are_not_compared_with_the_paper_s_and_the_reasons_are_said(done):
    head = report.read(done[0].out / "report.jsonl")[0]
    reasons = "\n".join(head["not_comparable"])
    for reason in ("network: I, the paper's L", "data: made-up", "weights: none", "short sides: 160, the paper's 600"):
        assert reason in reasons


def figures(out):
    """The id of all but the header, which names the commit, and the footer."""
    return report.report_id(report.read(out / "report.jsonl")[1:-1])


def test_the_same_run_again_has_the_same_figures_and_weights(done, tmp_path):
    run.run(request(tmp_path / "again", small()))
    assert figures(tmp_path / "again") == figures(done[0].out)


def test_both_frameworks_stand_in_one_report(tmp_path):
    """In a process of its own, since torch must be imported before tensorflow."""
    subprocess.run([sys.executable, run_cases.__file__, str(tmp_path / "both"), "torch", "tf"], check=True)
    lines = report.read(tmp_path / "both" / "report.jsonl")
    runs = [line for line in lines if line["kind"] == "run"]
    assert [line["backend"] for line in runs] == ["torch", "tf"]
    assert [line["version"].partition(" ")[0] for line in runs] == ["torch", "tensorflow"]
    text = (tmp_path / "both" / "report.md").read_text()
    assert re.search(r"\| class +\| +objects \| +torch \| +tf \|", text)


def test_a_run_goes_on_where_asked_and_else_leaves_what_is_there_alone(done):
    own, _ = done
    before = figures(own.out)
    there = {file: file.stat().st_mtime_ns for file in own.out.rglob("*")}
    with pytest.raises(ValueError, match="holds a report already"):
        run.run(dataclasses.replace(own, proposals=None))
    assert {file: file.stat().st_mtime_ns for file in own.out.rglob("*")} == there
    run.run(dataclasses.replace(own, resume=True))
    assert figures(own.out) == before


def test_going_on_with_one_backend_does_not_drop_the_other_from_the_report(done, monkeypatch):
    own, _ = done
    monkeypatch.setattr(
        run.report, "runs_of", lambda _: [{"backend": name, "goal_reached": None} for name in ("torch", "tf")]
    )
    with pytest.raises(ValueError, match=r"report\.jsonl is of tf too, .* --backend torch --backend tf"):
        run.check(dataclasses.replace(own, resume=True))


def test_boxes_found_beside_the_devkit_are_not_written_again(tmp_path):
    """They may have fractions, which no file that we write has."""
    own = request(tmp_path / "run", small())
    boxes = read_npz(own.proposals[0])
    halves = [np.maximum(own - np.float32(0.5), 0) for own in boxes.values()]
    offsets = np.cumsum([0, *map(len, halves)])
    own.out.mkdir()
    beside = own.out / "selective_search_fast.npz"
    np.savez(beside, ids=np.array([*boxes]), offsets=offsets, boxes=np.concatenate(halves))
    run.run(dataclasses.replace(own, proposals=()))
    head = report.read(own.out / "report.jsonl")[0]
    assert head["proposals"]["source"] == f"selective_search_fast.npz, sha256 {report.file_digest(beside)}"
    assert not (own.out / "proposals.npz").exists()


def test_a_report_is_not_written_over_by_another_backend_s(done, monkeypatch):
    own, _ = done
    monkeypatch.setattr(run.training, "check", lambda *_, **__: None)
    with pytest.raises(ValueError, match=r"holds a report already; go on with it \(--resume\), or give another --out"):
        run.check(dataclasses.replace(own, devices={"tf": "cpu"}))
    with pytest.raises(ValueError, match=r"report\.jsonl is of torch too, .* ask for --backend torch --backend tf,"):
        run.check(dataclasses.replace(own, devices={"tf": "cpu"}, resume=True))


def test_a_mean_below_the_recipe_s_goal_is_a_failure_with_a_report(tmp_path):
    footer = run.run(request(tmp_path / "low", small(goal_map=0.99)))
    assert (footer["verdict"], footer["missed"]) == ("failed", ["torch"])
    assert "missed" in (tmp_path / "low" / "report.md").read_text()


def test_an_incomplete_list_of_voc_is_no_longer_comparable_by_its_data():
    split = {"year": "2007", "set": "val", "photographs": 1}
    assert run_facts.incomplete(split) == "1 of the 2510 photographs of val"
    assert run_facts.incomplete(split | {"photographs": 2510}) == ""


def test_the_picture_of_losses_names_each_framework_and_the_seed(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(run, "loss_curve", lambda path, losses, title: drawn.append((path.name, list(losses), title)))
    run.run(request(tmp_path / "run", small(iterations=1, seed=5)))
    version = report.read(tmp_path / "run" / "report.jsonl")[1]["version"]
    assert drawn == [("losses.png", [version], "network I, trained on VOCMadeUp train with seed 5")]


def test_a_loss_is_smoothed_over_those_before_it_alone():
    losses = np.arange(120.0)
    found = loss_curve.smoothed(losses)
    expected = [losses[max(k - loss_curve.SMOOTHED + 1, 0) : k + 1].mean() for k in range(120)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_the_paper_s_recipe_departs_from_it_in_nothing_but_the_profile_which_the_original_code_lacks():
    full, paper = read_recipe("full", seed=7), read_paper()
    assert run_facts.departures(full, full, paper) == ["profile: exact, the paper's caffe-2015"]
    original = full.changed(profile="caffe-2015")
    assert run_facts.departures(original, original, paper) == []
    assert run_facts.departures(original.changed(dropout=0.0), original, paper) == ["dropout: 0.0, the paper's 0.5"]


@pytest.mark.parametrize(
    ("devices", "tier", "said", "left"),
    [
        ({"torch": "cuda", "tf": "cuda"}, "full", "takes full, since there is a CUDA device.", ["torch", "tf"]),
        ({"torch": "cuda", "tf": "cpu"}, "full", "Left out, since it would run on the CPU: tf;", ["torch"]),
        ({"torch": "cpu", "tf": "cpu"}, "short", "no CUDA device was found for torch or tf.", ["torch", "tf"]),
    ],
)
def test_auto_takes_full_with_a_gpu_for_backends_that_have_one_and_short_without(devices, tier, said, left):
    found, because, own = run.chosen_tier("auto", devices)
    assert found == tier
    assert said in because
    assert own == {backend: devices[backend] for backend in left}
    assert run.chosen_tier("full", devices) == ("full", "The tier was asked for.", devices)


def test_what_one_backend_did_is_reported_though_the_next_does_not_come_to_its_end(tmp_path, monkeypatch):
    whole = run.training.train

    def train(*arguments, backend, **keywords):
        if backend == "tf":
            raise ValueError("tf has no more memory")
        return whole(*arguments, backend=backend, **keywords)

    monkeypatch.setattr(run.training, "train", train)
    monkeypatch.setattr(run, "check", lambda request: None)  # which imports tensorflow
    with pytest.raises(ValueError, match="no more memory"):
        run.run(request(tmp_path / "half", small(), devices={"torch": "cpu", "tf": "cpu"}))
    lines = report.read(tmp_path / "half" / "report.jsonl")
    assert [line["backend"] for line in lines if line["kind"] == "run"] == ["torch"]
    text = (tmp_path / "half" / "report.md").read_text()
    assert "Not yet run: tf." in text
    assert (tmp_path / "half" / "losses.png").exists()


def test_what_a_run_begins_with_is_said(tmp_path):
    with open(tmp_path / "said", "w") as said:
        run.run(request(tmp_path / "run", small(iterations=1)), Console(file=said, width=1000))
    assert "drawn, not pre-trained: conv1, conv2, conv3, conv4, fc6, cls_score" in (tmp_path / "said").read_text()


def test_a_backend_runs_on_the_gpu_where_it_can(monkeypatch):
    def load(name, device="cpu"):
        if (name, device) == ("tf", "cuda"):
            raise UnavailableBackend("tf has no kernels for cuda")

    monkeypatch.setattr(run, "load", load)
    assert list(run.devices_of(("tf", "torch")).items()) == [("torch", "cuda"), ("tf", "cpu")]


def test_a_backend_that_is_not_installed_is_not_taken_for_one_without_a_gpu(monkeypatch):
    def load(name, device="cpu"):
        raise UnavailableBackend("torch is not installed")

    monkeypatch.setattr(run, "load", load)
    with pytest.raises(UnavailableBackend, match="not installed"):
        run.devices_of(("torch",))


def typed(*words):
    return CliRunner().invoke(main, ["repro", "voc07", "--backend", "torch", *[str(word) for word in words]])


@pytest.mark.parametrize("root", [False, True])
def test_without_data_there_are_three_lines_that_say_what_to_do(tmp_path, root):
    given = ["--voc-root", tmp_path] if root else []
    result = typed("--tier", "short", "--out", tmp_path / "out", *given)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()[-3:]
    assert "trains on photographs of voc07" in lines[0]
    assert ("holds no VOC2007" if root else "no --voc-root was given") in lines[0]
    assert "frcnn data voc07 --root" in lines[1]
    assert "--tier instant" in lines[2]
    assert not (tmp_path / "out").exists()


def test_a_request_that_is_wrong_is_refused_before_anything_is_made(tmp_path):
    for words, said in (
        (("--svd", "fc8=3"), "fc8 is no fully connected layer of I; those are fc6"),
        (("--svd", "fc6=100000"), "singular values; 100000 cannot be kept"),
        (
            ("--precision", "bfloat16", "--backend", "tf"),
            "must be one of float32 in TensorFlow, got 'bfloat16'",
        ),
        (("--precision", "tf32"), "precision tf32 is a GPU's"),
        (("--weights", tmp_path / "nowhere.npz"), "there is no file"),
        (("--weights", tmp_path), "must end in one of .npz, .pth, .h5, .caffemodel"),
    ):
        result = typed("--tier", "instant", *words, "--out", tmp_path / "out")
        assert result.exit_code == 2
        assert said in result.stderr
    (tmp_path / "torch.jsonl").write_text("{}\n")
    result = typed("--tier", "instant", "--conformance", tmp_path / "torch.jsonl", "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "torch.jsonl has no header" in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_exits_with_1_where_the_goal_is_missed_and_names_the_report(tmp_path, monkeypatch):
    small_request = request(tmp_path / "out", small(goal_map=0.99))
    whole = run.run
    monkeypatch.setattr(run, "run", lambda asked, console: whole(small_request, console))
    result = typed("--tier", "instant", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "report.md: failed" in result.stdout
    assert "mean AP below the goal" in result.stderr


def test_conformance_reports_reach_the_run_with_backend_version_verdict_and_id(tmp_path, monkeypatch):
    from frcnn.conformance import report as conformance_report

    head, foot = {"backend": {"name": "torch", "version": "torch 2.13.0"}}, {"verdict": "passed", "id": "f" * 64}
    monkeypatch.setattr(conformance_report, "read", lambda file: (head, [], foot))
    asked = []
    monkeypatch.setattr(run, "run", lambda own, console: asked.append(own) or foot | {"missed": []})
    result = typed("--tier", "instant", "--conformance", tmp_path / "torch.jsonl", "--seed", "5", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    (own,) = asked
    assert own.conformance == ({"backend": "torch", "version": "torch 2.13.0", **foot},)
    assert (own.recipe.seed, own.tier, list(own.devices), own.out) == (5, "instant", ["torch"], tmp_path)


def test_a_run_with_svd_is_tested_twice_and_its_report_says_what_that_cost(tmp_path):
    own = request(tmp_path / "cut", small(), ranks={"fc6": 5})
    run.run(own)
    line = report.read(own.out / "report.jsonl")[1]
    tables = [json.loads((own.out / "torch" / name / "results.json").read_text()) for name in ("test", "svd")]
    assert [table["setting"]["svd"] for table in tables] == [[], ["fc6=5"]]
    assert line["svd"] == {"ranks": {"fc6": 5}, "mean": {m: tables[1]["mean"][m] for m in ("11-point", "area")}}
    assert line["seconds"]["by SVD, a photograph"] == sum(tables[1]["seconds_an_image"].values())
    assert "By SVD: fc6 with 5 singular values" in (own.out / "report.md").read_text()
