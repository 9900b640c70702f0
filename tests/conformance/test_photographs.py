"""Photographs become maps at the paper's scale, once each, and what is missing is named."""

import os

import cv2
import numpy as np
import pytest

from frcnn.conformance import photographs, vgg16
from frcnn.conformance.photographs import RealDataError

BOXES = np.array([[0, 0, 9, 9], [3, 5, 31, 40], [10, 20, 30, 39], [1, 1, 58, 38], [7, 7, 8, 8]], np.uint16)


class Devkit:
    """A made-up devkit of six photographs of 60 x 40 pixels with proposals beside it, and weights that are all zero."""

    def __init__(self, folder):
        self.root = folder / "VOCdevkit"
        self.proposals = folder / "selective_search_fast.npz"
        self.weights = folder / "weights.npz"
        self.cache = folder / "deep" / "cache"
        self.ids = [f"00000{k}" for k in range(6)]
        self.lines = []
        self.year = self.root / "VOC2007"
        (self.year / "ImageSets" / "Main").mkdir(parents=True)
        (self.year / "JPEGImages").mkdir()
        self.val = self.year / "ImageSets" / "Main" / "val.txt"
        self.val.write_text("".join(f"{name}\n" for name in self.ids))
        for k, name in enumerate(self.ids):
            pixels = np.random.default_rng(k).integers(0, 256, (40, 60, 3), dtype=np.uint8)
            cv2.imwrite(str(self.jpeg(name)), pixels)
        self.propose({name: BOXES[k:] for k, name in enumerate(self.ids)})
        shapes = {f"{n}/w": (o, c, 3, 3) for n, c, o in vgg16.LAYERS} | {f"{n}/b": (o,) for n, _, o in vgg16.LAYERS}
        np.savez_compressed(self.weights, **{name: np.zeros(shape, np.float16) for name, shape in shapes.items()})

    def jpeg(self, name):
        return self.year / "JPEGImages" / f"{name}.jpg"

    def propose(self, boxes):
        offsets = np.cumsum([0, *map(len, boxes.values())])
        np.savez(self.proposals, ids=np.array([*boxes], "S6"), offsets=offsets, boxes=np.concatenate([*boxes.values()]))

    def prepare(self, count=2, **changes):
        places = {"voc_root": self.root, "weights": self.weights, "proposals": None, "cache": self.cache}
        return photographs.prepare(**places | changes, count=count, progress=self.lines.append)

    def refusal(self, **changes):
        """The sentence with which `prepare` refuses, having computed and stored nothing."""
        with pytest.raises(RealDataError) as caught:
            self.prepare(**changes)
        assert not any(self.cache.glob("*"))
        return str(caught.value)


@pytest.fixture
def devkit(tmp_path, monkeypatch):
    """The network is replaced, since the paper's scale would take seconds; one test below has the real one."""
    monkeypatch.setattr(vgg16, "conv5_3", lambda image, weights: np.repeat(image[:1, ::16, ::16], 512, axis=0))
    return Devkit(tmp_path)


@pytest.mark.parametrize(
    ("size", "scale"),
    [
        ((375, 500), 1.6),
        ((500, 375), 1.6),
        ((600, 1000), 1.0),
        ((200, 500), 2.0),  # 3.0 would make the longer side 1500
        ((1, 1000), 1.0),
        ((3000, 2400), 0.25),
        ((10000, 5990), 0.1),
        ((1667, 1000), 0.6),  # 1000.2 pixels round to 1000: the shorter side still decides
    ],
)
def test_the_shorter_side_becomes_600_unless_the_longer_exceeds_1000(size, scale):
    assert photographs.image_scale(*size) == scale


def test_the_mean_leaves_before_resizing_and_blue_comes_first():
    image, scale = photographs.resized(np.full((300, 400, 3), (10, 20, 30), np.uint8))
    assert (image.shape, image.dtype, scale) == ((3, 600, 800), np.float32, 2.0)
    for channel, value in enumerate(np.float32([10, 20, 30]) - np.float32([103.939, 116.779, 123.68])):
        np.testing.assert_array_equal(image[channel], value)


