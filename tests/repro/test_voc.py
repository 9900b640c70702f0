"""A devkit is read as published, and everything that is wrong with one is an error or a reported skip."""

import cv2
import numpy as np
import pytest

from frcnn.repro import voc
from frcnn.repro.voc import DevkitError, Thing, read_image, read_split

DOG = "<object><name>dog</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"
HEIGHT, WIDTH = 30, 40


def corners(xmin, ymin, xmax, ymax):
    return f"<xmin>{xmin}</xmin><ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax>"


def dog(*box, difficult=0):
    return DOG.format(difficult=difficult, corners=corners(*box))


def annotation(*objects, size=f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"):
    return f"<annotation>{size}{''.join(objects)}</annotation>"


class Devkit:
    """A devkit of two sound photographs, a and b, one dog each; a test spoils the second."""

    def __init__(self, root):
        self.root = root
        self.folder = root / "VOC2007"
        for name in ("ImageSets/Main", "JPEGImages", "Annotations"):
            (self.folder / name).mkdir(parents=True)
        self.listed("a\nb\n")
        for image_id in "ab":
            self.annotated(annotation(dog(1, 2, 10, 20)), image_id)
            assert cv2.imwrite(str(self.image(image_id)), np.full((HEIGHT, WIDTH, 3), (10, 20, 200), np.uint8))

    def image(self, image_id="b", suffix=".jpg"):
        return self.folder / "JPEGImages" / f"{image_id}{suffix}"

    def annotated(self, text, image_id="b"):
        (self.folder / "Annotations" / f"{image_id}.xml").write_text(text, encoding="utf-8")

    def listed(self, text, name="train"):
        (self.folder / "ImageSets" / "Main" / f"{name}.txt").write_text(text, encoding="utf-8")

    def read(self, **options):
        return read_split(self.root, "2007", "train", **options)

    def refused(self, *words, **options):
        """The second photograph is an error that says `words`, and on request a skip for the same reason."""
        with pytest.raises(DevkitError) as caught:
            self.read(**options)
        reason = str(caught.value)
        assert all(word in reason for word in words), reason
        split = self.read(bad="skip", **options)
        assert [photograph.id for photograph in split.photographs] == ["a"]
        assert split.skipped == (("b", reason),)


@pytest.fixture
def devkit(tmp_path):
    return Devkit(tmp_path)


def test_corners_count_from_zero_and_the_order_is_the_lists(devkit):
    devkit.listed("b\na\n")
    devkit.annotated(annotation(dog(1, 1, WIDTH, HEIGHT, difficult=1), dog(3, 4, 3, 4)))
    split = devkit.read()
    assert [photograph.id for photograph in split.photographs] == ["b", "a"]
    first = split.photographs[0]
    assert first.things == (Thing("dog", (0, 0, WIDTH - 1, HEIGHT - 1), True), Thing("dog", (2, 3, 2, 3), False))
    assert (first.width, first.height, split.skipped) == (WIDTH, HEIGHT, ())
    assert split.counts() == {name: 3 * (name == "dog") for name in voc.VOC_CLASSES}


def test_pixels_are_blue_first(devkit):
    pixels = read_image(devkit.read().photographs[0])
    assert (pixels.shape, pixels.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    blue, _, red = pixels.mean((0, 1))
    assert red > 150 > 50 > blue


def test_pixels_stay_as_stored_whatever_the_orientation_noted(devkit):
    stored = devkit.image().read_bytes()
    tiff = b"MM\x00\x2a\x00\x00\x00\x08" + b"\x00\x01" + b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00" + bytes(4)
    exif = b"Exif\x00\x00" + tiff
    devkit.image().write_bytes(stored[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + stored[2:])
    assert cv2.imread(str(devkit.image())).shape[:2] == (WIDTH, HEIGHT)  # the note is one that OpenCV would follow
    assert read_image(devkit.read().photographs[1]).shape[:2] == (HEIGHT, WIDTH)


def test_a_png_stands_in_for_a_jpeg(devkit):
    devkit.image().unlink()
    assert cv2.imwrite(str(devkit.image(suffix=".png")), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert devkit.read().photographs[1].path == devkit.image(suffix=".png")


def test_any_year_is_read(devkit):
    devkit.folder.rename(devkit.root / "VOC2012")
    assert len(read_split(devkit.root, "2012", "train").photographs) == 2


def test_corners_with_fractions_as_in_later_years_are_kept(devkit):
    devkit.annotated(annotation(dog(1.5, 2.25, 10, 20)))
    assert devkit.read().photographs[1].things[0].box == (0.5, 1.25, 9, 19)


def test_parts_of_an_object_are_no_objects(devkit):
    part = f"<part><name>head</name><bndbox>{corners(2, 3, 4, 5)}</bndbox></part>"
    devkit.annotated(annotation(dog(1, 2, 10, 20).replace("</object>", f"{part}</object>")))
    assert devkit.read().photographs[1].things == devkit.read().photographs[0].things


def test_an_absent_difficult_flag_is_no(devkit):
    devkit.annotated(annotation(dog(1, 2, 10, 20).replace("<difficult>0</difficult>", "")))
    assert devkit.read().photographs[1].things[0].difficult is False


def test_a_photograph_may_hold_nothing(devkit):
    devkit.annotated(annotation())
    assert devkit.read().photographs[1].things == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<annotation><size>", ["cannot be read as XML"]),
        ("", ["cannot be read as XML"]),
        ("<html/>", ["must be an <annotation>", "<html>"]),
        (annotation(size=""), ["has no <size>"]),
        (annotation(size="<size><width>40</width></size>"), ["<height>", "from 1"]),
        (annotation(size="<size><width>40</width><height>0</height></size>"), ["<height>", "'0'"]),
        (annotation(size="<size><width>4.5</width><height>30</height></size>"), ["<width>", "'4.5'"]),
        (annotation(size="<size><width>30</width><height>40</height></size>"), ["is 40 x 30", "says 30 x 40"]),
        (annotation(dog(0, 2, 10, 20)), ["0 2 10 20", "leaves the image", "40 x 30"]),
        (annotation(dog(1, 0, 10, 20)), ["leaves the image"]),
        (annotation(dog(1, 2, WIDTH + 1, 20)), ["leaves the image"]),
        (annotation(dog(1, 2, 10, HEIGHT + 1)), ["leaves the image"]),
        (annotation(dog(11, 2, 10, 20)), ["second corner before its first"]),
        (annotation(dog(1, 21, 10, 20)), ["second corner before its first"]),
        (annotation(dog("nan", 2, 10, 20)), ["<xmin>", "finite", "'nan'"]),
        (annotation(dog("left", 2, 10, 20)), ["<xmin>", "'left'"]),
        (annotation(dog("", 2, 10, 20)), ["<xmin>"]),
        (annotation(dog(1, 2, 10, 20, difficult="maybe")), ["<difficult>", "'maybe'"]),
        (annotation(dog(1, 2, 10, 20).replace("dog", "")), ["without a class"]),
        (annotation(dog(1, 2, 10, 20).replace("<name>dog</name>", "")), ["without a class"]),
        (annotation(dog(1, 2, 10, 20).replace("dog", "dragon")), ["'dragon'", "aeroplane"]),
        (annotation("<object><name>dog</name></object>"), ["dog without <bndbox>"]),
    ],
)
def test_a_wrong_annotation_is_an_error_or_a_reported_skip(devkit, text, words):
    devkit.annotated(text)
    devkit.refused("b.xml", *words)


LAUGHS = "<!ENTITY a 'ha'>" + "".join(f"<!ENTITY {n} '{'&' + p + ';'}{'&' + p + ';'}'>" for p, n in ("ab", "bc", "cd"))


@pytest.mark.parametrize(
    "prologue",
    [
        f"<!DOCTYPE annotation [{LAUGHS}]>",
        "<!DOCTYPE annotation [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>",
        "<!DOCTYPE annotation SYSTEM 'http://127.0.0.1:9/annotation.dtd'>",
    ],
)
def test_hostile_xml_is_refused(devkit, prologue):
    devkit.annotated(prologue + annotation(dog(1, 2, 10, 20)))
    devkit.refused("b.xml", "refused")


def test_an_annotation_in_an_unknown_encoding_is_refused(devkit):
    devkit.annotated("<?xml version='1.0' encoding='no-such-encoding'?>" + annotation())
    devkit.refused("b.xml", "cannot be read as XML")


def test_a_listed_photograph_without_annotation_is_refused(devkit):
    (devkit.folder / "Annotations" / "b.xml").unlink()
    devkit.refused("b.xml", "does not exist", "the list names it")


def test_a_listed_photograph_without_image_is_refused(devkit):
    devkit.image().unlink()
    devkit.refused("b.jpg", "does not exist", "the list names it")


@pytest.mark.parametrize("stored", [b"", b"not an image at all", b"\xff\xd8\xff"])
def test_a_file_that_is_no_image_is_refused(devkit, stored):
    devkit.image().write_bytes(stored)
    devkit.refused("b.jpg", "cannot be read as an image")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_an_image_whose_end_is_missing_is_refused_when_it_is_decoded(devkit, suffix):
    devkit.image().unlink()
    noise = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    assert cv2.imwrite(str(devkit.image(suffix=suffix)), noise)
    stored = devkit.image(suffix=suffix).read_bytes()
    devkit.image(suffix=suffix).write_bytes(stored[: len(stored) * 3 // 4])
    photograph = devkit.read().photographs[1]  # its header is whole
    with pytest.raises(DevkitError, match=f"b{suffix} cannot be decoded"):
        read_image(photograph)
    devkit.refused(f"b{suffix}", "cannot be decoded", check_images=True)


@pytest.mark.parametrize("stored", [None, b"", b"x"])
def test_an_image_lost_after_the_split_was_read_is_named(devkit, stored):
    photograph = devkit.read().photographs[1]
    devkit.image().unlink()
    if stored is not None:
        devkit.image().write_bytes(stored)
    with pytest.raises(DevkitError, match=r"b\.jpg cannot be (read|decoded)"):
        read_image(photograph)


def test_an_image_exchanged_for_one_of_another_size_is_named(devkit):
    photograph = devkit.read().photographs[1]
    assert cv2.imwrite(str(devkit.image()), np.zeros((WIDTH, HEIGHT, 3), np.uint8))
    with pytest.raises(DevkitError, match=r"b.jpg decodes to 30 x 40, but is annotated as 40 x 30"):
        read_image(photograph)


def test_an_id_listed_twice_counts_once(devkit):
    devkit.listed("a\na\n")
    with pytest.raises(DevkitError, match=r"train.txt names a more than once"):
        devkit.read()
    split = devkit.read(bad="skip")
    assert [photograph.id for photograph in split.photographs] == ["a"]
    assert [image_id for image_id, _ in split.skipped] == ["a"]


@pytest.mark.parametrize("bad", ["error", "skip"])
@pytest.mark.parametrize(
    ("text", "words"),
    [("a  1\nb -1\n", "one image id a line"), ("../../a\n", "one image id a line"), ("\n", "names no photograph")],
)
def test_a_list_that_is_not_one_of_image_ids_is_an_error(devkit, bad, text, words):
    devkit.listed(text)
    with pytest.raises(DevkitError, match=words):
        devkit.read(bad=bad)


def test_a_byte_order_mark_is_no_part_of_an_id(devkit):
    before = devkit.read()
    file = devkit.folder / "ImageSets" / "Main" / "train.txt"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert devkit.read() == before


def test_a_list_of_bytes_is_an_error(devkit):
    (devkit.folder / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DevkitError, match=r"train.txt cannot be read"):
        devkit.read(bad="skip")


def test_an_absent_list_names_those_that_there_are(devkit):
    devkit.listed("a\n", "val")
    devkit.listed("a 1\n", "dog_val")
    with pytest.raises(DevkitError, match=r"test.txt does not exist; the lists there are train, val$"):
        read_split(devkit.root, "2007", "test")


def test_an_absent_year_names_those_that_there_are(devkit):
    with pytest.raises(DevkitError, match="has no year 2012, but 2007"):
        read_split(devkit.root, "2012", "train")


def test_a_folder_that_is_no_devkit_says_which_is_meant(devkit):
    with pytest.raises(DevkitError, match="must be the folder that holds VOC2007"):
        read_split(devkit.folder, "2007", "train")


def test_a_split_of_which_nothing_is_left_is_an_error(devkit):
    for image_id in "ab":
        devkit.annotated("", image_id)
    with pytest.raises(DevkitError, match=r"names 2 photographs and none is usable; the first: .*a.xml"):
        devkit.read(bad="skip")


def test_a_wrong_word_for_bad_is_an_error(devkit):
    with pytest.raises(ValueError, match="'ignore'"):
        devkit.read(bad="ignore")


def test_classes_of_ones_own_take_the_place_of_vocs(devkit):
    assert devkit.read(classes=("cat", "dog")).counts() == {"cat": 0, "dog": 2}
    with pytest.raises(DevkitError, match="'dog', which is not among cat"):
        devkit.read(classes=("cat",))


def test_the_digest_changes_with_a_pixel_a_box_or_the_order(devkit):
    before = devkit.read().digest()
    assert devkit.read().digest() == before
    devkit.listed("b\na\n")
    order = devkit.read().digest()
    devkit.annotated(annotation(dog(1, 2, 10, 21)))
    box = devkit.read().digest()
    assert cv2.imwrite(str(devkit.image()), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    assert len({before, order, box, devkit.read().digest()}) == 4
