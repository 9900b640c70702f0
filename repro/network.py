"""A network is data: the layers that a file in networks/ lists, from which both frameworks build the same.

N images, C channels, map H x W; R RoIs; output grid P x P; K object classes, K1 = K + 1 with the background, class 0.

A parameter is named after its layer: "conv1_1/w" (out, in / groups, kh, kw), "conv1_1/b" (out,), "fc6/w" (out, in),
"fc6/b" (out,). fc6 reads the pooled features in the order (C, P, P). The last two layers, cls_score and bbox_pred, are
every network's and stand in no file.
"""

import math
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np

from frcnn import reference
from frcnn.repro.layers import FC, IN_HEAD, IN_TRUNK, Conv, Dropout, Fire, MaxPool, as_layer

NAMES = ("L", "M", "S", "T", "I")
SIBLINGS = ("cls_score", "bbox_pred")  # section 2.1
# About the standard deviation of a photograph's pixels, 0..255, which the rule for new weights takes to be 1. Measured
# with I on 120 made-up images, 300 iterations at a rate of .002: .69 of the true boxes of others named right, without
# it .14.
PIXEL_STD = 64
_FIELDS = ("name", "title", "mean", "grid", "spatial_scale", "frozen", "trunk", "head")


@dataclass(frozen=True)
class Network:
    """A network, as `read_network` gives it."""

    name: str
    title: str
    mean: tuple[float, float, float]  # blue, green, red, 0..255; weights that are imported may bring another
    grid: int  # P
    spatial_scale: float  # map cells per image pixel
    frozen: tuple[str, ...]  # layers that a recipe leaves as they are; it may name more
    trunk: tuple  # before RoI pooling
    head: tuple  # after it

    @property
    def layers(self):
        return self.trunk + self.head

    @cached_property
    def _convolutions(self):
        """(layer, channels in) of each convolution, those of fire modules included, and the trunk's channels out."""
        channels, found = 3, []
        for layer in self.trunk:
            if isinstance(layer, Conv):
                found.append((layer, channels))
                channels = layer.out
            elif isinstance(layer, Fire):
                found.append((layer.squeezing, channels))
                found += [(part, layer.squeeze) for part in layer.expanding]
                channels = 2 * layer.expand
        return found, channels

    @property
    def channels(self):
        """C of the map that is pooled."""
        return self._convolutions[1]

    @property
    def dropout(self):
        """The names of the dropout layers."""
        return tuple(self.dropout_widths)

    @property
    def dropout_widths(self):
        """Of each dropout layer, D: a mask for R RoIs is (R, D)."""
        widths, width = {}, self.channels * self.grid**2
        for layer in self.head:
            if isinstance(layer, FC):
                width = layer.out
            elif isinstance(layer, Dropout):
                widths[layer.name] = width
        return widths

    def shapes(self, class_count):
        """The shape of every parameter, in the order of the layers.

        class_count: K, without the background: 20 for VOC.

        >>> read_network("L").shapes(20)["fc6/w"], read_network("T").shapes(20)["bbox_pred/b"]
        ((4096, 25088), (84,))
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for conv, channels in self._convolutions[0]:
            shapes[f"{conv.name}/w"] = (conv.out, channels // conv.groups, conv.kernel, conv.kernel)
            shapes[f"{conv.name}/b"] = (conv.out,)
        connected = [(layer.name, layer.out) for layer in self.head if isinstance(layer, FC)]
        widths = [self.channels * self.grid**2, *(out for _, out in connected)]
        for (name, out), width in zip(connected, widths, strict=False):
            shapes |= {f"{name}/w": (out, width), f"{name}/b": (out,)}
        for name, out in zip(SIBLINGS, (class_count + 1, 4 * (class_count + 1)), strict=True):
            shapes |= {f"{name}/w": (out, widths[-1]), f"{name}/b": (out,)}
        return shapes

    def parameters_of(self, layers):
        """The names of the parameters of these layers; "fire2" is all three convolutions of the module.

        Raises ValueError naming a layer that has none.

        >>> read_network("L").parameters_of(["fc6"])
        ('fc6/w', 'fc6/b')
        """
        found = []
        for layer in layers:
            own = [name for name in self.shapes(1) if name.startswith(f"{layer}/")]
            if not own:
                known = [part.name for part in self.layers if isinstance(part, Conv | Fire | FC)]
                raise ValueError(f"{layer!r} is no layer with weights of {self.name}; those are {', '.join(known)}")
            found += own
        return tuple(found)

    def map_size(self, size):
        """The (H, W) of the map that the trunk makes of an image of `size` (H, W) pixels.

        >>> read_network("L").map_size((600, 800))
        (38, 50)
        """
        return tuple(self._map_length(length) for length in size)

    def _map_length(self, n):
        for layer in self.trunk:
            if isinstance(layer, MaxPool):
                n = reference.pooled_length(n, layer.kernel, layer.stride, layer.pad)
            elif isinstance(layer, Conv):
                n = (n + 2 * layer.pad - layer.kernel) // layer.stride + 1
                if n < 1:
                    raise ValueError(f"an image is too small for {self.name}: nothing is left of it at {layer.name}")
        return n


def read_network(name):
    """One of this project's networks by its name, or another by the path of its .toml file.

    Raises ValueError naming the file and what is wrong in it.

    >>> read_network("T").grid
    6
    """
    if str(name) in NAMES:
        file = resources.files("frcnn.repro.networks") / f"{name}.toml"
    elif str(name).endswith(".toml"):
        file = Path(name)
    else:
        raise ValueError(f"network must be one of {', '.join(NAMES)}, or the path of a .toml file, got {str(name)!r}")
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no TOML: {error}") from None
    return _as_network(str(name) if isinstance(file, Path) else f"{name}.toml", table)


def _as_network(file, table):
    for field in _FIELDS:
        if field not in table:
            raise ValueError(f"{file} lacks {field}")
    if unknown := table.keys() - set(_FIELDS):
        raise ValueError(f"{file} has no {min(unknown)}; its fields: {', '.join(_FIELDS)}")
    for field, kind in (("name", str), ("title", str), ("frozen", list), ("trunk", list), ("head", list)):
        if not isinstance(table[field], kind):
            raise ValueError(f"{file}: {field} must be a {kind.__name__}, got {table[field]!r}")
    mean, grid = table["mean"], table["grid"]
    if not isinstance(mean, list) or len(mean) != 3 or not all(type(value) in (int, float) for value in mean):
        raise ValueError(f"{file}: mean must be three numbers, blue, green, red, got {mean!r}")
    if type(grid) is not int or grid < 1:
        raise ValueError(f"{file}: grid must be a whole number of at least 1, got {grid!r}")
    layers = {
        part: tuple(as_layer(f"{file}: {part}[{number}]", entry, kinds) for number, entry in enumerate(table[part]))
        for part, kinds in (("trunk", IN_TRUNK), ("head", IN_HEAD))
    }
    network = Network(**{**table, **layers, "mean": tuple(map(float, mean)), "frozen": tuple(table["frozen"])})
    _check(file, network)
    return network


def _check(file, network):
    names = sorted([layer.name for layer in network.layers if hasattr(layer, "name")] + list(SIBLINGS))
    if twice := [first for first, second in pairwise(names) if first == second]:
        raise ValueError(f"{file} has more than one layer {twice[0]}")
    stride = math.prod(getattr(layer, "stride", 1) for layer in network.trunk)
    if network.spatial_scale != 1 / stride:
        raise ValueError(f"{file}: spatial_scale must be 1/{stride} by the strides, got {network.spatial_scale!r}")
    if not any(isinstance(layer, FC) for layer in network.head):
        raise ValueError(f"{file}: head must have an fc layer")
    for conv, channels in network._convolutions[0]:
        if channels % conv.groups or conv.out % conv.groups:
            raise ValueError(
                f"{file}: {conv.name} cannot share {channels} to {conv.out} channels in {conv.groups} groups"
            )
    try:
        network.parameters_of(network.frozen)
    except ValueError as error:
        raise ValueError(f"{file}: frozen: {error}") from None


def new_parameters(network, class_count, generator, given=None):
    """The parameters that training starts from: those given, and the others drawn.

    network: a Network. class_count: K, without the background. generator: a numpy.random.Generator.
    given: name -> array, of any floating type; what the network has no use for is left alone.

    What is not given: cls_score and bbox_pred as spec/init.md has them; any other weights from a normal distribution of
    variance 2 over the number of inputs (He and others, 2015, equation 10), which keeps the size of what goes through a
    ReLU, the first layer's divided by PIXEL_STD besides; the original has all others from ImageNet. Biases are 0. What
    one parameter becomes does not depend on which others are given.

    Returns a dict name -> float32 array, in the order of the layers, and the list of names that were not given.
    Raises ValueError naming the parameter where a shape or a number is wrong.
    """
    shapes, parameters, initialised = network.shapes(class_count), {}, []
    for (name, shape), own in zip(shapes.items(), generator.spawn(len(shapes)), strict=True):
        if given is not None and name in given:
            parameters[name] = _as_given(network, name, np.asarray(given[name]), shape)
        else:
            initialised.append(name)
            parameters[name] = _drawn(name, shape, own, 1 / PIXEL_STD if len(parameters) == 0 else 1.0)
    return parameters, initialised


def _as_given(network, name, array, shape):
    if array.shape != shape or array.dtype.kind != "f":
        raise ValueError(f"{name} is given as {array.dtype} {array.shape}, but {network.name} has floats {shape} there")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} is given with a number that is not finite in float32; take the weights from another file"
        )
    return array


def _drawn(name, shape, generator, factor):
    layer, _, part = name.rpartition("/")
    if part == "b":
        return np.zeros(shape, np.float32)
    std = reference.init.STDS.get(layer, factor * math.sqrt(2 / math.prod(shape[1:])))
    return reference.gaussian_fill(reference.draw_normals(shape, generator), std)