def test_a_camera_s_note_on_orientation_is_not_followed(tmp_path):
    jpeg = cv2.imencode(".jpg", np.zeros((4, 8, 3), np.uint8))[1].tobytes()
    turned = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # orientation 6: a quarter turn
    note = b"\xff\xe1" + (len(turned) + 2).to_bytes(2) + turned
    (tmp_path / "turned.jpg").write_bytes(jpeg[:2] + note + jpeg[2:])
    assert cv2.imread(str(tmp_path / "turned.jpg")).shape == (8, 4, 3)
    assert photographs.decoded(tmp_path / "turned.jpg").shape == (4, 8, 3)


def test_photographs_are_spaced_evenly_over_the_list(devkit):
    assert [photographs.load(path).image_id for path in devkit.prepare(count=3)] == ["000000", "000002", "000004"]


def test_fewer_photographs_are_among_more_where_one_count_divides_the_other(devkit):
    assert set(devkit.prepare(count=2)) < set(devkit.prepare(count=6))


def test_boxes_are_scaled_without_rounding(devkit):
    real = photographs.load(devkit.prepare(count=1)[0])
    assert real.image_scale == 15.0
    assert real.rois.dtype == np.float32
    np.testing.assert_array_equal(real.rois, [[0, *15 * box] for box in BOXES.astype(int)])
    cv2.imwrite(str(devkit.jpeg("000000")), np.zeros((70, 90, 3), np.uint8))
    rois = photographs.load(devkit.prepare(count=1)[0]).rois
    np.testing.assert_array_equal(rois[:, 1:], np.float32(BOXES * (600 / 70)))


def test_a_photograph_may_have_one_box_or_none(devkit):
    *_, one, none = devkit.prepare(count=6)
    assert photographs.load(one).rois.shape == (1, 5)
    assert photographs.load(none).rois.shape == (0, 5)


def test_the_map_is_one_image_of_the_resized_photograph(devkit):
    real = photographs.load(devkit.prepare(count=1)[0])
    image, _ = photographs.resized(photographs.decoded(devkit.jpeg("000000")))
    assert (real.features.shape, real.features.dtype) == ((1, 512, 38, 57), np.float32)
    np.testing.assert_array_equal(real.features[0, 511], image[0, ::16, ::16])


def test_the_real_network_runs_on_a_strip(tmp_path):
    devkit = Devkit(tmp_path)
    cv2.imwrite(str(devkit.jpeg("000000")), np.zeros((2, 125, 3), np.uint8))
    features = photographs.load(devkit.prepare(count=1)[0]).features
    assert features.shape == (1, 512, 1, 63)
    assert not features.any()


def test_a_second_run_takes_every_map_from_the_cache(devkit, monkeypatch):
    paths = devkit.prepare()
    assert [line.split(",")[0] for line in devkit.lines] == ["photograph 1 of 2: 000000", "photograph 2 of 2: 000003"]
    monkeypatch.setattr(vgg16, "conv5_3", None)
    assert devkit.prepare() == paths
    assert devkit.lines[2:] == [
        "photograph 1 of 2: 000000, from the cache",
        "photograph 2 of 2: 000003, from the cache",
    ]


def test_another_photograph_box_weight_or_line_of_code_is_another_map(devkit, monkeypatch, tmp_path):
    paths = {devkit.prepare(count=1)[0]}
    cv2.imwrite(str(devkit.jpeg("000000")), np.ones((40, 60, 3), np.uint8))
    paths.add(devkit.prepare(count=1)[0])
    devkit.propose(dict.fromkeys(devkit.ids, BOXES + 1))
    paths.add(devkit.prepare(count=1)[0])
    with np.load(devkit.weights) as weights:
        np.savez_compressed(devkit.weights, **{**weights, "conv1_1/b": np.ones(64, np.float16)})
    paths.add(devkit.prepare(count=1)[0])
    (tmp_path / "vgg16.py").write_text("")
    monkeypatch.setattr(vgg16, "__file__", str(tmp_path / "vgg16.py"))
    paths.add(devkit.prepare(count=1)[0])
    assert len(paths) == 5


