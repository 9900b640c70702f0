"""Minibatches are pure functions of data, recipe, seed and number, and hold what the spec says of them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from frcnn.reference import decode_boxes, image_scale, iou
from frcnn.repro.loader import Loader
from frcnn.repro.minibatch import Minibatches, TrainingSetError, check_sizes, network_image, training_set
from frcnn.repro.network import read_network
from frcnn.repro.proposals import ProposalsError
from frcnn.repro.recipe import read_recipe
from frcnn.repro.voc import DevkitError, Photograph, Split, Thing

CLASSES = ("disc", "square")
MEAN = np.float64([10, 20, 30])
RECIPE = read_recipe("full", short_sides=[60], longest_side=100, rois_per_image=16)


def whole_boxes(generator, count, width, height):
    """Boxes whose corners are whole pixels of the image, at least 4 x 4."""
    first = generator.integers(0, [width - 4, height - 4], size=(count, 2))
    last = generator.integers(first + 3, [width, height], size=(count, 2))
    return np.column_stack([first, last]).astype(np.float32)


def near(box, generator, count, width, height):
    moved = box + generator.integers(-3, 4, size=(count, 4))
    return np.clip(moved, 0, [width - 1, height - 1, width - 1, height - 1]).astype(np.float32)


def made_split(count=7, seed=3):
    """Photographs of different sizes with one or two objects each, and proposals on and off them."""
    generator = np.random.default_rng(seed)
    photographs, proposals = [], {}
    for number in range(count):
        width, height = generator.integers(30, 60, size=2).tolist()
        boxes = whole_boxes(generator, 1 + number % 2, width, height)
        things = tuple(
            Thing(CLASSES[(number + k) % 2], tuple(box.tolist()), difficult=k == 1) for k, box in enumerate(boxes)
        )
        photograph = Photograph(f"{number:06}", Path(f"{number}.png"), width, height, things)
        photographs.append(photograph)
        close = [near(box, generator, 12, width, height) for box in boxes]
        found = np.concatenate([*close, whole_boxes(generator, 40, width, height)])
        proposals[photograph.id] = found[(found[:, 2] >= found[:, 0]) & (found[:, 3] >= found[:, 1])]
    return Split(Path(), "2007", "train", CLASSES, tuple(photographs), ()), proposals


def pixels_of(photograph):
    """Pixels that say where they are: blue is the column, green the row; red is the photograph's number."""
    pixels = np.empty((photograph.height, photograph.width, 3), np.uint8)
    pixels[..., 0] = np.arange(photograph.width)
    pixels[..., 1] = np.arange(photograph.height)[:, None]
    pixels[..., 2] = int(photograph.id)
    return pixels


SPLIT, PROPOSALS = made_split()


def minibatches(recipe=RECIPE, split=SPLIT, proposals=PROPOSALS):
    return Minibatches(training_set(split, proposals, recipe), recipe, MEAN, read=pixels_of)


def assert_same(one, other):
    for name in (field.name for field in dataclasses.fields(one)):
        a, b = getattr(one, name), getattr(other, name)
        assert type(a) is type(b)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


def stored(batch, index):
    """The RoIs of image `index` of a batch in pixels of the stored photograph (or its mirror image), and its number."""
    rows = batch.rois[:, 0] == index
    return batch.rois[rows, 1:].astype(np.float64) / batch.scales[index], rows


def photograph_of(name):
    return SPLIT.photographs[int(name.split()[0])]


def mirror(boxes, width):
    return np.column_stack([width - 1 - boxes[:, 2], boxes[:, 1], width - 1 - boxes[:, 0], boxes[:, 3]])


def test_a_batch_does_not_depend_on_those_made_before_it():
    one, other = minibatches(), minibatches()
    forward = [one.batch(number) for number in range(20)]
    for number in (19, 0, 7, 12, 7):
        assert_same(forward[number], other.batch(number))


def test_batches_made_by_several_threads_at_once_are_those_made_one_by_one():
    one, other = minibatches(), minibatches()
    with Loader(one.batch, 3, 33, ready=8, threads=4) as loader:
        for number, batch in enumerate(loader, 3):
            assert_same(batch, other.batch(number))
    assert number == 32


def test_another_seed_draws_other_images_rois_and_masks():
    one, other = minibatches().batch(0), minibatches(RECIPE.changed(seed=4)).batch(0)
    assert one.names != other.names
    rows = min(len(one.rois), len(other.rois))
    assert (one.mask("fc6", 50)[:rows] != other.mask("fc6", 50)[:rows]).any()


