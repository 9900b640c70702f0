"""Selective search gives the same boxes whatever befell the run, and what was done is not done again."""

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

from frcnn.repro import selective_search as searching
from frcnn.repro.proposals import ProposalsError, of_split
from frcnn.repro.selective_search import selective_search
from frcnn.repro.voc import DevkitError, Photograph, Split

WIDTH, HEIGHT = 80, 60


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


def assert_same(got, wanted):
    assert list(got) == list(wanted)
    for name, boxes in wanted.items():
        np.testing.assert_array_equal(got[name], boxes)
        assert got[name].dtype == np.float32


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
