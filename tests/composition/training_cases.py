"""A small run for the tests of training: made-up images, boxes moved off their objects as proposals, network I.

As a program it trains, so that a test can kill it or run torch in a process of its own:
python training_cases.py BACKEND ROOT OUT ITERATIONS
"""

import sys
from pathlib import Path

import numpy as np

from frcnn.repro import made_up, training
from frcnn.repro.recipe import read_recipe
from frcnn.repro.voc import read_split

SMALL = {
    "made_up_train": 6,
    "made_up_val": 1,
    "rois_per_image": 16,
    "short_sides": [64],
    "longest_side": 107,
    "learning_rate": 0.002,
    "warm_up": 2,
    "checkpoint_every": 4,
}


def small_recipe(iterations, **changes):
    return read_recipe("instant", **{**SMALL, "iterations": iterations, **changes})


def prepared(root, recipe):
    """The Beginning of a run from drawn parameters, even those of frozen layers."""
    made_up.write_devkit(root, seed=5, train=recipe.made_up_train, val=recipe.made_up_val)
    split = read_split(root, made_up.YEAR, "train", classes=made_up.CLASSES)
    first = training.first_parameters(recipe.changed(frozen=[]), len(split.classes))
    return training.prepare(recipe, split, proposals(split), "made up", first)


def proposals(split):
    """Each object's box moved by up to a third of its sides, and boxes anywhere."""
    random, found = np.random.default_rng(7), {}
    for photograph in split.photographs:
        things = np.array([thing.box for thing in photograph.things])
        sides = np.tile(things[:, 2:] - things[:, :2], 2)
        near = np.concatenate([things + sides * random.uniform(-1 / 3, 1 / 3, things.shape) for _ in range(10)])
        corners = np.sort(random.uniform(0, 1, (30, 2, 2)), axis=1).reshape(30, 4)
        edges = np.array([photograph.width - 1, photograph.height - 1] * 2)
        found[photograph.id] = np.clip(np.concatenate([near, corners * edges]), 0, edges).round().astype(np.float32)
    return found


def run(backend, root, out, iterations, **keywords):
    recipe = small_recipe(iterations)
    return training.train(recipe, prepared(Path(root), recipe), Path(out), backend=backend, **keywords)


if __name__ == "__main__":
    run(*sys.argv[1:4], int(sys.argv[4]), resume=True)
