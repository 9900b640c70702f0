"""Who is told which profile in a run of training and testing."""

import importlib
import inspect
from types import SimpleNamespace

from training_cases import prepared, proposals, small_recipe

from frcnn.repro import made_up, minibatch, testing
from frcnn.repro.network import read_network
from frcnn.repro.voc import read_split

OPERATORS = {
    *("match_rois", "encode_boxes", "target_statistics", "image_order", "multi_task_loss"),
    *("roi_pool of training", "roi_pool of testing", "decode_boxes", "clip_boxes", "detect"),
}


def profiles_told(monkeypatch, backend, root, profile):
    """(operator, the profile it was told, or None) of all calls in a step and a test of a recipe in `profile`."""
    told, part = set(), "training"

    def spied(name, operator):
        def told_of(*arguments, **options):
            told.add((f"{name} of {part}" if name == "roi_pool" else name, options.get("profile")))
            return operator(*arguments, **options)

        return told_of

    network, trainer, tester = (
        importlib.import_module(f"frcnn.repro.{backend}_{part}") for part in ("network", "trainer", "tester")
    )
    for module in (minibatch, testing, network, trainer, tester):
        for name, operator in list(vars(module).items()):
            ours = getattr(operator, "__module__", "").startswith(("frcnn.reference", "frcnn.backends"))
            if ours and inspect.isfunction(operator) and "profile" in inspect.signature(operator).parameters:
                monkeypatch.setattr(module, name, spied(name, operator))
    whole = testing.load(backend)
    monkeypatch.setattr(testing, "load", lambda _: SimpleNamespace(detect=spied("detect", whole.detect)))

    recipe = small_recipe(1, profile=profile)
    beginning = prepared(root, recipe)
    trainer.Trainer(read_network("I"), recipe, beginning.first.arrays).step(beginning.minibatches.batch(0), 0.01)
    part = "testing"
    split = read_split(root, made_up.YEAR, "val", classes=made_up.CLASSES)
    testing.detect_split(read_network("I"), beginning.first.arrays, split, proposals(split), recipe, backend)
    return told


def losses_of(backend, root, **changes):
    """The losses of a recipe's first minibatch."""
    trainer = importlib.import_module(f"frcnn.repro.{backend}_trainer")
    recipe = small_recipe(1, **changes)
    beginning = prepared(root, recipe)
    return trainer.Trainer(read_network("I"), recipe, beginning.first.arrays).step(beginning.minibatches.batch(0), 0.01)
