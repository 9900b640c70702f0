"""The folder of a test: why its figures are not comparable with the paper's, and what it says of SVD."""

import dataclasses
import json

import numpy as np
import pytest
from made_up_answers import split_of

from frcnn.repro import pictures
from frcnn.repro.model import Model
from frcnn.repro.network import read_network
from frcnn.repro.recipe import read_recipe
from frcnn.repro.test_folder import reasons_of, setting_of, write_test
from frcnn.repro.testing import PARTS, Detections

THEIRS = "voc_2007_trainval.mat, sha256 0"
TRAINED_ON = {"year": "2007", "set": "trainval", "photographs": 5011, "proposals": THEIRS}


def model(recipe, **changes):
    """A network L that was trained as the paper's."""
    state = {"recipe": json.loads(json.dumps(dataclasses.asdict(recipe))), "iteration": recipe.iterations}
    state |= {"weights": "ImageNet, all layers but cls_score and bbox_pred", "trained_on": TRAINED_ON}
    state |= {"made_by": {"precision": "float32"}} | changes
    return Model(read_network("L"), {}, ("cat",), recipe, state)


def split(count, year="2007", name="test"):
    one = split_of(("cat",), [("cat", (0, 0, 9, 9))])
    return dataclasses.replace(one, year=year, name=name, photographs=one.photographs * count)


def reasons(model, recipe, split, source="voc_2007_test.mat, sha256 1"):
    return reasons_of(model, recipe, setting_of(model, recipe, split, {}), source)


def test_the_paper_s_own_way_has_no_reason_not_to_be_compared_with_it():
    original = read_recipe("full", profile="caffe-2015")
    assert reasons(model(original), original, split(4952)) == []


def test_everything_that_was_done_otherwise_is_a_reason_whether_in_training_or_in_the_test():
    trained = read_recipe(
        "full", learning_rate=0.1, difficult=False, flips=False, dropout=0.0, frozen=[], rois_per_image=8, seed=9
    )
    asked = read_recipe("full", profile="caffe-2015", nms_threshold=0.9, per_image=1, learning_rate=0.5)
    found = reasons(model(trained), asked, split(1), "boxes.npz, sha256 2")
    assert found == [
        "data: voc07, 1 of the 4952 photographs of test, the paper's voc07",
        "difficult: False, the paper's True",
        "flips: False, the paper's True",
        "profile: exact, the paper's caffe-2015",
        "rois per image: 8, the paper's 64",
        "frozen: none, the paper's conv1_1, conv1_2, conv2_1, conv2_2",
        "dropout: 0.0, the paper's 0.5",
        "learning rate: 0.1, the paper's 0.001",
        "nms threshold: 0.9, the paper's 0.3",
        "per image: 1, the paper's 100",
        "proposals: boxes.npz, sha256 2, the paper's: the authors' .mat files",
    ]


@pytest.mark.parametrize("profiles", [("caffe-2015", "exact"), ("exact", "caffe-2015"), ("exact", "exact")])
def test_the_profile_is_followed_in_training_and_in_the_test(profiles):
    trained, asked = (read_recipe("full", profile=profile) for profile in profiles)
    assert reasons(model(trained), asked, split(4952)) == ["profile: exact, the paper's caffe-2015"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"set": "val", "photographs": 2510}, ["train set: val, the paper's trainval"]),
        ({"year": "2012", "photographs": 11540}, ["train year: 2012, the paper's 2007"]),
        ({"photographs": 5}, ["data: voc07, 5 of the 5011 photographs of trainval, the paper's voc07"]),
        ({"proposals": "own.npz, sha256 3"}, ["proposals: own.npz, sha256 3, the paper's: the authors' .mat files"]),
    ],
)
def test_what_it_was_trained_on_is_what_the_checkpoint_says_and_not_the_recipe(changes, said):
    original = read_recipe("full", profile="caffe-2015")
    assert reasons(model(original, trained_on=TRAINED_ON | changes), original, split(4952)) == said


def test_a_checkpoint_that_does_not_say_what_it_was_trained_on_is_comparable_with_nothing():
    full, old = read_recipe("full"), model(read_recipe("full"))
    del old.state["trained_on"]
    found = "\n".join(reasons(old, full, split(4952)))
    for name in ("train year", "train set", "proposals"):
        assert f"{name}: unknown, the paper's" in found


@pytest.mark.parametrize(
    ("trained", "tested", "seen"),
    [
        (("2007", "val"), ("2007", "val"), "2007 val"),
        (("2007", "trainval"), ("2007", "val"), "2007 val"),
        (("2007", "train"), ("2007", "trainval"), "2007 train"),
        (("2007", "trainval"), ("2007", "trainval"), "2007 train and 2007 val"),
        (("2012", "val"), ("2007", "val"), None),
        (("2007", "train"), ("2007", "val"), None),
    ],
)
def test_a_test_on_photographs_that_were_trained_on_says_so(trained, tested, seen):
    full = read_recipe("full")
    own = model(full, trained_on=TRAINED_ON | dict(zip(("year", "set"), trained, strict=True)))
    said = [one for one in reasons(own, full, split(9, *tested)) if one.startswith("tested on")]
    assert said == ([f"tested on photographs that it was trained on: those of {seen}"] if seen else [])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (0.5, 1.0, "mean AP rises by 50.00 points"),
        (1.0, 1.0, "mean AP falls by 0.00 points"),
        (None, 1.0, "no mean to compare"),
    ],
)
def test_what_svd_changes_has_its_direction_in_words(tmp_path, monkeypatch, before, after, said):
    for sheet in ("detections_sheet", "mistakes_sheet"):  # of photographs that there are not
        monkeypatch.setattr(pictures, sheet, lambda *arguments: None)
    full = read_recipe("full")
    own = split(1)
    found = Detections({"cat": np.array([[0, 0.5, 0, 0, 9, 9]])}, dict.fromkeys(PARTS, 0.1))
    whole = {"mean": {"11-point": before}, "seconds_an_image": dict.fromkeys(PARTS, 0.2)}
    table = write_test(
        tmp_path, model(full), own, found, setting_of(model(full), full, own, {"fc6": 3}), ["why"], whole
    )
    assert table["mean"]["11-point"] == after
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert f"By SVD (fc6=3) {said}, and an image takes 0.400 s, not 0.800 s." in text
    assert "- why\n" in text


def test_every_picture_of_a_test_is_titled_with_the_framework_that_trained_and_the_seed(tmp_path, monkeypatch):
    titles = []
    for sheet in ("curves_sheet", "detections_sheet", "mistakes_sheet"):
        monkeypatch.setattr(pictures, sheet, lambda *arguments: titles.append(arguments[3]))
    full, own = read_recipe("full", seed=7), split(1)
    trained = model(full, made_by={"framework": "torch 2.13.0", "precision": "float32"})
    found = Detections({"cat": np.array([[0, 0.5, 0, 0, 9, 9]])}, dict.fromkeys(PARTS, 0.1))
    write_test(tmp_path, trained, own, found, setting_of(trained, full, own, {}), [])
    assert titles == ["network L, trained by torch 2.13.0 with seed 7, tested on VOC2007 test"] * 3
    assert (tmp_path / "results.md").read_text(encoding="utf-8").startswith(f"# {titles[0]}\n")
    write_test(tmp_path, trained, own, found, setting_of(trained, full, own, {"fc6": 3}), [])
    assert titles[3:] == [f"{titles[0]} with fc6=3 by SVD"] * 3


def test_a_checkpoint_that_does_not_name_its_framework_is_titled_so():
    assert model(read_recipe("full")).title == "network L, trained by an unknown framework with seed 3"