def test_an_image_that_comes_twice_has_other_rois_the_second_time():
    batches = minibatches(RECIPE.changed(rois_per_image=6))
    seen = {}
    for number in range(2 * batches.per_epoch):
        batch = batches.batch(number)
        for index, name in enumerate(batch.names):
            seen.setdefault(name, []).append(stored(batch, index)[0].round(3).tolist())
    twice = [drawn for drawn in seen.values() if len(drawn) == 2]
    assert len(twice) >= 10
    assert all(first != second for first, second in twice)


def test_images_of_one_batch_draw_each_for_itself():
    one = SPLIT.photographs[0]
    split = dataclasses.replace(SPLIT, photographs=(one, dataclasses.replace(one, id="000001")))
    proposals = dict.fromkeys(("000000", "000001"), PROPOSALS[one.id])
    batch = minibatches(RECIPE.changed(flips=False, rois_per_image=6), split, proposals).batch(0)
    first, second = (batch.rois[batch.rois[:, 0] == index, 1:].tolist() for index in (0, 1))
    assert sorted(first) != sorted(second)


def test_an_epoch_has_every_image_and_every_mirror_image_once_and_the_next_another_order():
    batches = minibatches()
    assert (batches.data.entries, batches.per_epoch) == (14, 7)
    epochs = [[batches.batch(7 * epoch + k).names for k in range(7)] for epoch in (0, 1)]
    everything = sorted(name + mirrored for name in PROPOSALS for mirrored in ("", " mirrored"))
    for epoch in epochs:
        assert sorted(name for names in epoch for name in names) == everything
    assert epochs[0] != epochs[1]


def test_the_original_drops_the_last_batch_of_an_even_epoch():
    assert minibatches(RECIPE.changed(profile="caffe-2015")).per_epoch == 6


def test_without_flips_no_image_is_mirrored():
    batches = minibatches(RECIPE.changed(flips=False))
    assert (batches.data.entries, batches.per_epoch) == (7, 3)
    assert not any("mirrored" in name for number in range(3) for name in batches.batch(number).names)


@pytest.mark.parametrize("number", range(7))
def test_an_image_is_mirrored_less_its_mean_and_padded_with_zeros(number):
    batch = minibatches(RECIPE.changed(short_sides=[30], longest_side=1000)).batch(number)
    for index, name in enumerate(batch.names):
        photograph, scale = photograph_of(name), batch.scales[index]
        assert scale == 30 / min(photograph.width, photograph.height)
        height, width = round(photograph.height * scale), round(photograph.width * scale)
        image = batch.images[index, :, :height, :width] + MEAN[:, None, None]
        columns, rows = image[0].mean(axis=0), image[1].mean(axis=1)
        assert (np.diff(columns) < 0).all() if "mirrored" in name else (np.diff(columns) > 0).all()
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(image[2], int(photograph.id))
        assert not batch.images[index, :, height:].any()
        assert not batch.images[index, :, :, width:].any()


@pytest.mark.parametrize("number", range(7))
def test_rois_are_the_image_s_own_boxes_times_the_scale_and_not_rounded(number):
    batch = minibatches().batch(number)
    fractions = np.abs(batch.rois[:, 1:] - batch.rois[:, 1:].round())
    assert fractions.max() > 0.1
    for index, name in enumerate(batch.names):
        photograph = photograph_of(name)
        own = np.concatenate([[thing.box for thing in photograph.things], PROPOSALS[photograph.id]])
        own = mirror(own, photograph.width) if "mirrored" in name else own
        possible = {tuple(row) for row in (own * batch.scales[index]).astype(np.float32).tolist()}
        rois = batch.rois[batch.rois[:, 0] == index, 1:]
        assert len(rois) > 0
        assert {tuple(row) for row in rois.tolist()} <= possible


