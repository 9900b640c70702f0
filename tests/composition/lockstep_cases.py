"""Two frameworks in lockstep, and how far rounding may take their losses apart: measured, by noise that is larger.

Take roundings as independent and of mean zero, each at most u relative, as network_in_numpy.py does. An inner product
of n terms a_i b_i then has an error of variance at most

    (n + 1) u^2 (sum |a_i b_i|)^2  <=  n (n + 1) u^2 sum (a_i b_i)^2         by Cauchy and Schwarz.

Factors b_i (1 + s e_i), with independent e_i of variance 1 and s = (n + 1) u, give it s^2 sum (a_i b_i)^2, which is
more. All inner products of training are of this kind: a layer's outputs sum weight times input, the gradients to its
inputs sum weight times gradient, those to its weights sum input times gradient. So torch is run again with such noise
on every input of a layer, and on every gradient to its outputs, at each iteration anew; a convolution's inputs have it
from the outputs before them. The n of all is that of the longest inner product of the network, hundreds of times that
of most. What else is rounded (biases, softmax, smooth L1, RoI pooling's sums, the update) has fewer terms than that n
has spare.

The losses of noisy runs then have at least the variance about the exact loss that a framework's have, and two
frameworks are 7 sqrt(2) of its root apart at most.

As a program, torch before TensorFlow, since otherwise it crashes: python lockstep_cases.py NETWORK ROOT OUT.npz
"""

import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn import functional
from training_cases import prepared, small_recipe

from frcnn.conformance.tolerance import UNIT_ROUNDOFF
from frcnn.repro import torch_network, torch_trainer, training
from frcnn.repro.network import read_network

ITERATIONS, NOISY_RUNS = 20, 3
CHANGES = {
    "I": {},
    "T": {"learning_rate": 0.0005, "dropout": 0.5, "frozen": ["conv1"]},
}


class Noise(torch.autograd.Function):
    """x (1 + s e), and the same of the gradient, with e of its own."""

    @staticmethod
    def forward(ctx, x, s):
        ctx.s = s
        return x + x * (s * drawn(x))

    @staticmethod
    def backward(ctx, gradient):
        return gradient + gradient * (ctx.s * drawn(gradient)), None


def drawn(x):
    """Of mean 0 and variance 1."""
    return 12**0.5 * (torch.rand_like(x, dtype=torch.float32) - 0.5)


@contextmanager
def noisy(s, seed):
    """Within, every layer with weights of torch_network has noise around it."""

    def linear(x, *rest):
        return Noise.apply(functional.linear(Noise.apply(x, s), *rest), s)

    def conv2d(x, *rest, **options):
        x = x if x.requires_grad else Noise.apply(x, s)  # the images
        return Noise.apply(functional.conv2d(x, *rest, **options), s)

    torch.manual_seed(seed)
    torch_network.functional = SimpleNamespace(conv2d=conv2d, linear=linear, max_pool2d=functional.max_pool2d)
    try:
        yield
    finally:
        torch_network.functional = functional


def longest(arrays, batches):
    """The terms of the longest inner product: of an output, of a gradient to an input, of one to a weight."""
    shapes = [array.shape for name, array in arrays.items() if name.endswith("/w")]
    into = max(int(np.prod(shape[1:])) for shape in shapes)
    back = max(shape[0] * int(np.prod(shape[2:])) for shape in shapes)
    places = max(batch.images[:, 0].size for batch in batches)  # no map has more
    return max(into, back, places, *(len(batch.rois) for batch in batches))


def case(name, root):
    """Network, recipe, first parameters in float64, minibatches."""
    recipe = small_recipe(ITERATIONS, network=name, **CHANGES[name])
    beginning = prepared(Path(root), recipe)
    minibatches, arrays = beginning.minibatches, beginning.first.arrays
    arrays = {key: array.astype(np.float64) for key, array in arrays.items()}
    return read_network(name), recipe, arrays, [minibatches.batch(number) for number in range(ITERATIONS)]


def allowed(network, recipe, arrays, batches, dtype):
    """How far apart two frameworks' losses may be, (iterations, 3): computed in float64 with the noise of `dtype`."""
    s = (longest(arrays, batches) + 1) * UNIT_ROUNDOFF[dtype]
    plain = training.lockstep([torch_trainer.Trainer(network, recipe, arrays)], batches, recipe.rate)
    squares = 0
    for seed in range(NOISY_RUNS):
        with noisy(s, seed):
            found = training.lockstep([torch_trainer.Trainer(network, recipe, arrays)], batches, recipe.rate)
        squares += (found[:, 0] - plain[:, 0]) ** 2
    return 7 * np.sqrt(2 * squares / NOISY_RUNS)


def main(name, root, out):
    from frcnn.repro import tf_trainer

    network, recipe, arrays, batches = case(name, root)
    single = {key: array.astype(np.float32) for key, array in arrays.items()}
    found = {"allowed": allowed(network, recipe, arrays, batches, "float64")}
    found["allowed_first"] = allowed(network, recipe, arrays, batches[:1], "float32")
    for kind, start, some in (("losses", arrays, batches), ("first", single, batches[:1])):
        trainers = [module.Trainer(network, recipe, start) for module in (torch_trainer, tf_trainer)]
        found[kind] = training.lockstep(trainers, some, recipe.rate)
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
