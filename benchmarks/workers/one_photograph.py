"""What the workers that detect share: a photograph as a split of one, and a network with drawn weights."""

from pathlib import Path

import numpy as np

from frcnn.benchmarks.detect import CLASSES
from frcnn.repro import model, testing
from frcnn.repro.network import new_parameters, read_network
from frcnn.repro.recipe import read_recipe
from frcnn.repro.voc import Photograph, Split


def detection(case, mode, tester_class, operators):
    """A function that detects once, and gives how many boxes it found. operators: of the backend, NumPy in and out."""
    network, recipe, pixels = read_network(case["network"]), read_recipe(case["recipe"]), case["photograph"]
    arrays, _ = new_parameters(network, CLASSES, np.random.default_rng(13))
    if mode == "detect, svd":
        network, arrays = model.compressed(network, arrays, {"fc6": case["t"]}, operators.truncated_svd)
    photograph = Photograph("photograph", Path(), pixels.shape[1], pixels.shape[0], ())
    classes = tuple(f"class {k}" for k in range(CLASSES))
    split = Split(Path(), "", "photographs", classes, (photograph,), ())
    tester, boxes = tester_class(network, arrays), {photograph.id: case["boxes"]}
    settings = (network.mean, network.spatial_scale, split, boxes, recipe)

    def call():
        found = testing.detect_with(tester, *settings, read=lambda _: pixels, detect=operators.detect)
        return np.array([sum(map(len, found.by_class.values()))])

    return call
