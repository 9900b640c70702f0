"""The divergence register is whole, its page is what the command renders, and its effects are what was measured."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from frcnn import spec
from frcnn.cli import main
from frcnn.conformance import divergences, measures
from frcnn.conformance.divergences import InvalidRegister, StaleEffects
from frcnn.conformance.measures import MEASURES, Effect
from frcnn.conformance.photographs import RealDataError
from frcnn.conformance.scenes import Scene, golden_keys, read_scenes, stand_in_detections, stand_in_scores
from frcnn.reference import roi_pool_backward

PAGE = Path(spec.__file__).parent / "divergences.md"

ENTRY = """\
[[divergence]]
id = "one-thing"
title = "One thing"
clauses = ["roi-pool.round"]
profile = "both."
witnesses = ["half-pixels"]
measures = ["rois_by_rounding"]
readings = [
    { who = "a", says = "b", source = "c" },
    { who = "d", says = "e", source = "f" },
]
"""


def scene(proposals, objects=(), classes=(), difficult=(), size=(600, 800)):
    """A photograph at image scale 1 unless its size says otherwise."""
    return Scene(
        "000000",
        size,
        np.array(proposals, np.float64).reshape(-1, 4),
        np.array(objects, np.float64).reshape(-1, 4),
        np.array(classes, np.int64),
        np.array(difficult, bool) if len(difficult) else np.zeros(len(classes), bool),
    )


def effects(name, *scenes):
    return [(effect.count, effect.total) for effect in MEASURES[name].run(scenes)]


def write_devkit(folder):
    """Two photographs, one of them without an object, and proposals beside the devkit. Returns its root."""
    year = folder / "VOCdevkit" / "VOC2007"
    (year / "ImageSets" / "Main").mkdir(parents=True)
    (year / "Annotations").mkdir()
    (year / "ImageSets" / "Main" / "val.txt").write_text("000001\n000002\n")
    box = "<bndbox><xmin>11</xmin><ymin>11</ymin><xmax>110</xmax><ymax>60</ymax></bndbox>"
    objects = f"<object><name>dog</name><difficult>0</difficult>{box}</object>"
    objects += f"<object><name>cat</name><difficult>1</difficult>{box.replace('110', '180')}</object>"
    for name, inside in (("000001", objects), ("000002", "")):
        text = f"<annotation><size><width>200</width><height>120</height></size>{inside}</annotation>"
        (year / "Annotations" / f"{name}.xml").write_text(text)
    boxes = np.array([[10, 10, 109, 59], [10, 10, 99, 69], [0, 0, 199, 119], [150, 90, 170, 110]], np.uint16)
    ids = np.array([b"000001", b"000002"])
    np.savez(folder / "selective_search_fast.npz", ids=ids, offsets=np.array([0, 3, 4]), boxes=boxes)
    return folder / "VOCdevkit"


# The register


def test_the_page_is_what_the_command_renders():
    assert PAGE.read_text(encoding="utf-8") == divergences.render(divergences.load(), divergences.read_effects())


def test_every_sentence_that_names_both_profiles_has_an_entry():
    assert divergences.uncovered(divergences.load()) == []


def test_a_sentence_without_entry_is_found():
    without = [entry for entry in divergences.load() if "nms-greedy.type" not in entry.clauses]
    assert divergences.uncovered(without) == ["nms-greedy.type"]


def test_every_clause_and_witness_of_an_entry_exists():
    for entry in divergences.load():
        assert set(entry.clauses) <= set(spec.clauses()), entry.id
        assert set(entry.witnesses) <= divergences.witness_ids(), entry.id
        assert entry.witnesses or entry.unwitnessed, entry.id


@pytest.mark.parametrize("library", divergences.LIBRARIES)
def test_every_library_leads_to_the_entries_that_have_a_reading_of_it(library):
    (line,) = [one for one in PAGE.read_text(encoding="utf-8").splitlines() if one.startswith(f"- **{library}**: [")]
    linked = re.findall(r"\]\(#([\w-]+)\)", line)
    entries = {entry.id: entry for entry in divergences.load()}
    assert linked
    for id, entry in entries.items():
        assert (id in linked) == any(divergences.named(library, reading) for reading in entry.readings)


def test_a_name_within_another_is_not_that_library():
    reading = divergences.Reading("torchvision 1b911f8 and py-faster-rcnn", "", "")
    assert [name for name in ("torch", "torchvision", "fast-rcnn") if divergences.named(name, reading)] == [
        "torchvision"
    ]


def test_every_measure_belongs_to_an_entry_and_says_what_it_counts():
    named = {name for entry in divergences.load() for name in entry.measures}
    assert named == set(MEASURES)
    assert all(each.says.endswith(".") for each in MEASURES.values())


def test_every_effect_kept_is_of_real_photographs_and_of_these_measures():
    found = divergences.read_effects()
    assert found["data"]["images"] >= 200
    assert set(found["effects"]) == set(MEASURES)
    assert all(effect["total"] > 0 for those in found["effects"].values() for effect in those)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("roi-pool.round", "roi-pool.square", "one-thing names roi-pool.square, which is none of the clauses"),
        ("half-pixels", "whole-pixels", "one-thing names whole-pixels, which is none of the witnesses"),
        ("rois_by_rounding", "guess", "one-thing names guess, which is none of the measures"),
        ('"one-thing"', '"One thing"', "an id must be lower-case words joined by hyphens, got 'One thing'"),
        ('profile = "both."\n', "", "one-thing has no profile"),
        ('title = "One', 'colour = "red"\ntitle = "One', "one-thing has colour, which no entry has"),
        ('measures = ["rois_by_rounding"]\n', "", "one-thing must have measures or else unmeasured"),
        ("measures = [", 'unmeasured = "no"\nmeasures = [', "one-thing must have measures or else unmeasured"),
        ('    { who = "d", says = "e", source = "f" },\n', "", "one-thing must have two readings at least"),
        (', source = "f"', "", "each reading of one-thing must have who, says and source"),
        ("]\n", ']\n[[divergence]]\nid = "two"\n', "two has no clauses, profile, readings, title"),
        ("[[divergence]]", "[[divergence", "register.toml: "),
    ],
)
def test_an_entry_that_is_wrong_is_refused(tmp_path, old, new, says):
    register = tmp_path / "register.toml"
    head, _, tail = ENTRY.rpartition(old) if old == "]\n" else ENTRY.partition(old)
    register.write_text(head + new + tail)
    with pytest.raises(InvalidRegister) as refusal:
        divergences.load(register)
    assert str(refusal.value).startswith(says)


def test_an_id_that_is_there_twice_is_refused(tmp_path):
    (tmp_path / "register.toml").write_text(ENTRY + ENTRY)
    with pytest.raises(InvalidRegister, match="one-thing is there 2 times"):
        divergences.load(tmp_path / "register.toml")


def test_effects_of_other_measures_are_refused(tmp_path):
    divergences.write_effects({**divergences.read_effects(), "code": "0"}, tmp_path / "effects.json")
    with pytest.raises(StaleEffects, match=r"effects\.json was measured with other measures"):
        divergences.read_effects(tmp_path / "effects.json")


def test_another_effect_is_another_page():
    entries, found = divergences.load(), divergences.read_effects()
    changed = json.loads(json.dumps(found))
    changed["effects"]["bins_by_edges"][0]["count"] += 1
    assert divergences.render(entries, found) != divergences.render(entries, changed)
    assert divergences.render(entries, found) != divergences.render(
        [replace(entries[0], title="x"), *entries[1:]], found
    )


# The command


def test_the_command_measures_on_two_photographs_and_writes_the_page(tmp_path):
    root = write_devkit(tmp_path)
    arguments = ["--voc-root", str(root), "--images", "2", "--effects", str(tmp_path / "e.json")]
    outcome = CliRunner().invoke(
        main, ["spec", "divergences", "--measure", *arguments, "--into", str(tmp_path / "page.md")]
    )
    assert outcome.exit_code == 0, outcome.output
    found = divergences.read_effects(tmp_path / "e.json")
    assert set(found["effects"]) == set(MEASURES)
    assert (found["data"]["images"], found["data"]["boxes"], found["data"]["objects"]) == (2, 4, 2)
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert page == divergences.render(divergences.load(), found)
    assert "Measured on 2 photographs" in page
    printed = CliRunner().invoke(main, ["spec", "divergences", "--effects", str(tmp_path / "e.json")])
    assert printed.output == page + "\n"


def test_the_command_says_what_is_missing(tmp_path):
    outcome = CliRunner().invoke(main, ["spec", "divergences", "--measure"])
    assert (outcome.exit_code, "--measure needs --voc-root" in outcome.output) == (2, True)
    outcome = CliRunner().invoke(main, ["spec", "divergences", "--measure", "--voc-root", str(tmp_path)])
    assert (outcome.exit_code, "must be a VOCdevkit folder" in outcome.output) == (2, True)


def test_an_annotation_that_is_none_is_refused(tmp_path):
    root = write_devkit(tmp_path)
    annotation = root / "VOC2007" / "Annotations" / "000002.xml"
    annotation.write_text("<annotation><size></size></annotation>")
    with pytest.raises(RealDataError, match=r"000002\.xml must be a VOC annotation"):
        read_scenes(root, None, 2)
    annotation.unlink()
    with pytest.raises(RealDataError, match=r"000002\.xml must be the annotation"):
        read_scenes(root, None, 2)


def test_a_scene_is_what_the_files_say(tmp_path):
    (first, second), data = read_scenes(write_devkit(tmp_path), None, 2)
    assert (first.image_id, first.size, data["difficult"]) == ("000001", (120, 200), 1)
    assert first.objects.tolist() == [[10, 10, 109, 59], [10, 10, 179, 59]]
    assert (first.classes.tolist(), first.difficult.tolist()) == ([12, 8], [False, True])
    assert first.rois[2].tolist() == [0, 0, 0, 995, 595]
    assert (first.resized, first.map_size) == ((600, 1000), (38, 63))
    assert (len(second.objects), second.overlaps.tolist()) == (0, [0])


# Shares worked out by hand. At (600, 800) the image scale is 1 and a map has 38 x 50 cells.


def test_one_roi_of_extent_57_has_seven_bins_apart():
    """57 rows of 7 bins: the last of each column ends a row later in float32, where the map goes on."""
    tall = scene([[0, 0, 15, 56 * 16], [0, 0, 15, 15]], size=(1000, 600))
    assert effects("bins_by_edges", tall) == [(7, 98), (1, 2)]
    assert effects("bins_beyond_corners", tall) == [(7, 98)]
    assert effects("bins_the_walk_misses", tall) == [(0, 98)]


def test_the_measures_of_lost_gradients_are_what_the_reference_drops():
    """Each bin in turn sends one gradient from each cell that it holds in caffe-2015."""
    tall = scene([[0, 0, 15, 56 * 16]], size=(1000, 600))
    H, W = tall.map_size
    lost = set()
    for cell in range(H):
        argmax = np.full((1, 1, 7, 7), cell * W)
        for p in {p for p, k in measures.roi_pooling._held(57) if k == cell}:
            grad = np.zeros((1, 1, 7, 7))
            grad[0, 0, p, 0] = 1
            back = roi_pool_backward(grad, argmax, tall.rois, (1, 1, H, W), 1 / 16, profile="caffe-2015")
            lost |= set() if back.any() else {(p, cell)}
    missed = {
        (p, k) for p, k in measures.roi_pooling._held(57) if k >= 57 or not measures.roi_pooling._walk_finds(p, k, 57)
    }
    assert lost == missed == {(6, 57)}


def test_half_a_cell_moves_one_roi_of_three():
    """40 / 16 = 2.5 goes to 3, and to 2 by half to even; 24 / 16 = 1.5 goes to 2 by both."""
    rois = scene([[40, 0, 64, 16], [24, 0, 64, 16], [0, 0, 16, 16]])
    assert effects("rois_by_rounding", rois) == [(1, 3), (0, 3)]


def test_equal_rois_repeat_and_may_be_pooled_elsewhere():
    """2.5 goes to 2 by half to even, where 2.25 goes too; pooling has 3 and 2."""
    rois = scene([[36, 0, 64, 16], [40, 0, 64, 16], [80, 0, 96, 16], [81, 0, 96, 16]])
    assert effects("proposals_that_repeat", rois) == [(2, 4), (1, 4)]


def test_a_map_that_is_rounded_down_loses_a_row():
    """600 / 16 = 37.5: the row 37, to which 599 / 16 goes, is there when rounded up alone."""
    assert effects("maps_by_pooling", scene([[0, 0, 16, 599], [0, 0, 16, 16]])) == [(1, 1), (1, 2)]


def test_a_bin_beyond_the_map_is_empty():
    """799 / 16 goes to column 50 of 0 .. 49; of 2 columns, 49 and 50, bins 4 to 6 of 7 hold the second alone."""
    assert effects("bins_that_are_empty", scene([[49 * 16, 0, 799, 16]])) == [(3 * 7, 49)]


def test_sppnet_s_windows_differ_where_a_bin_does_not_divide_the_extent():
    """Windows 2 long at a stride of 1: of 5 rows 4 bins come out alike, of 6 the last two of four do not."""
    assert effects("bins_by_sppnet", scene([[0, 0, 48, 64]])) == [(0, 21)]
    assert effects("bins_by_sppnet", scene([[0, 0, 48, 80]])) == [(8, 21)]


def test_the_last_pixel_decides_a_label():
    """Of 10 x 10 pixels 10 x 5 are 1 / 2; without the + 1 it is 9 x 4 of 9 x 9."""
    found = MEASURES["labels_without_pixel"].run([scene([[0, 0, 9, 4], [0, 0, 9, 9]], [[0, 0, 9, 9]], [1])])
    assert found == [Effect("proposals", 1, 2, pytest.approx(1 / 2 - 36 / 81), "the largest difference of an overlap")]


def test_targets_are_counted_by_hand():
    """A proposal of 10 x 10 beside an object of 10 x 8: shift, height, and no change in x or width."""
    one = scene([[0, 0, 9, 9]], [[0, 0, 9, 7]], [1])
    assert effects("targets_by_width", one) == [(2, 4)]
    assert effects("targets_beyond_clamp", one) == [(0, 2)]
    assert effects("targets_by_knee", one) == [(1, 4)]  # ln .8 is beyond -1/9, the shift of -1/10 is not


def test_a_proposal_beyond_its_photograph_is_counted():
    assert effects("proposals_beyond_image", scene([[0, 0, 799, 599], [0, 0, 800, 599], [-1, 0, 5, 5]])) == [(2, 3)]


def test_difficult_objects_make_foreground():
    boxes = [[0, 0, 9, 9], [50, 50, 59, 59]]
    one = scene([*boxes, [100, 100, 120, 120]], boxes, [1, 2], [False, True])
    assert effects("foreground_by_difficult", one) == [(1, 2), (1, 2)]
    assert effects("corners_that_underflow", scene([], [[-1, 0, 9, 9], [0, 0, 9, 9]], [1, 1])) == [(1, 2)]


def test_minibatches_are_counted_by_hand():
    """One ground truth, drawn; one proposal equal to it; one at 1 / 4, background; one apart, never drawn."""
    one = scene([[0, 0, 9, 9], [0, 0, 4, 4], [90, 90, 99, 99]], [[0, 0, 9, 9]], [1])
    assert effects("minibatch_foreground", one) == [(2, 3)]
    assert effects("ground_truth_drawn", one) == [(1, 2)]
    assert effects("short_minibatches", one, scene([])) == [(2, 2), (1, 2), (61 + 64, 128)]
    assert effects("background_below_tenth", one) == [(1, 2)]
    assert effects("epoch_tail", one, one) == [(1, 2)]


def test_an_overlap_of_three_tenths_is_kept_by_one_reading():
    """10 x 3 of 10 x 10 is 3 / 10: > keeps both boxes, >= the larger score alone."""
    one = scene([[0, 0, 9, 9], [0, 0, 9, 2]], [[0, 0, 9, 9]], [1])
    assert effects("kept_by_equality", one) == [(1, 2)]
    assert effects("kept_by_profile", one) == [(1, 2)]
    assert effects("kept_by_score_type", one) == [(0, 2)]
    assert effects("kept_without_pixel", one) == [(0, 2)]


def test_a_detection_of_exactly_one_half_is_found_by_one_reading():
    one = scene([[0, 0, 9, 4]], [[0, 0, 9, 9]], [1])
    assert effects("ap_by_equality", one) == [(1, 1), (1.0, 1.0)]
    assert effects("ap_by_method", one) == [(0, 1), (0.0, 1.0)]
    assert effects("classes_without_object", one) == [(19, 20)]


def test_a_recall_of_three_tenths_is_reached_by_one_reading():
    """Three of ten objects are found, and nothing else: four of eleven points here, three with a higher 3 / 10."""
    boxes = [[40 * k, 0, 40 * k + 9, 9] for k in range(10)]
    one = scene(boxes[:3], boxes, [1] * 10)
    for name in ("ap_by_arange", "ap_by_colon"):
        (classes, mean) = MEASURES[name].run((one,))
        assert (classes.count, classes.total, classes.largest) == (1, 1, pytest.approx(1 / 11))
        assert (mean.count, mean.total) == (pytest.approx(1 / 11), pytest.approx(4 / 11))


def test_a_difficult_object_first_leaves_no_precision():
    """The proposal at the difficult object is the better one by far."""
    one = scene([[0, 0, 9, 9], [50, 50, 59, 55]], [[0, 0, 9, 9], [50, 50, 59, 59]], [1, 1], [True, False])
    assert effects("ap_by_first_ignored", one) == [(1, 1)]
    assert effects("ap_by_first_ignored", replace(one, difficult=~one.difficult)) == [(0, 1)]


def test_scores_stand_in_by_place_and_overlap():
    one = scene([[0, 0, 9, 9], [90, 90, 99, 99]], [[0, 0, 9, 9]], [1])
    golden = (5**0.5 - 1) / 2
    np.testing.assert_allclose(golden_keys(2), [golden, 2 * golden - 1], rtol=0, atol=2**-50)
    np.testing.assert_allclose(stand_in_scores(one), (np.array([1, 0]) + 4 * golden_keys(2)) / 5, rtol=0, atol=2**-50)
    (run,) = stand_in_detections((one,))
    assert run.found.tolist() == [[0, round(float(stand_in_scores(one)[0]), 3), 0, 0, 9, 9]]


def test_every_measure_takes_photographs_without_objects_and_without_proposals():
    for one in (scene([]), scene([[0, 0, 9, 9]]), scene([], [[0, 0, 9, 9]], [1])):
        for each in MEASURES.values():
            for effect in each.run((one,)):
                assert 0 <= effect.count <= max(effect.total, 0), each.name
