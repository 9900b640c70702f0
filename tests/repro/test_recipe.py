"""A recipe is checked field by field, and the paper's recipe has the paper's figures."""

import dataclasses
import inspect
import math
from importlib import resources

import pytest

from frcnn import reference
from frcnn.repro.network import read_network
from frcnn.repro.recipe import Recipe, RecipeError, read_recipe, recipe_names

# What the original's own files say of model L on VOC07 (rbgirshick/fast-rcnn at b612190), literally.
ORIGINAL = {
    # tools/train_net.py and test_net.py, what they take unless told otherwise; lib/datasets/pascal_voc.py
    **{"network": "L", "data": "voc07", "train_set": "trainval", "test_set": "test", "iterations": 40_000},
    **{"difficult": True},
    # lib/fast_rcnn/config.py: RNG_SEED, and TRAIN
    **{"seed": 3},
    **{"images_per_batch": 2, "rois_per_image": 64, "fg_fraction": 0.25, "fg_threshold": 0.5, "bg_threshold_lo": 0.1},
    **{"bg_threshold_hi": 0.5, "short_sides": (600,), "longest_side": 1000, "flips": True},
    # models/VGG16/solver.prototxt; there is no warm-up
    **{"learning_rate": 0.001, "gamma": 0.1, "step": 30_000, "momentum": 0.9, "weight_decay": 0.0005, "warm_up": 0},
    # models/VGG16/train.prototxt: lr_mult 0, lr_mult 2 and decay_mult 0 of biases, dropout_ratio, loss_weight
    **{"frozen": ("conv1_1", "conv1_2", "conv2_1", "conv2_2"), "bias_lr_mult": 2, "bias_decay_mult": 0, "dropout": 0.5},
    **{"box_loss_weight": 1},
    # lib/fast_rcnn/config.py: TEST; lib/fast_rcnn/test.py, test_net; the devkit's VOCevaldet.m
    **{"test_short_sides": (600,), "test_longest_side": 1000, "nms_threshold": 0.3, "per_image": 100, "per_class": 40},
    **{"average_precision": "11-point"},
}
# What is no matter of the original's, which has its own proposals, kernels and files.
OURS = {"proposals": "fast", "profile": "exact", "checkpoint_every": 2500, "goal_map": None}
OURS |= {"made_up_train": 0, "made_up_val": 0, "source": "full.toml"}


def lines_of(name):
    return (resources.files("frcnn.repro.recipes") / f"{name}.toml").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", ["instant", "short", "full"])
def test_every_recipe_of_the_package_can_be_read(name):
    assert name in recipe_names()
    assert read_recipe(name).source == f"{name}.toml"


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_freezes_layers_that_its_network_has_and_those_that_the_network_names(name):
    recipe = read_recipe(name)
    network = read_network(recipe.network)
    assert set(network.parameters_of(recipe.frozen)) <= set(network.shapes(2))
    assert set(recipe.frozen) >= set(network.frozen)


@pytest.mark.parametrize("operator", [reference.sample_rois, reference.image_order, reference.sgd_step])
def test_the_paper_s_recipe_has_the_figures_of_the_spec(operator):
    recipe = read_recipe("full")
    given = {name: one.default for name, one in inspect.signature(operator).parameters.items()}
    shared = [name for name in given if hasattr(recipe, name) and given[name] is not inspect.Parameter.empty]
    assert shared
    assert {name: getattr(recipe, name) for name in shared} == {name: given[name] for name in shared}


def test_the_paper_s_recipe_has_every_value_of_the_original_s_files():
    assert dataclasses.asdict(read_recipe("full")) == ORIGINAL | OURS


def test_the_rate_of_the_paper_s_recipe_drops_after_thirty_thousand_iterations():
    recipe = read_recipe("full")
    assert [recipe.rate(i) for i in (0, 29_999, 30_000, 39_999)] == [0.001, 0.001, 0.001 * 0.1, 0.001 * 0.1]


