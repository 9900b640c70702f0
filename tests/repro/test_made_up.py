"""Made-up images: the same from the same seed, read as any devkit, with boxes round what is seen."""

from collections import Counter

import cv2
import numpy as np
import pytest

from frcnn.repro import made_up
from frcnn.repro.made_up import CLASSES, MadeUpError, scene, write_devkit
from frcnn.repro.voc import read_image, read_split

SIZE = (240, 320)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("made-up")
    write_devkit(root, seed=7, train=40, val=10)
    return root


def read(root, name="train", **options):
    return read_split(root, "MadeUp", name, **{"classes": CLASSES, "check_images": True} | options)


def stored(root):
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_made_up_set_is_read_as_any_devkit(written):
    train, val = read(written), read(written, "val")
    assert (len(train.photographs), len(val.photographs)) == (40, 10)
    assert all((photograph.height, photograph.width) == SIZE for photograph in train.photographs)
    assert not {photograph.id for photograph in train.photographs} & {photograph.id for photograph in val.photographs}


def test_each_image_has_one_to_four_objects_of_30_to_150_pixels(written):
    photographs = read(written).photographs
    assert {len(photograph.things) for photograph in photographs} == {1, 2, 3, 4}
    for x1, y1, x2, y2 in (thing.box for photograph in photographs for thing in photograph.things):
        assert 30 <= min(x2 - x1, y2 - y1) + 1 <= max(x2 - x1, y2 - y1) + 1 <= 150


def test_every_class_and_some_difficult_objects_occur(written):
    split = read(written)
    assert min(split.counts().values()) >= 5
    difficult = Counter(thing.difficult for photograph in split.photographs for thing in photograph.things)
    assert 0 < difficult[True] < difficult[False] / 5


def test_the_same_arguments_give_the_same_bytes(written, tmp_path):
    write_devkit(tmp_path, seed=7, train=40, val=10)
    assert stored(tmp_path) == stored(written)


def test_an_image_does_not_depend_on_how_many_there_are(written, tmp_path):
    write_devkit(tmp_path, seed=7, train=2, val=1)
    for mine, theirs in (("train", 2), ("val", 1)):
        few, many = read(tmp_path, mine).photographs, read(written, mine).photographs[:theirs]
        assert [photograph.things for photograph in few] == [photograph.things for photograph in many]
        for a, b in zip(few, many, strict=True):
            np.testing.assert_array_equal(read_image(a), read_image(b))


def test_no_image_of_one_list_or_seed_is_one_of_another(written, tmp_path):
    write_devkit(tmp_path, seed=8, train=40, val=1)
    splits = read(written), read(written, "val"), read(tmp_path)
    pixels = [read_image(photograph).tobytes() for split in splits for photograph in split.photographs]
    assert len(set(pixels)) == 40 + 10 + 40


def test_boxes_enclose_what_is_seen(monkeypatch):
    channel = {}

    def painted(_, name, x, y):
        channel["next"] += 1
        return np.broadcast_to(255.0 * np.eye(3)[channel["next"] % 3], (*x.shape, 3))

    monkeypatch.setattr(made_up, "_ground", lambda _, size: np.zeros((*size, 3)))
    monkeypatch.setattr(made_up, "_painted", painted)
    hidden = 0
    for seed in range(30):
        channel["next"] = -1
        pixels, objects = scene(np.random.default_rng(seed), SIZE, CLASSES)
        for k, thing in enumerate(objects[:3] if len(objects) < 4 else ()):
            lit = pixels[:, :, k] > 20  # the blur lights 1 pixel beyond an edge so much, and none farther away
            columns, rows = np.flatnonzero(lit.any(0)) + 1, np.flatnonzero(lit.any(1)) + 1
            found = np.array([columns[0], rows[0], columns[-1], rows[-1]])
            beyond = (np.array(thing.box) - found) * (1, 1, -1, -1)
            assert ((0 <= beyond) & (beyond <= 1)).all(), (seed, thing, found)
            assert thing.whole or thing.seen < 1
            hidden += not thing.whole
    assert hidden > 3  # else nothing was shown about objects that hide each other


def test_what_is_seen_is_at_least_the_share_promised():
    shares = [thing.seen for seed in range(60) for thing in scene(np.random.default_rng(seed), SIZE, CLASSES)[1]]
    assert made_up.SEEN <= min(shares) < made_up.DIFFICULT < max(shares) == 1


def test_classes_may_be_fewer(tmp_path):
    write_devkit(tmp_path, seed=1, train=8, val=1, classes=("ring", "cone"))
    assert min(read(tmp_path, classes=("ring", "cone")).counts().values()) > 0


def test_the_size_is_height_and_width(tmp_path):
    write_devkit(tmp_path, seed=1, train=1, val=1, size=(160, 200))
    assert read_image(read(tmp_path).photographs[0]).shape == (160, 200, 3)


def test_a_set_that_is_there_is_left_as_it_is(written):
    times = {path: path.stat().st_mtime_ns for path in written.rglob("*")}
    assert write_devkit(written, seed=7, train=40, val=10) == written / "VOCMadeUp"
    assert {path: path.stat().st_mtime_ns for path in written.rglob("*")} == times


def test_a_set_that_was_made_otherwise_is_never_overwritten(written):
    with pytest.raises(MadeUpError, match=r"VOCMadeUp was made with seed 7, not seed 8; .* another root"):
        write_devkit(written, seed=8, train=40, val=10)


def test_a_folder_of_something_else_is_never_overwritten(tmp_path):
    (tmp_path / "VOCMadeUp").mkdir()
    with pytest.raises(MadeUpError, match="delete it or give another root"):
        write_devkit(tmp_path, seed=1, train=1, val=1)


def test_a_set_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    write = cv2.imwrite
    monkeypatch.setattr(cv2, "imwrite", lambda path, pixels: "val" not in path and write(path, pixels))
    with pytest.raises(OSError, match=r"cannot write .*val_000001.png"):
        write_devkit(tmp_path, seed=1, train=2, val=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"seed": -1}, "seed must be at least 0, but is -1"),
        ({"train": 0}, "train must be at least 1, but is 0"),
        ({"val": 0}, "val must be at least 1"),
        ({"size": (120, 320)}, r"each at least 160, but is \(120, 320\)"),
        ({"classes": ("ball", "dog")}, "classes must be some of .* but has 'dog'"),
        ({"classes": ("ball", "ball")}, "each once"),
        ({"classes": ()}, "at least one"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_written(tmp_path, wrong, words):
    with pytest.raises(MadeUpError, match=words):
        write_devkit(tmp_path, **{"seed": 1, "train": 1, "val": 1} | wrong)
    assert list(tmp_path.iterdir()) == []
