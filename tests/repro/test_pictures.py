"""Kinds of mistakes on cases made by hand, and pictures that are there and show what they should."""

import cv2
import numpy as np
import pytest
from made_up_answers import HEIGHT, WIDTH, read, split_of

from frcnn.repro import pictures
from frcnn.repro.mistakes import counts, mistakes
from frcnn.repro.results import evaluate

HERE, THERE = (0, 0, 9, 9), (20, 10, 29, 19)
HALF_OFF = (5, 0, 14, 9)  # IoU 1/3 with HERE
FAR = (30, 20, 39, 29)


def found(by_class, *things):
    """Mistakes with enough difficult-free objects elsewhere that every detection is among the first N."""
    spare = [("a", FAR)] * 4
    split = split_of(("a", "b"), *things, spare)
    rows = {name: np.array(by_class.get(name, []), np.float64).reshape(-1, 6) for name in split.classes}
    every = mistakes(split, rows, evaluate(split, rows))
    return [one for one in every if one.image < len(things)]


@pytest.mark.parametrize(
    ("box", "things", "kind", "overlap"),
    [
        (HALF_OFF, [("a", HERE)], "localisation", 1 / 3),
        (HALF_OFF, [("a", HERE, True)], "localisation", 1 / 3),
        (HALF_OFF, [("a", HERE), ("b", HALF_OFF)], "localisation", 1 / 3),  # its own class comes first
        (HERE, [("b", HERE)], "confusion", 1),
        (HALF_OFF, [("b", HERE), ("b", THERE)], "confusion", 1 / 3),
        (HERE, [("a", THERE), ("b", FAR)], "background", 0),
        ((0, 0, 9, 0), [("a", HERE)], "localisation", 0.1),
        ((0, 0, 8, 0), [("a", HERE)], "background", 0),
        ((0, 0, 8, 0), [("a", HERE), ("b", (0, 0, 9, 0))], "confusion", 0.9),
    ],
)
def test_a_false_detection_is_of_the_kind_that_its_overlaps_say(box, things, kind, overlap):
    first = found({"a": [[0, 0.9, *box]]}, things)[0]
    assert (first.kind, first.name, first.score, first.box) == (kind, "a", 0.9, box)
    assert first.overlap == pytest.approx(overlap, rel=1e-12)


@pytest.mark.parametrize(("rows", "kind"), [(8, "duplicate"), (5, "duplicate"), (4, "localisation")])
def test_a_second_detection_of_a_found_object_is_a_duplicate_from_an_overlap_of_a_half(rows, kind):
    every = found({"a": [[0, 0.9, *HERE], [0, 0.8, 0, 0, 9, rows - 1]]}, [("a", HERE)])  # of HERE's ten
    assert [(one.kind, one.score, one.thing.box) for one in every] == [(kind, 0.8, HERE)]  # and HERE is not missed


def test_what_finds_a_difficult_object_is_no_mistake_and_a_difficult_object_is_not_missed():
    assert found({"a": [[0, 0.9, *HERE]]}, [("a", HERE, True), ("a", THERE, True)]) == []


def test_missed_are_the_objects_that_no_detection_found_the_largest_first():
    large = (0, 0, 15, 15)
    every = found({"a": [[1, 0.1, *HERE]]}, [("a", THERE), ("b", large)], [("a", HERE)])
    assert [(one.kind, one.name, one.image, one.box) for one in every] == [
        ("missed", "b", 0, large),
        ("missed", "a", 0, THERE),
    ]


def test_false_detections_come_by_falling_score_over_all_classes_as_many_of_a_class_as_it_has_objects():
    split = split_of(("a", "b"), [("a", HERE), ("b", HERE), ("b", THERE)])
    rows = {
        "a": np.array([[0, 0.7, *FAR], [0, 0.9, *THERE], [0, 0.1, *HERE]]),
        "b": np.array([[0, 0.8, *FAR], [0, 0.3, *FAR], [0, 0.2, *FAR]]),
    }
    every = mistakes(split, rows, evaluate(split, rows))
    assert [(one.kind, one.score) for one in every if one.score] == [
        ("confusion", 0.9),
        ("background", 0.8),
        ("background", 0.3),
    ]
    # The 0.1 of a is not among its first one, but it finds its object.
    assert counts(every) == {"confusion": 1, "localisation": 0, "duplicate": 0, "background": 2, "missed": 2}


def test_a_box_is_drawn_where_it_is_and_the_photograph_stays_as_it_was():
    pixels = np.zeros((480, 480, 3), np.uint8)
    picture = pictures.draw(pixels, [pictures.Drawn((100, 200, 300, 400), "", (0, 0, 255))])
    assert not pixels.any()
    red = picture[..., 2] > 128
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    assert (
        abs(np.array([columns[0], rows[0], columns[-1], rows[-1]]) - (100, 200, 300, 400)).max() <= 1
    )  # a line's half
    assert not red[210:390, 110:290].any()


@pytest.mark.parametrize("box", [(0, 0, 20, 20), (450, 0, 479, 30), (200, 470, 230, 479)])
def test_a_label_stays_within_the_picture(box):
    plain = np.zeros((480, 480, 3), np.uint8)
    without, label = (pictures.draw(plain, [pictures.Drawn(box, text, (0, 255, 0))]) for text in ("", "aeroplane 0.99"))
    written = np.flatnonzero((without != label).any((0, 2)))
    (width, _), _ = cv2.getTextSize("aeroplane 0.99", pictures.FONT, 0.42, 1)
    # All columns of its background but those that the box's own line has.
    assert written[-1] - written[0] >= width - 4
    assert written[-1] < 480


