"""What a report says that a run's figures depend on: no departure from the paper's recipe is left out."""

import dataclasses

import pytest

from frcnn.repro.recipe import Recipe, read_recipe
from frcnn.repro.results import read_paper
from frcnn.repro.run_facts import departures

# The names of files, when a checkpoint is written, what a run is only judged by, and what made-up data alone have.
NO_DEPARTURE = {"source", "seed", "checkpoint_every", "goal_map", "made_up_train", "made_up_val"}
OTHER = {
    **{"proposals": "quality", "difficult": False, "flips": False, "profile": "exact"},
    **{"images_per_batch": 1, "rois_per_image": 32, "fg_fraction": 0.5, "fg_threshold": 0.6},
    **{"bg_threshold_lo": 0.0, "bg_threshold_hi": 0.4, "short_sides": (480, 600), "longest_side": 2000},
    **{"frozen": (), "dropout": 0.0, "learning_rate": 0.01, "gamma": 0.5, "step": 40_000, "warm_up": 100},
    **{"momentum": 0.8, "weight_decay": 0.0, "bias_lr_mult": 1, "bias_decay_mult": 1, "box_loss_weight": 2},
    **{"nms_threshold": 0.4, "per_image": 50, "per_class": 20},
}


@pytest.mark.parametrize(("name", "value"), OTHER.items())
def test_a_field_that_is_not_the_paper_s_is_a_departure(name, value):
    other = read_recipe("full", **{"profile": "caffe-2015", name: value})
    (said,) = set(departures(other, other, read_paper()))
    assert said.startswith(f"{name.replace('_', ' ')}: ")


def test_every_field_on_which_a_figure_depends_is_a_setting_of_the_paper_s_or_a_departure():
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert fields == NO_DEPARTURE | set(OTHER) | {name for name in read_paper()["setting"] if name in fields}
