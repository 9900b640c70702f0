"""Proposals: what is read and written is what was meant, and selective search gives the same whatever befell it."""

import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.io import savemat

from frcnn.cli import main
from frcnn.repro import selective_search as searching
from frcnn.repro.proposals import ProposalsError, of_split, read_mat, read_npz, write_npz
from frcnn.repro.selective_search import selective_search
from frcnn.repro.voc import DevkitError, Photograph, Split

WIDTH, HEIGHT = 80, 60
SOME = {"b": np.float32([[0, 0, 79, 59], [3, 4, 5, 6], [3, 4, 5, 6]]), "a": np.float32([[1, 2, 1, 2]])}


def drawn(path, seed):
    """Rectangles on noise: something to segment."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 40, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for _ in range(4):
        x, y = rng.integers(0, (WIDTH - 25, HEIGHT - 20))
        cv2.rectangle(image, (int(x), int(y)), (int(x) + 24, int(y) + 15), rng.integers(60, 255, 3).tolist(), -1)
    cv2.imwrite(str(path), image)


@pytest.fixture
def split(tmp_path):
    photographs = []
    for seed, name in enumerate(("a", "b", "c")):
        path = tmp_path / f"{name}.png"
        drawn(path, seed)
        photographs.append(Photograph(name, path, WIDTH, HEIGHT, ()))
    return Split(tmp_path, "MadeUp", "train", (), tuple(photographs), ())


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


# The original's MATLAB files


def test_matlab_columns_are_y1_x1_y2_x2_from_one_and_become_x1_y1_x2_y2_from_zero(tmp_path):
    savemat(tmp_path / "some.mat", {"boxes": cells(np.uint16([[1, 11, 21, 31], [1, 11, 21, 31]]), np.empty((0, 0)))})
    got = read_mat(tmp_path / "some.mat", ["000005", "000007"])
    assert_same(got, {"000005": [[10, 0, 30, 20]] * 2, "000007": np.empty((0, 4))})


def test_matlab_boxes_are_found_by_name_where_the_file_has_names(tmp_path):
    boxes = cells(*(np.float64([[1, 1, k, k]]) for k in (5, 6, 7)))
    savemat(tmp_path / "some.mat", {"boxes": boxes, "images": cells("000001", "VOC2007/000002.jpg", "000003")})
    assert_same(
        read_mat(tmp_path / "some.mat", ["000003", "000002"]), {"000003": [[0, 0, 6, 6]], "000002": [[0, 0, 5, 5]]}
    )
    with pytest.raises(ProposalsError, match=r"some.mat has no boxes for photograph 000004"):
        read_mat(tmp_path / "some.mat", ["000004"])


def test_matlab_boxes_without_names_must_be_as_many_as_the_photographs(tmp_path):
    savemat(tmp_path / "some.mat", {"boxes": cells(np.ones((1, 4)), np.ones((1, 4)))})
    with pytest.raises(ProposalsError, match=r"no names of photographs .* 2 cells .* 3 photographs"):
        read_mat(tmp_path / "some.mat", ["a", "b", "c"])


def test_a_matlab_zero_of_an_unsigned_type_becomes_a_box_outside_and_not_a_large_number(tmp_path, split):
    savemat(tmp_path / "some.mat", {"boxes": cells(np.uint16([[0, 1, 2, 3]]))})
    got = read_mat(tmp_path / "some.mat", ["a"])
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
        "absent": "cannot be read",
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
            read_mat(tmp_path / f"{name}.mat", ["a"])


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


# Selective search


def test_selective_search_finds_a_rectangle_with_inclusive_corners():
    image = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    image[20:40, 30:61] = 220
    # The segmentation blurs first, so that edges may be off by a few pixels, but never all corners by the same one.
    boxes = searching.boxes_of(image, "fast")
    assert [0, 0, WIDTH - 1, HEIGHT - 1] in boxes.tolist()
    assert (np.abs(boxes - [30, 20, 60, 39]).max(axis=1) <= 2).any()


@pytest.mark.parametrize("mode", ["fast", "quality"])
def test_boxes_of_a_photograph_do_not_depend_on_what_the_process_did_before(split, mode):
    first, other = (cv2.imread(str(photograph.path)) for photograph in split.photographs[:2])
    boxes = searching.boxes_of(first, mode)
    searching.boxes_of(other, mode)
    np.testing.assert_array_equal(searching.boxes_of(first, mode), boxes)


def test_proposals_are_the_same_for_any_number_of_processes_and_lie_in_the_photographs(split, tmp_path):
    one = selective_search(split, workers=1, cache=tmp_path / "1")
    assert_same(selective_search(split, workers=2, cache=tmp_path / "2"), one)
    assert_same(of_split(split, one), one)
    direct = {p.id: searching.boxes_of(cv2.imread(str(p.path)), "fast") for p in split.photographs}
    assert_same(one, direct)


def test_a_run_that_was_stopped_goes_on_where_it_was(split, tmp_path):
    cache, last = tmp_path / "cache", split.photographs[2].path
    whole = last.read_bytes()
    last.write_bytes(whole[:100])
    with pytest.raises(DevkitError, match=r"c\.png"):
        selective_search(split, workers=1, cache=cache)
    assert multiprocessing.active_children() == []
    done = {file: file.stat().st_mtime_ns for file in cache.iterdir()}
    assert len(done) == 2
    last.write_bytes(whole)
    found = selective_search(split, workers=1, cache=cache)
    assert list(found) == ["a", "b", "c"]
    assert {file: file.stat().st_mtime_ns for file in done} == done
    assert len(list(cache.iterdir())) == 3


def test_boxes_are_kept_by_what_the_photograph_shows_and_by_mode(split, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    found = selective_search(only(split, "a"), workers=1, cache=cache)
    moved = tmp_path / "elsewhere.png"
    shutil.copy(split.photographs[0].path, moved)
    again = replace(split, photographs=(replace(split.photographs[0], id="other", path=moved),))
    monkeypatch.setattr(searching, "_fill", None)  # it would fail if anything were to be computed
    assert_same(selective_search(again, cache=cache), {"other": found["a"]})
    drawn(moved, 9)
    with pytest.raises(TypeError):
        selective_search(again, cache=cache)
    with pytest.raises(TypeError):
        selective_search(only(split, "a"), "quality", cache=cache)
    monkeypatch.setattr(cv2, "__version__", "another")
    with pytest.raises(TypeError):
        selective_search(only(split, "a"), cache=cache)


def test_a_damaged_file_of_the_cache_is_named_with_what_to_do(split, tmp_path):
    selective_search(only(split, "a"), workers=1, cache=tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ProposalsError, match=f"{file.name}.*delete it"):
        selective_search(only(split, "a"), workers=1, cache=tmp_path / "cache")


def test_boxes_from_the_cache_are_held_to_the_size_that_is_annotated(split, tmp_path):
    selective_search(only(split, "a"), workers=1, cache=tmp_path / "cache")
    narrower = replace(split, photographs=(replace(split.photographs[0], width=WIDTH - 1),))
    with pytest.raises(ProposalsError, match=r"a\.png: box .* is 79 x 60"):
        selective_search(narrower, cache=tmp_path / "cache")


RUN = """
import multiprocessing, pathlib, pickle, sys, threading, time
from frcnn.repro.selective_search import selective_search