def test_a_run_that_is_cut_off_leaves_nothing_half_written(devkit, monkeypatch):
    def cut_off(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        devkit.prepare()
    assert list(devkit.cache.iterdir()) == []


def test_the_year_is_2007_where_there_are_several_and_another_where_it_is_not(devkit):
    other = devkit.root / "VOC2006"
    (other / "ImageSets" / "Main").mkdir(parents=True)
    (other / "ImageSets" / "Main" / "val.txt").write_text("000005\n")
    assert photographs.load(devkit.prepare(count=1)[0]).image_id == "000000"
    devkit.val.unlink()
    (other / "JPEGImages").mkdir()
    devkit.jpeg("000005").rename(other / "JPEGImages" / "000005.jpg")
    assert photographs.load(devkit.prepare(count=1)[0]).image_id == "000005"


def test_proposals_may_lie_elsewhere(devkit, tmp_path):
    elsewhere = devkit.proposals.rename(tmp_path / "mine.npz")
    assert len(devkit.prepare(proposals=elsewhere)) == 2


def test_the_proposals_beside_a_relative_devkit_are_found(devkit, monkeypatch):
    monkeypatch.chdir(devkit.root)
    assert len(devkit.prepare(voc_root=".")) == 2


def test_a_folder_that_is_no_devkit_is_refused(devkit):
    for folder in (devkit.root / "VOC2007", devkit.root / "nowhere"):
        want = f"{folder} must be a VOCdevkit folder with VOC2007/ImageSets/Main/val.txt, but has none"
        assert devkit.refusal(voc_root=folder) == want


def test_a_list_that_is_too_short_is_refused(devkit):
    want = f"{devkit.val} must name at least the 7 photographs asked for, but names 6"
    assert devkit.refusal(count=7) == want


def test_a_missing_photograph_is_refused(devkit):
    devkit.jpeg("000003").unlink()
    want = f"{devkit.jpeg('000003')} must be a photograph that the devkit's val list names, but there is no such file"
    assert devkit.refusal() == want


@pytest.mark.parametrize("content", [b"", b"not a photograph"])
def test_a_photograph_that_cannot_be_decoded_is_refused(devkit, content):
    devkit.jpeg("000000").write_bytes(content)
    want = f"{devkit.jpeg('000000')} must be a photograph, but OpenCV cannot decode it"
    assert devkit.refusal() == want


def test_missing_proposals_are_refused(devkit):
    devkit.proposals.unlink()
    want = f"{devkit.proposals} must be a file of selective-search boxes, but there is no such file"
    assert devkit.refusal() == want


def test_proposals_that_leave_a_photograph_out_are_refused(devkit):
    devkit.propose(dict.fromkeys(devkit.ids[:3], BOXES))
    want = f"{devkit.proposals} has no boxes for photograph 000003, which the devkit's val list names"
    assert devkit.refusal() == want


def test_proposals_of_another_format_are_refused(devkit):
    np.savez(devkit.proposals, boxes=BOXES)
    assert devkit.refusal().startswith(f"{devkit.proposals} must be an .npz file with ids, offsets, boxes, but cannot")
    devkit.proposals.write_bytes(b"PK cut short")
    assert devkit.refusal().startswith(f"{devkit.proposals} must be an .npz file with ids, offsets, boxes, but cannot")
    np.savez(devkit.proposals, ids=np.array(devkit.ids, "S6"), offsets=np.arange(7), boxes=BOXES)
    assert devkit.refusal() == (
        f"{devkit.proposals} must have one offset more than ids and boxes (offsets[-1], 4), "
        "but has ids (6,), offsets (7,), boxes (5, 4)"
    )


def test_missing_weights_are_refused(devkit):
    devkit.weights.unlink()
    want = f"{devkit.weights} must be a file of VGG16's convolutions, but there is no such file"
    assert devkit.refusal() == want


def test_weights_of_another_network_are_refused(devkit):
    np.savez(devkit.weights, **{"conv1/w": np.zeros((96, 3, 7, 7))})
    assert devkit.refusal().startswith(
        f"{devkit.weights} must be an .npz file that holds conv1_1/w, but cannot be read"
    )


def test_a_file_that_is_no_stored_map_is_refused(devkit):
    with pytest.raises(
        RealDataError, match=r"selective_search_fast\.npz must be an \.npz file with image_id, features"
    ):
        photographs.load(devkit.proposals)
    with pytest.raises(RealDataError, match=r"nowhere\.npz must be an \.npz file with image_id, features"):
        photographs.load(devkit.cache / "nowhere.npz")
