"""`frcnn test` and `frcnn detect`, as they are typed."""

import json
import shutil
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from frcnn.backends import UnavailableBackend
from frcnn.cli import main
from frcnn.repro import checkpoint, made_up, testing
from frcnn.repro.network import new_parameters, read_network
from frcnn.repro.proposals import write_npz
from frcnn.repro.recipe import read_recipe
from frcnn.repro.results import evaluate, mean_ap, read_results
from frcnn.repro.voc import read_split


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a devkit, proposals that hold its objects, and a checkpoint of drawn weights."""
    folder = tmp_path_factory.mktemp("trained")
    made_up.write_devkit(folder / "kit", seed=0, train=1, val=3)
    split = read_split(folder / "kit", made_up.YEAR, "val", classes=made_up.CLASSES)
    boxes = {one.id: np.float32([thing.box for thing in one.things] + [[0, 0, 99, 99]]) for one in split.photographs}
    write_npz(folder / "boxes.npz", boxes)
    arrays, _ = new_parameters(read_network("I"), 5, np.random.default_rng(0))
    recipe = json.loads(json.dumps(asdict(read_recipe("instant"))))
    state = {"recipe": recipe, "classes": list(made_up.CLASSES), "mean": [1.0, 2.0, 3.0], "iteration": 7}
    state |= {"target_means": [[0.0] * 4] * 6, "target_stds": [[1.0] * 4] * 6}
    checkpoint.save(folder / "run.safetensors", arrays, state)
    return folder


def typed(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def options(folder):
    return ["--voc-root", folder / "kit", "--proposals", folder / "boxes.npz"]


def test_a_test_writes_files_table_and_sheets_whole_and_cut(trained, tmp_path):
    result = typed(
        *("test", trained / "run.safetensors", "instant", *options(trained), "--out", tmp_path, "--svd", "fc6=3")
    )
    assert result.exit_code == 0, result.output
    split = read_split(trained / "kit", made_up.YEAR, "val", classes=made_up.CLASSES)
    tables = []
    for folder, svd in ((tmp_path, []), (tmp_path / "svd", ["fc6=3"])):
        table = json.loads((folder / "results.json").read_text())
        found = evaluate(split, read_results(folder / "detections", split))
        assert table["mean"]["11-point"] == pytest.approx(mean_ap(found, "11-point"), rel=1e-12)
        assert (table["setting"]["svd"], table["setting"]["iterations"], table["photographs"]) == (svd, 7, 3)
        assert not table["paper"]["comparable"]
        for sheet in ("curves", "detections", "mistakes"):
            assert cv2.imread(str(folder / f"{sheet}.png")) is not None
        tables.append(table)
    assert tables[1]["svd"]["drop"] == tables[0]["mean"]["11-point"] - tables[1]["mean"]["11-point"]
    assert tables[0]["classes"] != tables[1]["classes"]
    assert "By SVD (fc6=3) mean AP falls by" in result.stdout
    assert "network: I, the paper's L" in result.stdout


def test_a_picture_is_drawn_with_what_is_found_in_it(trained, tmp_path):
    image = trained / "kit" / "VOCMadeUp" / "JPEGImages" / "val_000001.png"
    ask = ["detect", image, "--checkpoint", trained / "run.safetensors", "--out", tmp_path]
    result = typed(*ask, "--least", "0.1")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert len(lines) > 1
    assert lines[1].split()[0] in made_up.CLASSES
    drawn, plain = cv2.imread(str(tmp_path / "val_000001.png")), cv2.imread(str(image))
    height, width, _ = plain.shape
    assert drawn.shape[0] > height  # by the line that says who found it
    assert drawn.shape[1] == width
    assert (drawn[:height] != plain).any()
    result = typed(*ask, "--least", "1")
    assert "0 found" in result.stdout
    assert (cv2.imread(str(tmp_path / "val_000001.png"))[:height] == plain).all()


def test_what_is_found_in_a_picture_does_not_depend_on_those_beside_it(trained, tmp_path):
    images = sorted((trained / "kit" / "VOCMadeUp" / "JPEGImages").glob("val_*.png"))
    ask = ["--checkpoint", trained / "run.safetensors", "--out", tmp_path, "--least", "0"]
    together = typed("detect", *images, *ask).stdout
    assert together == "".join(typed("detect", image, *ask).stdout for image in images)
    assert together.count("\n") > 20


@pytest.mark.parametrize(
    ("change", "code", "sentence"),
    [
        (["--svd", "fc6"], 2, "such as fc6=1024"),
        (["--svd", "fc6=10", "--svd", "fc6=20"], 2, "fc6 is given twice"),
        (["--svd", "fc7=2"], 1, "fc7 is no fully connected layer of I"),
        (["--svd", "fc6=9999"], 1, "fc6 has 128 singular values; 9999 cannot be kept"),
        (["--split", "other"], 1, "other.txt does not exist"),
    ],
)
def test_what_cannot_be_tested_ends_with_a_sentence(trained, tmp_path, change, code, sentence):
    ask = ["test", trained / "run.safetensors", "instant", *options(trained), "--out", tmp_path]
    result = typed(*ask, *change)
    assert result.exit_code == code
    assert sentence in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("backend", "said"),
    [("tf", "device must be cpu, for which alone"), ("torch", "torch finds no CUDA device on this machine")],
)
def test_a_device_that_there_is_not_ends_test_and_detect_with_a_sentence(trained, tmp_path, monkeypatch, backend, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    image = trained / "kit" / "VOCMadeUp" / "JPEGImages" / "val_000001.png"
    for command in (
        ["test", trained / "run.safetensors", "instant", *options(trained)],
        ["detect", image, "--checkpoint", trained / "run.safetensors"],
    ):
        result = typed(*command, "--backend", backend, "--device", "cuda", "--out", tmp_path / "out")
        assert (result.exit_code, said in result.stderr) == (1, True), result.output
    assert not (tmp_path / "out").exists()


def test_a_backend_that_cannot_run_here_ends_test_and_detect_with_a_sentence(trained, tmp_path, monkeypatch):
    def without_a_compiler(*arguments, **options):
        raise UnavailableBackend("no C++ compiler was found")

    monkeypatch.setattr(testing, "detect_split", without_a_compiler)
    image = trained / "kit" / "VOCMadeUp" / "JPEGImages" / "val_000001.png"
    for command in (
        ["test", trained / "run.safetensors", "instant", *options(trained)],
        ["detect", image, "--checkpoint", trained / "run.safetensors"],
    ):
        result = typed(*command, "--out", tmp_path / "out")
        assert (result.exit_code, result.stderr) == (1, "Error: no C++ compiler was found\n"), result.output


def test_a_photograph_that_ends_early_is_left_out_where_skipping_is_asked_for_and_never_drawn_on(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    own = tmp_path / "copy"
    half = own / "kit" / "VOCMadeUp" / "JPEGImages" / "val_000002.png"
    half.write_bytes(half.read_bytes()[:-2000])
    words = ["test", own / "run.safetensors", "instant", *options(own), "--out", tmp_path / "out"]
    result = typed(*words, "--bad", "skip")
    assert result.exit_code == 0, result.output
    assert "left out: val_000002: " in result.stderr
    assert json.loads((tmp_path / "out" / "results.json").read_text())["photographs"] == 2
    result = typed("detect", half, "--checkpoint", own / "run.safetensors", "--out", tmp_path / "drawn")
    assert result.exit_code == 1
    assert "val_000002.png cannot be decoded: it is no image, or its end is missing" in result.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda recipe: recipe.pop("warm_up"),
            "another version of frcnn: this one's recipes have other fields, warm_up",
        ),
        (lambda recipe: recipe.update(temperature=1), "other fields, temperature"),
        (lambda recipe: recipe.update(network="X"), "X"),
    ],
)
def test_a_checkpoint_with_another_recipe_ends_with_a_sentence_and_nothing_is_tested(trained, tmp_path, change, said):
    arrays, state = checkpoint.load(trained / "run.safetensors")
    change(state["recipe"])
    checkpoint.save(tmp_path / "other.safetensors", arrays, state)
    for words in (
        ("test", tmp_path / "other.safetensors", "instant", *options(trained)),
        ("detect", trained / "boxes.npz", "--checkpoint", tmp_path / "other.safetensors"),
    ):
        result = typed(*words, "--out", tmp_path / "out")
        assert (result.exit_code, said in " ".join(result.stderr.split())) == (1, True), result.output


def test_a_least_score_that_is_no_number_from_0_to_1_is_refused(trained, tmp_path):
    image = trained / "kit" / "VOCMadeUp" / "JPEGImages" / "val_000001.png"
    for least in ("nan", "-NaN", "1.5"):
        ask = ["detect", image, "--checkpoint", trained / "run.safetensors", "--out", tmp_path / "out"]
        result = typed(*ask, "--least", least)
        assert (result.exit_code, "Invalid value for '--least'" in result.stderr) == (2, True), result.output
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_ends_test_and_detect_before_anything_is_looked_at(trained, monkeypatch):
    def looked_at(*_, **__):
        raise AssertionError("hours of testing, of which nothing can be written")

    monkeypatch.setattr(testing, "detect_split", looked_at)
    image = trained / "kit" / "VOCMadeUp" / "JPEGImages" / "val_000001.png"
    for command in (
        ["test", trained / "run.safetensors", "instant", *options(trained)],
        ["detect", image, "--checkpoint", trained / "run.safetensors"],
    ):
        result = typed(*command, "--out", "/dev/null/x")
        assert (result.exit_code, "Not a directory: '/dev/null/x'" in result.stderr) == (2, True), result.output


def test_a_picture_is_never_drawn_over_one_that_was_given(trained, tmp_path, monkeypatch):
    names = ("a.png", "b.jpg")
    for name in names:
        cv2.imwrite(str(tmp_path / name), np.full((60, 80, 3), 90, np.uint8))
    before = [(tmp_path / name).read_bytes() for name in names]
    monkeypatch.chdir(tmp_path)
    ask = ["detect", *names, "--checkpoint", trained / "run.safetensors"]
    result = typed(*ask, "--out", tmp_path / "other" / "..")
    assert (result.exit_code, "a.png is one of the images" in " ".join(result.stderr.split())) == (2, True)
    assert [(tmp_path / name).read_bytes() for name in names] == before
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_file_that_is_no_checkpoint_or_no_picture_and_pictures_of_one_name_are_errors(trained, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    ask = ["detect", "--checkpoint", trained / "run.safetensors", "--out", tmp_path / "out"]
    result = typed(*ask, tmp_path / "text.png")
    assert (result.exit_code, "text.png cannot be decoded: it is no image" in result.stderr) == (1, True)
    result = typed(*ask, tmp_path / "text.png", tmp_path / "text.png")
    assert (result.exit_code, "two images are named text" in result.stderr) == (2, True)
    result = typed("test", tmp_path / "text.png", "instant", *options(trained), "--out", tmp_path)
    assert (result.exit_code, "no checkpoint" in result.stderr) == (1, True)
