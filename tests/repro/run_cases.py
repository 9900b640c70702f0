"""A small reproduction; as a program: python run_cases.py OUT BACKEND..."""

import sys
from pathlib import Path

import numpy as np

from frcnn.repro import made_up, run, voc
from frcnn.repro.proposals import write_npz
from frcnn.repro.recipe import read_recipe


def small(**changes):
    changes = {"iterations": 4, "warm_up": 0, "made_up_train": 4, "made_up_val": 3, "goal_map": None} | changes
    return read_recipe("instant", **changes)


def request(out, recipe, **changes):
    """With proposals that hold the objects, so that no selective search is waited for."""
    root = out.parent / f"{out.name}-boxes"
    made_up.write_devkit(root, seed=recipe.seed, train=recipe.made_up_train, val=recipe.made_up_val)
    boxes = {}
    for name in ("train", "val"):
        for one in voc.read_split(root, made_up.YEAR, name, classes=made_up.CLASSES).photographs:
            true = np.float32([thing.box for thing in one.things])
            boxes[one.id] = np.concatenate([true, np.maximum(true - 5, 0), np.float32([[0, 0, 99, 99]])])
    write_npz(root / "boxes.npz", boxes)
    given = {"recipe": recipe, "tier": "instant", "tier_because": "Because.", "devices": {"torch": "cpu"}, "out": out}
    return run.Request(**given | {"proposals": (root / "boxes.npz",)} | changes)


if __name__ == "__main__":
    run.run(request(Path(sys.argv[1]), small(), devices=run.devices_of(sys.argv[2:])))