def tell():
    while not (started := multiprocessing.active_children()):
        time.sleep(0.001)
    print(started[0].pid, flush=True)

if __name__ == "__main__":
    threading.Thread(target=tell, daemon=True).start()
    split = pickle.loads(pathlib.Path(sys.argv[1]).read_bytes())
    selective_search(split, workers=1, cache=pathlib.Path(sys.argv[2]))
"""


def test_no_process_outlives_a_run_that_is_killed(split, tmp_path):
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "split").write_bytes(pickle.dumps(split))
    command = [sys.executable, tmp_path / "run.py", tmp_path / "split", tmp_path / "cache"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        worker = int(run.stdout.readline())
        run.kill()
        try:
            # The worker has the other end of this pipe too: it is only closed when that has ended.
            run.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.kill(worker, signal.SIGKILL)
            raise


def test_a_process_that_is_killed_ends_the_run_with_advice(split, tmp_path):
    def kill():
        while not (started := multiprocessing.active_children()):
            time.sleep(0.001)
        started[0].kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    with pytest.raises(ProposalsError, match=r"ended by itself.*fewer workers than 1"):
        selective_search(split, workers=1, cache=tmp_path / "cache")
    killer.join()
    assert list(selective_search(split, workers=1, cache=tmp_path / "cache")) == ["a", "b", "c"]


def test_an_opencv_without_the_module_an_unknown_mode_and_no_workers_are_refused(split, tmp_path, monkeypatch):
    with pytest.raises(ProposalsError, match="fast, quality, got 'best'"):
        selective_search(split, "best", cache=tmp_path)
    with pytest.raises(ProposalsError, match="at least 1, got 0"):
        selective_search(split, workers=0, cache=tmp_path)
    monkeypatch.delattr(cv2, "ximgproc")
    with pytest.raises(ProposalsError, match="opencv-contrib-python-headless"):
        selective_search(split, cache=tmp_path)


# The command


def devkit(folder, split):
    """The split as a devkit with one object of class thing in each photograph."""
    year = folder / "VOCMadeUp"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    for photograph in split.photographs:
        shutil.copy(photograph.path, year / "JPEGImages" / photograph.path.name)
        (year / "Annotations" / f"{photograph.id}.xml").write_text(
            f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height></size><object><name>thing</name>"
            "<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>80</xmax><ymax>60</ymax></bndbox>"
            "</object></annotation>"
        )
    for name, listed in {"train": "a\nb\n", "val": "c\n"}.items():
        (year / "ImageSets" / "Main" / f"{name}.txt").write_text(listed)
    return ["--voc-root", str(folder), "--year", "MadeUp", "--class", "thing"]


def test_the_command_makes_proposals_of_several_splits_and_says_how_many(split, tmp_path):
    where = devkit(tmp_path / "kit", split)
    out = tmp_path / "made.npz"
    options = ["--split", "train", "--split", "val", "--workers", "1", "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(main, ["proposals", "make", *where, *options, "--out", str(out)])
    assert result.exit_code == 0, result.output
    made = read_npz(out)
    assert list(made) == ["a", "b", "c"]
    assert f"{sum(map(len, made.values()))} boxes of 3 photographs" in result.stdout


def test_the_command_measures_recall_of_an_npz_and_of_a_matlab_file_and_draws_it(split, tmp_path):
    where = devkit(tmp_path / "kit", split)
    whole = np.float32([[0, 0, 79, 59]])
    write_npz(tmp_path / "some.npz", {"a": whole, "b": np.float32([[0, 0, 79, 38]])})  # 39 of 60 rows
    savemat(tmp_path / "some.mat", {"boxes": cells([[1, 1, 60, 80]], [[1, 1, 39, 80]])})
    lines = []
    for name in ("some.npz", "some.mat"):
        plot = tmp_path / f"{name}.png"
        options = ["--split", "train", "--proposals", str(tmp_path / name), "--plot", str(plot)]
        result = CliRunner().invoke(main, ["proposals", "recall", *where, *options])
        assert result.exit_code == 0, result.output
        assert cv2.imread(str(plot)) is not None
        lines.append(next(line.split() for line in result.stdout.splitlines() if line.startswith("thing")))
    # Overlaps 1 and .65: 2 / 2 * ((1 - .5) + (.65 - .5))
    assert lines == [["thing", "2", "1.000", "1.000", "0.500", "0.500", "0.500", "0.650"]] * 2


def test_the_command_ends_with_a_sentence_where_proposals_or_devkit_are_wrong(split, tmp_path):
    where = devkit(tmp_path / "kit", split)
    write_npz(tmp_path / "some.npz", {"a": SOME["a"]})
    ask = ["proposals", "recall", "--proposals", str(tmp_path / "some.npz")]
    missing = CliRunner().invoke(main, [*ask, *where, "--split", "train"])
    assert (missing.exit_code, missing.stderr.startswith("Error: photograph b of MadeUp train")) == (1, True)
    absent = CliRunner().invoke(main, [*ask, *where, "--split", "test"])
    assert absent.exit_code == 1
    assert "test.txt does not exist" in absent.stderr
