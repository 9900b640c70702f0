"""What both frameworks' networks are tried on: small photographs of odd sizes, a few RoIs, dropout masks."""

import numpy as np
from network_in_numpy import random_parameters

from frcnn.repro.network import read_network

CLASSES = 3
SIZE = (97, 131)
# (kernel, stride, pad): of L; of M and T; of S; a last window that would begin behind the end; gaps between windows.
POOLINGS = ((2, 2, 0), (3, 2, 0), (3, 2, 1), (2, 2, 1), (2, 3, 0), (4, 3, 2))


def images(count=1, size=SIZE, seed=1):
    return np.random.default_rng(seed).normal(0, 60, (count, 3, *size))


def minibatch(name):
    """The network, its parameters, images, RoIs and masks; all float64."""
    network, random = read_network(name), np.random.default_rng(2)
    H, W = SIZE
    corners = np.sort(random.uniform(0, (W, H), (6, 2, 2)), axis=1).reshape(6, 4)
    rois = np.column_stack([[0, 0, 0, 1, 1, 1], corners])
    masks = {layer: 2.0 * random.integers(0, 2, (len(rois), width)) for layer, width in network.dropout_widths.items()}
    return network, random_parameters(network, CLASSES), images(2), rois, masks


def maps():
    """Maps of every length from 3 to 12 along one side, for each pooling that gives them a cell."""
    random = np.random.default_rng(3)
    return [random.normal(0, 1, (1, 2, H, 15 - H)) - 3 for H in range(3, 13)]