@pytest.mark.parametrize("profile", ["exact", "caffe-2015"])
def test_a_foreground_roi_has_its_object_s_class_and_its_target_leads_to_the_object(profile):
    batches = minibatches(RECIPE.changed(profile=profile))
    checked = 0
    for number in range(batches.per_epoch):
        batch = batches.batch(number)
        for index, name in enumerate(batch.names):
            photograph = photograph_of(name)
            truth = np.array([thing.box for thing in photograph.things])
            truth = mirror(truth, photograph.width) if "mirrored" in name else truth
            rois, rows = stored(batch, index)
            rois = rois.round()  # the photograph's boxes are of whole pixels
            overlaps, labels = iou(rois, truth), batch.labels[rows]
            np.testing.assert_array_equal(labels > 0, overlaps.max(axis=1) >= 0.5)
            assert ((overlaps.max(axis=1) >= 0.1) | (labels > 0)).all()
            assert not batch.targets[rows][labels == 0].any()
            for roi, label, target, best in zip(
                rois, labels, batch.targets[rows], overlaps.argmax(axis=1), strict=True
            ):
                if label:
                    assert CLASSES[label - 1] == photograph.things[best].name
                    plain = target * batches.data.stds[label] + batches.data.means[label]
                    box = decode_boxes(roi[None], plain[None], profile=profile)[0]
                    np.testing.assert_allclose(
                        box, truth[best], atol=1e-3
                    )  # thousandths of a pixel: targets are float32
                    checked += 1
    assert checked > 30


def test_where_float32_calls_two_overlaps_equal_the_target_leads_to_the_object_whose_class_is_learnt():
    """In float64 the second object overlaps a little more; matching in the boxes' float32 takes the first."""
    objects, proposal = ((2.0, 11, 149, 120), (3.0, 4, 141, 120)), np.float32([[0, 0, 149, 119]])
    things = tuple(Thing(name, box, difficult=False) for name, box in zip(CLASSES, objects, strict=True))
    split = dataclasses.replace(SPLIT, photographs=(Photograph("000000", Path("0.png"), 160, 130, things),))
    recipe = RECIPE.changed(images_per_batch=1, flips=False, fg_fraction=1)
    batches = minibatches(recipe, split, {"000000": proposal})
    batch = batches.batch(0)
    row = np.flatnonzero(stored(batch, 0)[0].round()[:, 0] == 0).item()
    assert batch.labels[row] == 1
    plain = batch.targets[row] * batches.data.stds[1] + batches.data.means[1]
    np.testing.assert_allclose(decode_boxes(np.float64(proposal), plain[None])[0], objects[0], atol=1e-3)


@pytest.mark.parametrize("fg_threshold", [0.5, 0.6])
def test_targets_have_zero_mean_and_unit_spread_over_the_doubled_set_class_by_class(fg_threshold):
    # With more places than there are RoIs an epoch draws every foreground RoI of every image, so the whole set.
    batches = minibatches(RECIPE.changed(rois_per_image=1000, fg_fraction=1, fg_threshold=fg_threshold))
    drawn = [batches.batch(number) for number in range(batches.per_epoch)]
    targets = np.concatenate([batch.targets for batch in drawn]).astype(np.float64)
    labels = np.concatenate([batch.labels for batch in drawn])
    for k in (1, 2):
        assert (labels == k).sum() > 20
        assert np.abs(targets[labels == k]).max() < 16
        rounding = 2.0**-21  # half a unit in the last place of a float32 below 16
        np.testing.assert_allclose(targets[labels == k].mean(axis=0), 0, rtol=0, atol=rounding)
        np.testing.assert_allclose(targets[labels == k].std(axis=0), 1, rtol=0, atol=rounding)
    np.testing.assert_allclose(batches.data.means[:, 0], 0, atol=1e-12)  # what is left in one is right in the other


def test_a_batch_has_no_more_rois_than_the_recipe_says_and_no_more_foreground():
    batches = minibatches(RECIPE.changed(rois_per_image=8))
    for number in range(batches.per_epoch):
        batch = batches.batch(number)
        for index in (0, 1):
            labels = batch.labels[batch.rois[:, 0] == index]
            assert len(labels) <= 8
            assert 1 <= (labels > 0).sum() <= 2
    assert batch.images.dtype == batch.rois.dtype == batch.targets.dtype == np.float32
    assert batch.labels.dtype == np.int64


def test_each_image_s_short_side_is_drawn_for_itself():
    batches = minibatches(RECIPE.changed(short_sides=[30, 45, 60], longest_side=1000))
    sides = []
    for number in range(30):
        batch = batches.batch(number)
        small = [min(photograph_of(name).width, photograph_of(name).height) for name in batch.names]
        sides.append(tuple(np.multiply(batch.scales, small).round(6).tolist()))
    assert {side for pair in sides for side in pair} == {30, 45, 60}
    assert len(set(sides)) == 9


def test_difficult_objects_are_left_out_where_the_recipe_says_so():
    data = training_set(SPLIT, PROPOSALS, RECIPE.changed(difficult=False))
    assert [len(example.ground_truth) for example in data.examples] == [1] * 7
    assert [len(example.ground_truth) for example in training_set(SPLIT, PROPOSALS, RECIPE).examples] == [1, 2] * 3 + [
        1
    ]


