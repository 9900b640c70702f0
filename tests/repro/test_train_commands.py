"""`frcnn train`, as it is typed."""

import dataclasses
import json
import os

import pytest
import torch
import training_cases
from click.testing import CliRunner

from frcnn.backends import UnavailableBackend
from frcnn.cli import main
from frcnn.repro import checkpoint, made_up, training
from frcnn.repro.proposals import write_npz
from frcnn.repro.report import file_digest
from frcnn.repro.training import trainer_module
from frcnn.repro.voc import read_split
from frcnn.repro_help import let_threads_sleep


@pytest.fixture
def typed(tmp_path):
    """The tests' small recipe as a file, on six images, with boxes moved off their objects."""
    made_up.write_devkit(tmp_path / "kit", seed=5, train=6, val=1)
    split = read_split(tmp_path / "kit", made_up.YEAR, "train", classes=made_up.CLASSES)
    write_npz(tmp_path / "boxes.npz", training_cases.proposals(split))
    data = ["--voc-root", str(tmp_path / "kit"), "--proposals", str(tmp_path / "boxes.npz")]
    recipe = dataclasses.asdict(training_cases.small_recipe(10))
    recipe.pop("source")
    lines = [f"{name} = {json.dumps(value)}" for name, value in recipe.items()]
    (tmp_path / "small.toml").write_text("\n".join(lines))
    return ["train", str(tmp_path / "small.toml"), *data, "--out", str(tmp_path / "run")]


def test_the_command_trains_resumes_and_says_what_it_did(typed, tmp_path):
    result = CliRunner().invoke(main, typed)
    assert result.exit_code == 0, result.output
    assert "iteration_000010.safetensors: 10 iterations in" in result.stdout
    assert "6 photographs, 12 with mirror images" in result.stderr
    assert "drawn, not pre-trained: conv1, conv2, conv3, conv4, fc6, cls_score, bbox_pred" in result.stderr
    result = CliRunner().invoke(main, [*typed, "--iterations", "12"])
    assert result.exit_code == 1
    assert "holds a run already; resume it (--resume)" in result.stderr
    result = CliRunner().invoke(main, [*typed, "--iterations", "12", "--resume"])
    assert result.exit_code == 0, result.output
    assert "resumed after iteration 10" in result.stderr
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 12


def test_a_checkpoint_says_which_photographs_it_was_trained_on_and_a_test_on_the_same_says_so(typed, tmp_path):
    kit, boxes = typed[3], typed[5]
    result = CliRunner().invoke(main, [*typed, "--split", "train", "--iterations", "2"])
    assert result.exit_code == 0, result.output
    file = tmp_path / "run" / "iteration_000002.safetensors"
    source = f"boxes.npz, sha256 {file_digest(boxes)}"
    assert checkpoint.load(file)[1]["trained_on"] == {
        "year": "MadeUp",
        "set": "train",
        "photographs": 6,
        "proposals": source,
    }
    ask = ["test", str(file), typed[1], "--voc-root", kit, "--proposals", boxes, "--out", str(tmp_path / "test")]
    result = CliRunner().invoke(main, [*ask, "--split", "train"])
    assert result.exit_code == 0, result.output
    assert "- tested on photographs that it was trained on: those of MadeUp train\n" in result.stdout
    assert "- train year: MadeUp, the paper's 2007\n" in result.stdout


def test_a_resumed_run_that_has_nothing_to_go_on_from_says_that_it_begins_from_the_start(typed, tmp_path):
    said = f"{tmp_path / 'run'} has no whole checkpoint to resume: training begins from the start"
    result = CliRunner().invoke(main, [*typed, "--iterations", "2", "--resume"])
    assert result.exit_code == 0, result.output
    assert "".join(said.split()) in "".join(result.stderr.split())  # which is wrapped
    result = CliRunner().invoke(main, [*typed, "--iterations", "2", "--resume"])
    assert result.exit_code == 0, result.output
    assert "begins from the start" not in result.stderr
    text = " ".join(CliRunner().invoke(main, ["train", "--help"]).stdout.split())
    assert "newest whole checkpoint, or the start if there is none." in text


def test_a_recipe_of_real_photographs_without_a_devkit_is_a_usage_error_that_says_how_to_have_one(tmp_path):
    result = CliRunner().invoke(main, ["train", "short", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "short trains on voc07: give --voc-root; `frcnn data voc07` fetches it" in result.stderr


def test_a_recipe_that_is_none_is_a_usage_error_that_lists_those_there_are(tmp_path):
    result = CliRunner().invoke(main, ["train", "swift", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "'swift' is no recipe" in result.stderr


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("tf", "device must be cpu, for which alone RoI pooling is there in TensorFlow, got 'cuda'"),
        ("torch", "torch finds no CUDA device on this machine; use device cpu"),
    ],
)
def test_a_device_that_there_is_not_is_refused_before_anything_is_made(tmp_path, monkeypatch, backend, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "run"
    result = CliRunner().invoke(main, ["train", "instant", "--backend", backend, "--device", "cuda", "--out", str(out)])
    assert (result.exit_code, said in result.stderr) == (1, True), result.output
    assert not out.exists()
    with pytest.raises(ValueError, match=said):
        trainer_module(backend).Trainer(None, None, {}, device="cuda")


def test_a_file_of_weights_that_there_is_not_is_refused_before_images_are_made(tmp_path):
    ask = ["train", "instant", "--weights", str(tmp_path / "nowhere.npz"), "--out", str(tmp_path / "run")]
    result = CliRunner().invoke(main, ask)
    assert (result.exit_code, "there is no file" in result.stderr) == (1, True), result.output
    assert not (tmp_path / "run").exists()


def test_the_help_says_of_precision_what_the_backends_take():
    text = " ".join(CliRunner().invoke(main, ["train", "--help"]).stdout.split())
    assert "tf32 and bfloat16, both with torch alone" in text
    alone = set(trainer_module("torch").PRECISIONS) - set(trainer_module("tf").PRECISIONS)
    assert alone == {"tf32", "bfloat16"}


@pytest.mark.parametrize(
    "ask",
    [
        ("train", "instant", "--weights", "absent.npz", "--out", "run"),
        ("test", "absent.safetensors", "instant", "--voc-root", "kit", "--out", "run"),
        ("detect", __file__, "--checkpoint", "absent.safetensors"),
        ("repro", "voc07", "--tier", "instant", "--svd", "fc6=99999", "--out", "run"),
    ],
    ids=" ".join,
)
def test_every_command_that_runs_a_network_has_openmp_s_threads_wait_asleep(ask, monkeypatch, tmp_path):
    """One that spins beside a busy neighbour takes twenty times as long."""
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(main, ask)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_openmp_s_threads_wait_asleep_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    let_threads_sleep()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_backend_that_cannot_run_here_ends_the_training_with_a_sentence(typed, monkeypatch):
    def without_a_compiler(*arguments, **options):
        raise UnavailableBackend("no C++ compiler was found")

    monkeypatch.setattr(training, "train", without_a_compiler)
    result = CliRunner().invoke(main, [*typed, "--iterations", "2"])
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (1, "Error: no C++ compiler was found")
