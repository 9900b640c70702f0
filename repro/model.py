"""A trained network as it is tested: from a training run's checkpoint, whole or with layers cut by SVD.

K object classes, K1 = K + 1 with the background.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from frcnn import reference
from frcnn.repro import checkpoint
from frcnn.repro.layers import FC
from frcnn.repro.network import Network, read_network
from frcnn.repro.recipe import Recipe


class TestingError(ValueError):
    """A network that cannot be tested; the sentence names what is wrong and what to do."""

    __test__ = False  # pytest takes whatever begins with Test for a test


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network: the mean is that of its training, and its regressor predicts plain targets.

    recipe: of its training. state: what the checkpoint says of its run.
    """

    network: Network
    arrays: dict[str, np.ndarray]
    classes: tuple[str, ...]
    recipe: Recipe
    state: dict[str, Any]

    @property
    def title(self) -> str:
        """In words, what made it: of pictures, which are seen without their report."""
        framework = self.state.get("made_by", {}).get("framework", "an unknown framework")
        return f"network {self.network.name}, trained by {framework} with seed {self.recipe.seed}"


def read_model(path: Path) -> Model:
    """A training run's checkpoint. Raises CheckpointError for a file that is none, TestingError for one of others."""
    arrays, state = checkpoint.load(path)
    try:
        recipe = _recipe(path, state["recipe"])
        classes, mean = tuple(state["classes"]), tuple(state["mean"])
        means, stds = (np.array(state[name], np.float64) for name in ("target_means", "target_stds"))
    except KeyError as error:
        raise TestingError(f"{path} says nothing of {error}, as a checkpoint of `frcnn train` does") from None
    except TypeError as error:
        raise TestingError(f"{path} has a state that is none of `frcnn train`: {error}") from None
    network = dataclasses.replace(read_network(recipe.network), mean=mean)
    return Model(network, plain_parameters(network, len(classes), arrays, (means, stds)), classes, recipe, state)


def _recipe(path: Path, fields: Any) -> Recipe:
    if not isinstance(fields, dict):
        raise TestingError(f"{path} has a recipe that is no dict: {fields!r}")
    if other := sorted(fields.keys() ^ {one.name for one in dataclasses.fields(Recipe)}):
        raise TestingError(
            f"{path} is of another version of frcnn: this one's recipes have other fields, {', '.join(other)}"
        )
    return Recipe(**fields)


def plain_parameters(
    network: Network,
    class_count: int,
    arrays: Mapping[str, np.ndarray],
    statistics: tuple[np.ndarray, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """The parameters with which a network is tested.

    class_count: K. arrays: name -> array, perhaps with others that testing has no use for, such as velocities.
    statistics: means and stds, (K1, 4) float64 each, of the targets that the regressor was trained on; what is returned
        predicts plain ones (clause box-targets.folded). None where it does so already.

    Raises TestingError naming a parameter that is missing or of another shape.
    """
    found = {}
    for name, shape in network.shapes(class_count).items():
        if name not in arrays:
            raise TestingError(f"the checkpoint lacks {name}, so it is none of network {network.name}")
        if arrays[name].shape != shape:
            raise TestingError(
                f"{name} is {arrays[name].shape} in the checkpoint, but {shape} in network {network.name} for "
                f"{class_count} classes"
            )
        found[name] = np.asarray(arrays[name])
    if statistics is not None:
        folded = reference.fold_statistics(found["bbox_pred/w"], found["bbox_pred/b"], *statistics)
        found |= zip(("bbox_pred/w", "bbox_pred/b"), folded, strict=True)
    return found


def check_ranks(network: Network, ranks: Mapping[str, int]) -> None:
    """Raises TestingError for a layer or a rank that `compressed` could not do."""
    shapes = network.shapes(1)
    own = [layer.name for layer in network.head if isinstance(layer, FC)]
    for name, rank in ranks.items():
        if name not in own:
            raise TestingError(f"{name} is no fully connected layer of {network.name}; those are {', '.join(own)}")
        if not 1 <= rank <= min(shapes[f"{name}/w"]):
            raise TestingError(f"{name} has {min(shapes[f'{name}/w'])} singular values; {rank} cannot be kept")


def compressed(
    network: Network,
    arrays: Mapping[str, np.ndarray],
    ranks: Mapping[str, int],
    truncated_svd: Callable[..., tuple[np.ndarray, np.ndarray, np.ndarray]] = reference.truncated_svd,
) -> tuple[Network, dict[str, np.ndarray]]:
    """The network with fully connected layers each replaced by two, by truncated SVD (section 3.1).

    ranks: name of an fc layer -> t, the singular values that are kept: {"fc6": 1024, "fc7": 256} in the paper.
    truncated_svd: the reference's or a backend's.

    Returns the network, whose layer fc6 is fc6_first and fc6_second now, and its parameters.
    Raises TestingError naming a layer or a rank that there is not.
    """
    check_ranks(network, ranks)
    head, arrays = [], dict(arrays)
    for layer in network.head:
        if not isinstance(layer, FC) or layer.name not in ranks:
            head.append(layer)
            continue
        weights, bias = arrays.pop(f"{layer.name}/w"), arrays.pop(f"{layer.name}/b")
        first, second, bias = truncated_svd(weights, ranks[layer.name], bias)
        names = f"{layer.name}_first", f"{layer.name}_second"
        head += [FC(names[0], len(first)), FC(names[1], len(second))]
        arrays |= {f"{names[0]}/w": first, f"{names[0]}/b": np.zeros(len(first), first.dtype)}
        arrays |= {f"{names[1]}/w": second, f"{names[1]}/b": bias}
    return dataclasses.replace(network, head=tuple(head)), arrays