def test_a_photograph_without_a_roi_to_draw_is_left_out_with_a_reason():
    empty = dataclasses.replace(SPLIT.photographs[0], id="000099", things=())
    split = dataclasses.replace(SPLIT, photographs=(*SPLIT.photographs, empty))
    proposals = {**PROPOSALS, "000099": PROPOSALS["000000"]}
    data = training_set(split, proposals, RECIPE)
    assert data.left_out == (("000099", "no RoI of it is foreground or background"),)
    assert len(data.examples) == 7
    # Where the background begins at 0, everything in it is background.
    assert len(training_set(split, proposals, RECIPE.changed(bg_threshold_lo=0)).examples) == 8
    with pytest.raises(TrainingSetError, match=r"train has 0 images to train on, .* 1 of 1 photographs were left out"):
        training_set(dataclasses.replace(split, photographs=(empty,)), proposals, RECIPE)


def test_a_photograph_that_the_network_leaves_nothing_of_is_named_whoever_shares_its_batch():
    thin = dataclasses.replace(SPLIT.photographs[2], width=900, height=8, path=Path("thin.jpg"))
    split = dataclasses.replace(SPLIT, photographs=(*SPLIT.photographs[:2], thin, *SPLIT.photographs[3:]))
    recipe = read_recipe("short")
    with pytest.raises(DevkitError, match=r"thin\.jpg is resized to 533 x 5: an image is too small for T"):
        training_set(split, PROPOSALS, recipe)
    narrow = dataclasses.replace(split, photographs=(dataclasses.replace(thin, width=2, height=3000),))
    with pytest.raises(DevkitError, match=r"thin\.jpg is resized to 0 x 533: .* nothing is left of it at conv1; leave"):
        check_sizes(narrow, read_network("T"), recipe.short_sides, recipe.longest_side)


@pytest.mark.parametrize("size", [(13, 21), (15, 375), (333, 499), (57, 400)])
def test_the_sizes_that_are_checked_are_those_that_images_are_resized_to(size):
    for side, longest in ((60, 100), (7, 400), (600, 1000)):
        scale = image_scale(size, side, longest)
        image, _ = network_image(np.zeros((*size, 3), np.uint8), MEAN, side, longest)
        assert image.shape[:2] == tuple(round(scale * length) for length in size)


def test_a_photograph_without_proposals_is_named():
    with pytest.raises(ProposalsError, match="000003"):
        training_set(SPLIT, {name: boxes for name, boxes in PROPOSALS.items() if name != "000003"}, RECIPE)


def test_a_class_whose_targets_have_no_spread_is_named_where_the_original_would_divide_by_zero():
    photograph = dataclasses.replace(SPLIT.photographs[0], things=SPLIT.photographs[0].things[:1])
    split = dataclasses.replace(SPLIT, photographs=(photograph,))
    none = {photograph.id: np.empty((0, 4), np.float32)}
    assert training_set(split, none, RECIPE).stds[1].tolist() == [1, 1, 1, 1]
    with pytest.raises(TrainingSetError, match=r"class disc in train .* take profile exact"):
        training_set(split, none, RECIPE.changed(profile="caffe-2015"))


def test_a_mask_is_zero_or_two_half_of_each_and_another_for_each_layer_and_batch():
    batches = minibatches()
    one, other = batches.batch(0), batches.batch(1)
    mask = one.mask("fc6", 1000)
    assert mask.shape == (len(one.rois), 1000)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) == {0, 2}
    # Six standard deviations of a fair coin's share of heads.
    assert abs(mask.mean() / 2 - 0.5) < 6 * 0.5 / np.sqrt(mask.size)
    np.testing.assert_array_equal(mask, minibatches().batch(0).mask("fc6", 1000))
    rows = min(len(one.rois), len(other.rois))
    for another in (one.mask("fc7", 1000), other.mask("fc6", 1000)):
        assert 0.4 < (mask[:rows] != another[:rows]).mean() < 0.6


def test_a_mask_keeps_what_dropout_leaves_and_scales_it_up():
    batch = minibatches(RECIPE.changed(dropout=0.75)).batch(0)
    mask = batch.mask("fc6", 4000)
    assert set(np.unique(mask)) == {0, 4}
    assert 0.24 < (mask > 0).mean() < 0.26
    assert (minibatches(RECIPE.changed(dropout=0)).batch(0).mask("fc6", 10) == 1).all()
