"""What the workers that train share: a minibatch, and a trainer of whichever framework."""

import numpy as np

from frcnn.benchmarks.train_step import CLASSES
from frcnn.repro.network import new_parameters, read_network
from frcnn.repro.recipe import read_recipe


class Batch:
    """As minibatch.Batch. Dropout is drawn anew each time, as in training."""

    def __init__(self, case):
        self.images, self.rois, self.labels, self.targets = (
            case[name] for name in ("images", "rois", "labels", "targets")
        )
        self._random = np.random.default_rng(8)

    def mask(self, layer, width):
        return 2 * (self._random.random((len(self.rois), width), np.float32) >= 0.5).astype(np.float32)


def step(case, trainer_class):
    """A function that makes one step and returns its loss. At its rate the weights stay nearly where they are."""
    network, recipe = read_network(case["network"]), read_recipe(case["recipe"])
    arrays, _ = new_parameters(network, CLASSES, np.random.default_rng(9))
    trainer, batch = trainer_class(network, recipe, arrays), Batch(case)
    return lambda: trainer.step(batch, 1e-12)["loss"]