def test_the_rate_rises_evenly_in_the_warm_up_and_ends_at_its_full_height():
    recipe = read_recipe("full", warm_up=4)
    assert [recipe.rate(i) / 0.001 for i in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


WRONG = [
    ("network", "VGG", "one of"),
    ("network", ["L"], "one of"),
    ("flips", 1, "true or false"),
    ("images_per_batch", 0, "whole number in 1.."),
    ("images_per_batch", 2.0, "whole number"),
    ("images_per_batch", True, "whole number"),
    ("seed", -1, "whole number in 0.."),
    ("fg_fraction", 1.5, "at least 0 and at most 1"),
    ("fg_fraction", math.nan, "number"),
    ("fg_fraction", "a quarter", "number"),
    ("fg_fraction", True, "number"),
    ("learning_rate", 0, "above 0"),
    ("momentum", 1, "below 1"),
    ("dropout", 1.0, "below 1"),
    ("short_sides", 600, "list"),
    ("short_sides", [], "one at least"),
    ("short_sides", [600, 600], "different"),
    ("short_sides", [600.0], "whole numbers"),
    ("frozen", "conv1", "list"),
    ("frozen", [1], "words"),
    ("average_precision", "07", "one of 11-point, area"),
    ("goal_map", 0, "above 0"),
    # what one field asks of another
    ("bg_threshold_lo", 0.6, "at most bg_threshold_hi, 0.5"),
    ("bg_threshold_hi", 0.6, "at most fg_threshold, 0.5"),
    ("longest_side", 599, "at least the largest of short_sides, 600"),
    ("test_longest_side", 599, "at least the largest of test_short_sides, 600"),
    ("made_up_train", 5, "0, since data is voc07"),
]


@pytest.mark.parametrize(("field", "value", "right"), WRONG)
def test_a_wrong_value_is_refused_by_file_field_value_and_what_would_be_right(field, value, right):
    with pytest.raises(RecipeError) as caught:
        read_recipe("full", **{field: value})
    message = str(caught.value)
    assert message.startswith(f"full.toml: {field} is {value!r}; it must be ")
    assert right in message


def test_every_field_refuses_what_no_field_may_hold():
    for field in Recipe.__dataclass_fields__:
        if field != "source":
            with pytest.raises(RecipeError, match=f"^full.toml: {field} is "):
                read_recipe("full", **{field: {}})


def test_made_up_images_are_counted_where_the_data_are_made_up():
    with pytest.raises(RecipeError, match="made_up_val is 0; it must be at least 1"):
        read_recipe("instant", made_up_val=0)


def test_a_recipe_of_one_s_own_is_a_file(tmp_path):
    file = tmp_path / "mine.toml"
    lines = [line for line in lines_of("short") if not line.startswith("seed")]
    file.write_text("\n".join([*lines, "seed = 11"]), encoding="utf-8")
    mine, short = read_recipe(file), read_recipe("short", seed=11)
    assert mine.source == str(file)
    assert dataclasses.replace(mine, source=short.source) == short


def test_unknown_and_missing_fields_are_refused_by_name(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text("\n".join([*lines_of("short"), "learning_rat = 1"]), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"mine\.toml: learning_rat is 1; no field is called so, .*learning_rate"):
        read_recipe(file)
    file.write_text("\n".join(line for line in lines_of("short") if not line.startswith("gamma")), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"mine\.toml: lacks gamma"):
        read_recipe(file)
    with pytest.raises(RecipeError, match=r"short\.toml: rate is 2; no field"):
        read_recipe("short").changed(rate=2)
    with pytest.raises(RecipeError, match=r"short\.toml: source is 'x'; no field"):
        read_recipe("short", source="x")


def test_a_changed_recipe_is_checked_again():
    recipe = read_recipe("full").changed(train_set="train", test_set="val")
    assert (recipe.train_set, recipe.test_set) == ("train", "val")
    with pytest.raises(RecipeError, match="iterations is 0"):
        recipe.changed(iterations=0)


def test_what_is_no_recipe_is_said_to_be_none(tmp_path):
    with pytest.raises(RecipeError, match="'quick' is no recipe; there are full, instant, short"):
        read_recipe("quick")
    with pytest.raises(RecipeError, match=r"absent\.toml: cannot be read"):
        read_recipe(tmp_path / "absent.toml")
    for content in (b"network =", b"\xff"):
        (tmp_path / "broken.toml").write_bytes(content)
        with pytest.raises(RecipeError, match=r"broken\.toml: is no TOML file"):
            read_recipe(tmp_path / "broken.toml")
