"""Testing with a network whose answers are known, and with a small one."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from made_up_answers import HEIGHT, MEAN, SURE, WIDTH, Answers, read, recipe, split_of

from frcnn import reference
from frcnn.repro import checkpoint, made_up, model, testing, torch_tester
from frcnn.repro.network import new_parameters, read_network
from frcnn.repro.recipe import read_recipe
from frcnn.repro.results import evaluate, mean_ap
from frcnn.repro.voc import DevkitError, read_split

sys.path.insert(0, str(Path(__file__).parent.parent / "composition"))
from network_cases import minibatch
from network_in_numpy import apart, forward

STAY = (0, 0, 0, 0)
HERE, THERE, NOWHERE = (0, 0, 9, 9), (20, 10, 29, 19), (30, 20, 39, 29)


def detected(split, table, proposals, *, spatial_scale=1.0, **changes):
    """At a scale of 1 every pixel has a cell of its own, so that each proposal is looked at."""
    tester = Answers(len(split.classes), table)
    boxes = {
        photograph.id: np.array(own, np.float32).reshape(-1, 4)
        for photograph, own in zip(split.photographs, proposals, strict=True)
    }
    found = testing.detect_with(tester, MEAN, spatial_scale, split, boxes, recipe(**changes), read=read)
    return found, tester


def aps(split, found):
    return [[result.ap[method] for result in evaluate(split, found.by_class)] for method in ("11-point", "area")]


def test_a_network_that_knows_the_truth_has_an_average_precision_of_1():
    split = split_of(("a", "b"), [("a", HERE), ("b", THERE)], [("b", HERE)])
    table = {(0, HERE): (1, SURE, STAY), (0, THERE): (2, SURE, STAY), (1, HERE): (2, SURE, STAY)}
    found, _ = detected(split, table, [[NOWHERE, HERE, THERE], [HERE, NOWHERE]])
    assert aps(split, found) == [[1, 1], [1, 1]]
    best = found.by_class["b"][found.by_class["b"][:, 1] > 0.9]
    assert best[:, [0, 2, 3, 4, 5]].tolist() == [[0, *THERE], [1, *HERE]]


def test_a_box_moved_off_its_object_counts_as_false_and_the_average_is_the_one_worked_out_by_hand():
    split = split_of(("a",), [("a", HERE)], [("a", HERE)])
    # Moved by 6 of its 10 pixels, 4 of 16 are shared. It is first, so precision at recall 1/2 is 1/2, and 1 is never
    # reached: six of eleven recalls have 1/2, and the area is 1/2 times 1/2.
    table = {(0, HERE): (1, SURE, (0.6, 0, 0, 0)), (1, HERE): (1, SURE / 2, STAY)}
    found, _ = detected(split, table, [[HERE], [HERE]])
    first = found.by_class["a"][0]
    np.testing.assert_allclose(first[2:], (6, 0, 15, 9), rtol=0, atol=1e-6)  # .6 is a float32 in the network's answer
    assert aps(split, found) == [[pytest.approx(6 / 11 / 2, rel=1e-12)], [0.25]]


def test_a_photograph_without_proposals_is_not_looked_at_and_its_objects_are_missed():
    split = split_of(("a",), [("a", HERE)], [("a", HERE)])
    found, tester = detected(split, {(0, HERE): (1, SURE, STAY)}, [[HERE], []])
    assert {index for index, _, _ in tester.seen} == {0}
    assert found.by_class["a"][:, 0].tolist() == [0]
    assert aps(split, found)[1] == [0.5]


def test_nothing_is_found_where_no_photograph_has_a_proposal():
    split = split_of(("a",), [("a", HERE)])
    found, _ = detected(split, {}, [[]])
    assert found.by_class["a"].shape == (0, 6)
    assert mean_ap(evaluate(split, found.by_class), "area") == 0


def test_boxes_are_clipped_to_the_photograph():
    split = split_of(("a",), [("a", NOWHERE)])
    found, _ = detected(split, {(0, NOWHERE): (1, SURE, (0.5, 0.5, 0, 0))}, [[NOWHERE]])
    assert found.by_class["a"][0, 2:].tolist() == [35, 25, WIDTH - 1, HEIGHT - 1]


def test_detections_are_those_of_the_reference_over_all_scored_boxes_at_once():
    generator = np.random.default_rng(5)
    count, classes = 12, ("a", "b", "c")
    split = split_of(classes, *[[] for _ in range(4)])
    corners = generator.integers(0, 15, (4, count, 2))
    boxes = np.concatenate([corners, corners + generator.integers(3, 14, (4, count, 2))], 2)
    # Few different logits, so that there are ties at every limit.
    table = {
        (image, tuple(map(float, box))): (int(generator.integers(0, 4)), float(generator.integers(1, 4)), STAY)
        for image in range(4)
        for box in boxes[image]
    }
    found, tester = detected(split, table, boxes, per_image=5, per_class=3)
    scores, deltas, rows = [], [], []
    for image in range(4):
        answer = tester.head((image, 1.0), np.column_stack([np.zeros(count), boxes[image]]))
        e = np.exp(answer[0].astype(np.float64) - answer[0].max(1, keepdims=True))
        scores.append(e / e.sum(1, keepdims=True))
        deltas.append(np.tile(boxes[image].astype(np.float64), 4))
        rows += [image] * count
    whole, where = np.concatenate(scores), np.concatenate(deltas)
    expected = reference.detect(whole, where, np.array(rows), 4, 0.3, per_image=5, per_class=3)
    assert len(expected) > 10
    for k, name in enumerate(classes, 1):
        own = expected[expected[:, 0] == k]
        assert found.by_class[name][:, 0].tolist() == own[:, 1].tolist()
        assert found.by_class[name][:, 2:].tolist() == where[own[:, 2], :4].tolist()


def test_pictures_are_looked_at_each_for_itself_and_a_surer_object_leaves_a_place_to_another():
    split = split_of(("a",), [("a", HERE), ("a", THERE)], [("a", HERE)])
    around = [(x, y, x + 9, y + 9) for x in range(3) for y in range(3)]
    table = {(image, box): (1, SURE, STAY) for image in (0, 1) for box in around} | {(0, THERE): (1, 2.0, STAY)}
    proposals = [[*around, THERE], around]
    limits = {"per_image": 20, "per_class": 5}
    limited, _ = detected(split, table, proposals, **limits)
    assert len(limited.by_class["a"]) == 0  # all that are equally sure are at the limit, none above it
    named = dict(zip(("p0", "p1"), map(np.float32, proposals), strict=True))
    recipe_of_pictures = testing.unlimited(recipe(**limits), named)
    own = {name: getattr(recipe_of_pictures, name) for name in limits}
    both, _ = detected(split, table, proposals, **own)
    assert both.by_class["a"][:, [0, 2, 3, 4, 5]].tolist() == [[0, *HERE], [0, *THERE], [1, *HERE]]
    alone, _ = detected(split_of(("a",), [("a", HERE), ("a", THERE)]), table, proposals[:1], **own)
    np.testing.assert_array_equal(alone.by_class["a"], both.by_class["a"][:2])


def test_the_original_has_the_first_of_rois_that_are_equal_when_rounded_stand_for_all():
    # Twice as large in the resized image, and divided by 16 there: near is 0 0 1 1, as HERE, since .5 goes to 0, and
    # far is 1 0 1 1. Eighths would tell near from HERE, thirty-seconds would not tell far from it.
    near, far = (4, 1, 9, 9), (5, 1, 9, 9)
    split = split_of(("a",), [("a", HERE)])
    table = {(0, HERE): (1, SURE, STAY), (0, near): (1, SURE / 2, STAY)}
    for profile, seen in (("exact", {HERE, near, far}), ("caffe-2015", {HERE, far})):
        found, tester = detected(split, table, [[HERE, near, far]], profile=profile, nms_threshold=1)
        assert {box for _, _, box in tester.seen} == seen
        # To 1e-9, since in caffe-2015 widths have 1e-14 more.
        assert {tuple(row) for row in found.by_class["a"][:, 2:].round(9).tolist()} == seen


def test_rois_on_the_same_cells_are_looked_at_once_and_each_keeps_its_own_box():
    near, far = (1, 1, 9, 9), (7, 1, 9, 9)  # in cells of 8 pixels, the image enlarged by 2: HERE 0 0 2 2, 2 0 2 2
    split = split_of(("a",), [("a", HERE)])
    moved = {(0, HERE): (1, SURE, (0.5, 0, 0, 0))}
    found, tester = detected(split, moved, [[HERE, near, far]], spatial_scale=1 / 8, nms_threshold=1)
    assert len(tester.seen) == 2
    sure = found.by_class["a"][found.by_class["a"][:, 1] > 0.9]
    assert sorted(sure[:, 2:].tolist()) == [[5, 0, 14, 9], [5.5, 1, 13.5, 9]]


def test_the_surer_of_two_detections_comes_first_where_float32_would_call_both_certain():
    split = split_of(("a",), [("a", HERE), ("a", THERE)])
    table = {(0, HERE): (1, SURE, STAY), (0, THERE): (1, SURE + 5, STAY)}
    assert np.float32(1 / (1 + np.exp(-SURE))) == 1
    found, _ = detected(split, table, [[HERE, THERE]])
    assert found.by_class["a"][:, 2:].tolist() == [list(THERE), list(HERE)]
    assert (found.by_class["a"][:, 1] < 1).all()


def test_each_box_is_looked_at_in_the_scale_in_which_its_area_is_nearest_to_224_squared():
    split = split_of(("a",), [])
    table = {(0, HERE): (1, SURE, STAY), (0, NOWHERE): (1, SURE / 2, STAY)}
    whole = (0, 0, WIDTH - 1, HEIGHT - 1)
    sides = [8 * HEIGHT, 16 * HEIGHT]  # the whole image has 268^2 pixels in the first, HERE 160^2 in the second
    tester = Answers(1, table)
    own = recipe().changed(test_longest_side=16 * WIDTH, test_short_sides=sides)
    boxes = {"p0": np.array([HERE, whole, NOWHERE], np.float32)}
    found = testing.detect_with(tester, MEAN, 1.0, split, boxes, own, read=read)
    assert [(scale, box) for _, scale, box in tester.seen] == [(8, whole), (16, HERE), (16, NOWHERE)]
    # Rows come back to their own proposals.
    assert found.by_class["a"][:2, 2:].tolist() == [list(HERE), list(NOWHERE)]


@pytest.mark.parametrize("profile", ["exact", "caffe-2015"])
def test_scales_are_images_of_their_own_but_one_padded_input_in_the_original(profile):
    class Trunk(Answers):
        def __init__(self):
            super().__init__(1, {})
            self.images = []

        def trunk(self, image):
            self.images.append(image)
            return 0, image.shape[2] / WIDTH

    sides = [16 * HEIGHT, 8 * HEIGHT]
    own = recipe(profile=profile).changed(test_longest_side=16 * WIDTH, test_short_sides=sides)
    boxes = {"p0": np.array([HERE, (0, 0, WIDTH - 1, HEIGHT - 1)], np.float32)}
    tester, split = Trunk(), split_of(("a",), [])
    testing.detect_with(tester, MEAN, 1.0, split, boxes, own, read=read)
    larger, smaller = tester.images
    assert larger.shape == (3, 16 * HEIGHT, 16 * WIDTH)
    assert smaller.shape == ((3, 8 * HEIGHT, 8 * WIDTH) if profile == "exact" else larger.shape)
    assert np.array_equal(np.flatnonzero(smaller[0].any(axis=1)), np.arange(8 * HEIGHT))
    assert np.array_equal(np.flatnonzero(smaller[0].any(axis=0)), np.arange(8 * WIDTH))


def test_many_rois_are_looked_at_in_parts_and_none_is_lost(monkeypatch):
    monkeypatch.setattr(testing, "ROIS_AT_ONCE", 2)
    split = split_of(("a",), [("a", HERE)])
    boxes = [(x, 0, x + 9, 9) for x in range(0, 25, 5)]
    _, tester = detected(split, {}, [boxes])
    assert [box for _, _, box in tester.seen] == boxes


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_network_that_has_diverged_is_an_error_that_names_the_photograph(wrong):
    split = split_of(("a",), [("a", HERE)])
    with pytest.raises(model.TestingError, match=r"photograph p0: .* diverged"):
        detected(split, {(0, HERE): (1, wrong, STAY)}, [[HERE]])


def test_a_checkpoint_becomes_a_network_with_the_mean_of_its_training_that_predicts_plain_targets(tmp_path):
    network = read_network("I")
    arrays, _ = new_parameters(network, 2, np.random.default_rng(0))
    means, stds = np.arange(12.0).reshape(3, 4), np.arange(1.0, 13).reshape(3, 4)
    recipe = json.loads(json.dumps(dataclasses.asdict(read_recipe("instant"))))
    state = {"recipe": recipe, "classes": ["a", "b"], "mean": [1.0, 2.0, 3.0]}
    state |= {"target_means": means.tolist(), "target_stds": stds.tolist()}
    checkpoint.save(tmp_path / "1.safetensors", arrays | {"velocity/fc6/w": arrays["fc6/w"]}, state)
    found = model.read_model(tmp_path / "1.safetensors")
    assert (found.network.name, found.network.mean, found.classes) == ("I", (1, 2, 3), ("a", "b"))
    assert sorted(found.arrays) == sorted(network.shapes(2))
    expected = reference.fold_statistics(arrays["bbox_pred/w"], arrays["bbox_pred/b"], means, stds)
    np.testing.assert_array_equal(found.arrays["bbox_pred/w"], expected[0])
    np.testing.assert_array_equal(found.arrays["bbox_pred/b"], expected[1])
    np.testing.assert_array_equal(found.arrays["fc6/w"], arrays["fc6/w"])
    checkpoint.save(tmp_path / "2.safetensors", arrays, {"recipe": recipe})
    with pytest.raises(model.TestingError, match=r"2.safetensors says nothing of 'classes'"):
        model.read_model(tmp_path / "2.safetensors")


def test_a_photograph_that_the_network_leaves_nothing_of_is_named_before_any_is_looked_at():
    split = split_of(("a",), [("a", (0, 0, 9, 9))])
    thin = dataclasses.replace(split.photographs[0], width=900, height=8)
    split = dataclasses.replace(split, photographs=(*split.photographs, thin))
    with pytest.raises(DevkitError, match=r"p0\.png is resized to 533 x 5: an image is too small for T"):
        testing.detect_split(read_network("T"), {}, split, {}, read_recipe("short"), "torch")


def test_a_checkpoint_of_another_network_or_other_classes_is_an_error_that_names_the_parameter():
    network = read_network("I")
    arrays, _ = new_parameters(network, 2, np.random.default_rng(0))
    with pytest.raises(model.TestingError, match=r"cls_score/w is .* for 3 classes"):
        model.plain_parameters(network, 3, arrays)
    del arrays["conv2/w"]
    with pytest.raises(model.TestingError, match="lacks conv2/w"):
        model.plain_parameters(network, 2, arrays)


@pytest.mark.parametrize("ranks", [{}, {"fc6": 7, "fc7": 3}])
def test_torch_computes_what_numpy_does_with_and_without_the_two_layers_of_svd(ranks):
    network, parameters, pixels, rois, _ = minibatch("T")
    network, parameters = model.compressed(network, parameters, ranks)
    assert {name: array.shape for name, array in parameters.items()} == network.shapes(
        len(parameters["cls_score/b"]) - 1
    )
    rois = rois[rois[:, 0] == 0]
    masks = {layer: np.ones((len(rois), width)) for layer, width in network.dropout_widths.items()}
    tester = torch_tester.Tester(network, parameters)
    found = tester.head(tester.trunk(pixels[0]), rois)
    for (expected, variance), theirs in zip(forward(network, parameters, pixels[:1], rois, masks), found, strict=True):
        assert (np.abs(expected - theirs) <= apart(variance)).all()


def test_svd_of_a_layer_that_there_is_not_is_an_error_that_names_those_there_are():
    network = read_network("I")
    with pytest.raises(model.TestingError, match="fc7 is no fully connected layer of I; those are fc6"):
        model.compressed(network, {}, {"fc7": 1})


def test_a_small_network_detects_in_made_up_photographs(tmp_path):
    made_up.write_devkit(tmp_path, seed=0, train=1, val=2)
    split = read_split(tmp_path, made_up.YEAR, "val", classes=made_up.CLASSES)
    arrays, _ = new_parameters(read_network("I"), 5, np.random.default_rng(0))
    boxes = {photograph.id: np.float32([[0, 0, 99, 99], [50, 20, 139, 200]]) for photograph in split.photographs}
    found = testing.detect_split(read_network("I"), arrays, split, boxes, recipe(), "torch")
    rows = np.concatenate(list(found.by_class.values()))
    assert sorted(set(rows[:, 0])) == [0, 1]
    assert ((0 <= rows[:, 2:]) & (rows[:, 2:] <= (319, 239, 319, 239))).all()
    assert all(found.seconds[part] > 0 for part in testing.PARTS)
    with pytest.raises(model.TestingError, match="torch, tf"):
        testing.detect_split(read_network("I"), arrays, split, boxes, recipe(), "jax")
