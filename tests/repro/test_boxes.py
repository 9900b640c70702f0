"""Which proposals a run takes, and that it says so."""

import numpy as np
import pytest
from scipy.io import savemat

from frcnn.repro import boxes, made_up
from frcnn.repro.proposals import ProposalsError, write_npz
from frcnn.repro.report import file_digest
from frcnn.repro.voc import read_split

FILE, BESIDE, MADE = (np.float32([[0, 0, side, side]]) for side in (1, 2, 3))


@pytest.fixture
def splits(tmp_path):
    """Two lists of a devkit, with a file of boxes beside it."""
    root = tmp_path / "kit"
    made_up.write_devkit(root, seed=1, train=2, val=1)
    found = [read_split(root, made_up.YEAR, name, classes=made_up.CLASSES) for name in ("train", "val")]
    ids = [photograph.id for split in found for photograph in split.photographs]
    write_npz(tmp_path / "selective_search_fast.npz", dict.fromkeys(ids, BESIDE))
    write_npz(tmp_path / "mine.npz", dict.fromkeys(ids, FILE))
    return found


@pytest.fixture(autouse=True)
def making(monkeypatch):
    """Selective search, in no time; what it was asked for."""
    asked = []

    def make(split, mode, progress):
        asked.append((split.name, mode))
        return {photograph.id: MADE for photograph in split.photographs}

    monkeypatch.setattr(boxes, "selective_search", make)
    return asked


def test_a_file_that_is_given_is_taken_and_named_with_its_hash(splits, tmp_path, making):
    file = tmp_path / "mine.npz"
    found, said = boxes.boxes_for(splits, "fast", [file])
    assert said == f"mine.npz, sha256 {file_digest(file)}"
    assert [list(found), making] == [["train_000001", "train_000002", "val_000001"], []]
    assert all((own == FILE).all() for own in found.values())


def test_the_original_s_files_of_one_list_each_are_taken_together_and_all_named(splits, tmp_path, making):
    for split in splits:
        names, whole = (np.empty(len(split.photographs), object) for _ in range(2))
        for k, photograph in enumerate(split.photographs):
            names[k], whole[k] = photograph.id, FILE[:, [1, 0, 3, 2]] + 1
        savemat(tmp_path / f"{split.name}.mat", {"boxes": whole, "images": names})
    files = [tmp_path / "val.mat", tmp_path / "train.mat"]
    found, said = boxes.boxes_for(splits, "fast", files)
    assert said == f"val.mat, sha256 {file_digest(files[0])} and train.mat, sha256 {file_digest(files[1])}"
    assert [list(found), making] == [["train_000001", "train_000002", "val_000001"], []]
    assert all((own == FILE).all() for own in found.values())


def test_a_photograph_in_two_files_is_refused_since_one_would_be_left_out(splits, tmp_path):
    write_npz(tmp_path / "other.npz", {"train_000002": FILE})
    with pytest.raises(
        ProposalsError, match=r"other\.npz has boxes of photograph train_000002, as a file before it has"
    ):
        boxes.boxes_for(splits, "fast", [tmp_path / "mine.npz", tmp_path / "other.npz"])


def test_without_one_the_file_of_the_recipe_s_mode_beside_the_devkit_is_taken(splits, making):
    found, said = boxes.boxes_for(splits, "fast")
    assert said.startswith("selective_search_fast.npz, sha256 ")
    assert all((own == BESIDE).all() for own in found.values())
    assert making == []


def test_where_there_is_none_of_that_mode_they_are_made(splits, making):
    found, said = boxes.boxes_for(splits, "quality")
    assert said == "OpenCV's selective search, quality"
    assert making == [("train", "quality"), ("val", "quality")]
    assert len(found) == 3
    assert all((own == MADE).all() for own in found.values())


def test_a_file_that_lacks_a_photograph_is_refused_and_nothing_is_made_in_its_place(splits, tmp_path, making):
    write_npz(tmp_path / "selective_search_fast.npz", {"train_000001": BESIDE})
    with pytest.raises(ProposalsError, match=r"_fast\.npz: photograph train_000002 of MadeUp train has no"):
        boxes.boxes_for(splits, "fast")
    assert making == []
