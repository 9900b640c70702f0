"""Proposals: what is read and written is what was meant, and what lies outside its photograph is named."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from frcnn.repro.proposals import ProposalsError, of_split, read_mat, read_npz, write_npz
from frcnn.repro.voc import Photograph, Split

WIDTH, HEIGHT = 80, 60
SOME = {"b": np.float32([[0, 0, 79, 59], [3, 4, 5, 6], [3, 4, 5, 6]]), "a": np.float32([[1, 2, 1, 2]])}


@pytest.fixture
def split():
    photographs = tuple(Photograph(name, Path(f"{name}.png"), WIDTH, HEIGHT, ()) for name in ("a", "b", "c"))
    return Split(Path(), "MadeUp", "train", (), photographs, ())


def only(split, *names):
    return replace(split, photographs=tuple(p for p in split.photographs if p.id in names))


def cells(*values):
    whole = np.empty((len(values), 1), object)
    whole[:, 0] = values
    return whole


def assert_same(got, wanted):
    assert list(got) == list(wanted)
    for name, boxes in wanted.items():
        np.testing.assert_array_equal(got[name], boxes)
        assert got[name].dtype == np.float32


# Files


def test_what_is_written_is_read_sorted_by_photograph_with_duplicates_and_order_kept(tmp_path):
    write_npz(tmp_path / "some.npz", SOME)
    assert_same(read_npz(tmp_path / "some.npz"), dict(sorted(SOME.items())))


def test_a_photograph_without_boxes_is_read_back_as_one(tmp_path):
    write_npz(tmp_path / "some.npz", {"a": np.empty((0, 4)), "b": SOME["b"], "c": np.empty((0, 4))})
    assert {name: boxes.shape for name, boxes in read_npz(tmp_path / "some.npz").items()} == {
        "a": (0, 4),
        "b": (3, 4),
        "c": (0, 4),
    }


def test_the_same_proposals_are_written_as_the_same_bytes_in_whatever_order_they_come(tmp_path):
    write_npz(tmp_path / "1.npz", SOME)
    write_npz(tmp_path / "2.npz", dict(reversed(SOME.items())))
    assert (tmp_path / "1.npz").read_bytes() == (tmp_path / "2.npz").read_bytes()


@pytest.mark.parametrize("value", [-1, 0.5, 65536, np.nan, np.inf])
def test_a_coordinate_that_the_file_cannot_hold_is_refused_and_nothing_is_written(tmp_path, value):
    with pytest.raises(ProposalsError, match=r"box 1 of photograph b is"):
        write_npz(tmp_path / "some.npz", {"a": SOME["a"], "b": [[0, 0, 1, 1], [0, 0, value, 1]]})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ids": np.array([b"a", b"a"])}, "names a again"),
        ({"ids": np.array([1, 2])}, "row of ids, bytes or text"),
        ({"offsets": np.array([0, 4])}, "one offset more than ids"),
        ({"offsets": np.array([0, 5, 4])}, "offsets that rise from 0"),
        ({"offsets": np.array([1, 1, 4])}, "offsets that rise from 0"),
        ({"offsets": np.array([0, 1, 3])}, "offsets that rise from 0"),
        ({"boxes": np.zeros((4, 5))}, r"boxes \(4, 5\)"),
        ({"boxes": np.array([["x"] * 4] * 4)}, "boxes that are numbers"),
    ],
)
def test_an_npz_that_is_not_of_proposals_is_refused_by_name(tmp_path, change, sentence):
    path = tmp_path / "some.npz"
    good = {"ids": np.array([b"a", b"b"]), "offsets": np.array([0, 1, 4]), "boxes": np.ones((4, 4), np.uint16)}
    np.savez(path, **good)
    assert sorted(read_npz(path)) == ["a", "b"]
    np.savez(path, **(good | change))
    with pytest.raises(ProposalsError, match=f"some.npz must .*{sentence}"):
        read_npz(path)


def test_a_file_that_is_missing_cut_short_or_no_npz_is_refused_by_name(tmp_path):
    write_npz(tmp_path / "whole.npz", SOME)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-30])
    np.savez(tmp_path / "without.npz", ids=np.array([b"a"]))
    np.save(tmp_path / "bare.npy", np.zeros(3))
    (tmp_path / "text.npz").write_text("no boxes here")
    for name in ("absent.npz", "cut.npz", "without.npz", "bare.npy", "text.npz"):
        with pytest.raises(ProposalsError, match=f"{name} must be an .npz with ids, offsets, boxes"):
            read_npz(tmp_path / name)


def test_ids_that_are_no_utf_8_are_refused_by_name(tmp_path):
    np.savez(tmp_path / "odd.npz", ids=np.array([b"\xff"]), offsets=np.array([0, 0]), boxes=np.empty((0, 4)))
    with pytest.raises(ProposalsError, match=r"odd\.npz must have ids in UTF-8, but has b'\\xff'"):
        read_npz(tmp_path / "odd.npz")


# The original's MATLAB files


def test_matlab_columns_are_y1_x1_y2_x2_from_one_and_become_x1_y1_x2_y2_from_zero(tmp_path):
    savemat(tmp_path / "some.mat", {"boxes": cells(np.uint16([[1, 11, 21, 31], [1, 11, 21, 31]]), np.empty((0, 0)))})
    got = read_mat(tmp_path / "some.mat", [["000005", "000007"]])
    assert_same(got, {"000005": [[10, 0, 30, 20]] * 2, "000007": np.empty((0, 4))})


def test_matlab_boxes_are_found_by_name_where_the_file_has_names(tmp_path):
    boxes = cells(*(np.float64([[1, 1, k, k]]) for k in (5, 6, 7)))
    savemat(tmp_path / "some.mat", {"boxes": boxes, "images": cells("000001", "VOC2007/000002.jpg", "000003")})
    got = read_mat(tmp_path / "some.mat", [["000003", "000002"]])
    assert_same(got, {"000001": [[0, 0, 4, 4]], "000002": [[0, 0, 5, 5]], "000003": [[0, 0, 6, 6]]})


def test_matlab_boxes_without_names_are_those_of_the_one_list_with_as_many_photographs(tmp_path):
    savemat(tmp_path / "some.mat", {"boxes": cells(np.ones((1, 4)), np.ones((1, 4)))})
    assert list(read_mat(tmp_path / "some.mat", [["a", "b", "c"], ["d", "e"]])) == ["d", "e"]
    for lists, many in (([["a", "b", "c"]], "3"), ([["a", "b"], ["c", "d"]], "2, 2")):
        with pytest.raises(ProposalsError, match=rf"no names of photographs .* 2 cells .* have {many} photographs"):
            read_mat(tmp_path / "some.mat", lists)


def test_a_matlab_zero_of_an_unsigned_type_becomes_a_box_outside_and_not_a_large_number(tmp_path, split):
    savemat(tmp_path / "some.mat", {"boxes": cells(np.uint16([[0, 1, 2, 3]]))})
    got = read_mat(tmp_path / "some.mat", [["a"]])
    assert_same(got, {"a": [[0, -1, 2, 1]]})
    with pytest.raises(ProposalsError, match=r"photograph a: box 0 is \(0, -1, 2, 1\)"):
        of_split(only(split, "a"), got)


def test_a_matlab_file_that_is_not_of_proposals_is_refused_by_name(tmp_path):
    savemat(tmp_path / "other.mat", {"something": np.ones(3)})
    savemat(tmp_path / "plain.mat", {"boxes": np.ones((3, 4))})
    savemat(tmp_path / "columns.mat", {"boxes": cells(np.ones((3, 5)))})
    savemat(tmp_path / "names.mat", {"boxes": cells(np.ones((1, 4))), "images": cells(np.ones(2))})
    savemat(tmp_path / "counts.mat", {"boxes": cells(np.ones((1, 4))), "images": cells("a", "b")})
    savemat(tmp_path / "twice.mat", {"boxes": cells(*[np.ones((1, 4))] * 2), "images": cells("a", "a")})
    (tmp_path / "text.mat").write_text("no boxes here, whatever the name may say " * 9)
    # What MATLAB 7.3 puts first: version 2.0, in the machine's order
    (tmp_path / "newer.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    for name, sentence in {
        "absent": "cannot be read: .*No such file or directory",
        "other": "cell array `boxes`",
        "plain": "cell array `boxes`",
        "columns": r"numbers \(R, 4\)",
        "names": "a name in each cell",
        "counts": "as many `images` as `boxes`",
        "twice": "names a again",
        "text": "cannot be read",
        "newer": "-v7",
    }.items():
        with pytest.raises(ProposalsError, match=rf"{name}\.mat.*{sentence}"):
            read_mat(tmp_path / f"{name}.mat", [["a"]])


# Against a split


def test_proposals_of_a_split_come_in_its_order_without_those_of_other_photographs(split):
    wrong_elsewhere = SOME | {"z": np.float32([[9, 9, 1, 1]])}
    assert_same(of_split(only(split, "a", "b"), wrong_elsewhere), {"a": SOME["a"], "b": SOME["b"]})


def test_a_photograph_of_the_split_without_proposals_is_named(split):
    with pytest.raises(ProposalsError, match="photograph c of MadeUp train has no proposals"):
        of_split(split, SOME)


@pytest.mark.parametrize(
    "box",
    [(-1, 0, 5, 5), (0, -1, 5, 5), (0, 0, 80, 5), (0, 0, 5, 60), (6, 0, 5, 5), (0, 6, 5, 5), (np.nan, 0, 5, 5)],
)
def test_a_box_that_leaves_its_photograph_or_holds_no_pixel_is_named(split, box):
    good = np.float32([[0, 0, 79, 59], [5, 5, 5, 5]])
    assert len(of_split(only(split, "a"), {"a": good})["a"]) == 2
    with pytest.raises(ProposalsError, match=r"photograph a: box 2 is .* 0 <= x1 <= x2 <= 79 and 0 <= y1 <= y2 <= 59"):
        of_split(only(split, "a"), {"a": np.vstack([good, np.float32(box)])})


def test_boxes_of_another_shape_are_named(split):
    with pytest.raises(ProposalsError, match=r"photograph a: boxes must have shape \(R, 4\), but have \(2, 5\)"):
        of_split(only(split, "a"), {"a": np.zeros((2, 5))})