def test_no_label_lies_on_another_where_there_is_room_beneath():
    plain = np.full((300, 480, 3), 255, np.uint8)
    named = (
        ((100, 100), "one 0.99", (255, 0, 0)),
        ((104, 102), "two 0.88", (0, 255, 0)),
        ((96, 98), "three", (0, 0, 255)),
    )
    boxes = [pictures.Drawn((x, y, x + 1, y + 1), label, colour) for (x, y), label, colour in named]
    together = pictures.draw(plain, boxes)
    for drawn in boxes:
        alone = pictures.draw(plain, [drawn])
        shown, whole = ((picture == drawn.colour).all(axis=2).sum() for picture in (together, alone))
        assert shown > 0.9 * whole
    full = [pictures.Drawn((0, 0, 30, 14), "word", (255, 0, 0))] * 40  # where there is no room, one lies on another
    assert pictures.draw(plain[:60], full).shape == (60, 480, 3)


@pytest.mark.parametrize("shape", [(300, 480), (480, 60), (1200, 2000)])
def test_a_caption_is_a_line_beneath_that_takes_nothing_of_the_picture_and_fits_its_width(shape):
    plain = np.full((*shape, 3), 90, np.uint8)
    picture = pictures.captioned(plain, "L, trained by tensorflow 2.21.0 with seed 3")
    assert (picture[: shape[0]] == plain).all()
    columns = np.flatnonzero((picture[shape[0] :] < 128).any((0, 2)))
    assert columns[-1] < shape[1] - 1
    assert len(columns) > min(shape[1], 200) / 3


@pytest.mark.parametrize("shape", [(1, 1), (50, 14), (8, 59)])
def test_a_picture_narrower_than_any_line_has_white_beside_it(shape):
    picture = pictures.captioned(np.zeros((*shape, 3), np.uint8), "L, trained by tensorflow 2.21.0 with seed 3")
    assert picture.shape[1] == 60
    assert (picture[: shape[0], : shape[1]] == 0).all()
    assert (picture[: shape[0], shape[1] :] == 255).all()
    assert (picture[shape[0] :] < 128).any()


def test_detections_are_those_of_the_image_that_score_enough_the_best_first():
    by_class = {"a": np.array([[0, 0.6, *HERE], [1, 0.9, *HERE]]), "b": np.array([[0, 0.999, *THERE], [0, 0.4, *FAR]])}
    drawn = pictures.detections_of(by_class, 0, 0.5)
    assert [(one.label, one.box) for one in drawn] == [("b 0.99", THERE), ("a 0.60", HERE)]
    assert drawn[0].colour != drawn[1].colour


def test_sheets_are_pictures_also_where_there_is_nothing_to_show(tmp_path):
    split = split_of(("a", "b", "none"), [("a", HERE), ("b", THERE)], [])
    some = {"a": np.array([[0, 0.9, *HALF_OFF]]), "b": np.array([[0, 0.8, *THERE]]), "none": np.empty((0, 6))}
    nothing = dict.fromkeys(split.classes, np.empty((0, 6)))
    for case, by_class in enumerate((some, nothing)):
        results = evaluate(split, by_class)
        pictures.curves_sheet(tmp_path / f"curves{case}.png", results, "area", "made up")
        pictures.detections_sheet(tmp_path / f"found{case}.png", split, by_class, "made up", read=read)
        wrong = mistakes(split, by_class, results)
        pictures.mistakes_sheet(tmp_path / f"wrong{case}.png", split, wrong, "made up", read=read)
    sheets = {path.name: cv2.imread(str(path)) for path in sorted(tmp_path.glob("*.png"))}
    assert len(sheets) == 6
    assert all(sheet is not None for sheet in sheets.values())
    for name in ("curves", "found", "wrong"):
        assert (sheets[f"{name}0.png"].shape != sheets[f"{name}1.png"].shape) or (
            sheets[f"{name}0.png"] != sheets[f"{name}1.png"]
        ).any()


def test_a_close_up_of_a_mistake_at_the_edge_stays_within_the_photograph():
    split = split_of(("a",), [("a", FAR)])
    (missed,) = mistakes(split, {"a": np.empty((0, 6))}, evaluate(split, {"a": np.empty((0, 6))}))
    near = pictures._close_up(read(split.photographs[0]), missed)
    # 10 x 10 pixels at the corner, with 4 more on the two sides where there are any.
    assert FAR[2:] == (WIDTH - 1, HEIGHT - 1)
    assert near.shape == (pictures.SIDE, pictures.SIDE, 3)


@pytest.mark.parametrize("box", [(60.5, 3, WIDTH - 1, 9), (3, 50, 9, HEIGHT - 1), (2.0**24, 2.0**24, 0, 0)])
def test_a_close_up_of_a_box_that_the_original_s_clipping_leaves_beyond_the_photograph_shows_its_edge(box):
    split = split_of(("a",), [("a", HERE)])
    by_class = {"a": np.array([[0, 0.9, *box]])}
    false = next(one for one in mistakes(split, by_class, evaluate(split, by_class)) if one.score is not None)
    near = pictures._close_up(read(split.photographs[0]), false)
    assert max(near.shape[:2]) == pictures.SIDE


@pytest.mark.parametrize("shape", [(1, 1500), (1500, 1), (1, 1)])
def test_the_thinnest_photograph_has_a_place_in_a_sheet(shape):
    small = pictures._enlarged(np.zeros((*shape, 3), np.uint8), [pictures.Drawn((0, 0, 0, 0), "a", (0, 0, 255))])
    assert max(small.shape[:2]) == pictures.SIDE
    assert min(small.shape[:2]) >= 1
