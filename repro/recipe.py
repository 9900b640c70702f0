"""A recipe: everything that decides a run, in one TOML file, every field checked.

The recipes of this package are `instant` (made-up images, minutes), `short` (real images on a small machine) and
`full` (the paper's). A recipe of one's own is a path to such a file. No field but `goal_map` has a default, so that a
file says all that was done. Lengths are in pixels.
"""

import dataclasses
import math
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from frcnn.reference import learning_rate
from frcnn.reference.arguments import PROFILES
from frcnn.reference.evaluation import METHODS
from frcnn.repro.network import NAMES

DATA = ("made-up", "voc07", "voc12")
PROPOSALS = ("fast", "quality")
LARGEST = 2**31 - 1


class RecipeError(ValueError):
    """A recipe that cannot be followed; the sentence names the file, the field, its value and what would be right."""


class _Wrong(Exception):
    """What a field must be, said by the check that it failed."""


def _one_of(*choices: str) -> Any:
    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _Wrong(f"one of {', '.join(choices)}")
        return value

    return _field(check)


def _flag() -> Any:
    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise _Wrong("true or false")
        return value

    return _field(check)


def _whole(least: int, most: int = LARGEST) -> Any:
    return _field(lambda value: _as_whole(value, least, most))


def _number(
    least: float, most: float, *, without_least: bool = False, without_most: bool = False, **keywords: Any
) -> Any:
    """A finite number between the two, either of which may be shut out."""
    lower, upper = "above" if without_least else "at least", "below" if without_most else "at most"

    def check(value: Any) -> float:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        shut_out = (without_least and value == least) or (without_most and value == most)
        if not good or not least <= value <= most or shut_out:
            raise _Wrong(f"a number {lower} {least:g} and {upper} {most:g}")
        return float(value)

    return _field(check, **keywords)


def _sides() -> Any:
    def check(value: Any) -> tuple[int, ...]:
        right = f"a list of different whole numbers in 1..{LARGEST}, one at least"
        try:
            sides = tuple(_as_whole(side, 1, LARGEST) for side in _as_list(value))
        except _Wrong:
            raise _Wrong(right) from None
        if not sides or len(set(sides)) < len(sides):
            raise _Wrong(right)
        return sides

    return _field(check)


def _words() -> Any:
    def check(value: Any) -> tuple[str, ...]:
        words = _as_list(value)
        if not all(isinstance(word, str) and word for word in words) or len(set(words)) < len(words):
            raise _Wrong("a list of different words, or an empty one")
        return words

    return _field(check)


def _as_whole(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _Wrong(f"a whole number in {least}..{most}")
    return value


def _as_list(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _Wrong("a list")
    return tuple(value)


def _field(check: Callable[[Any], Any], **keywords: Any) -> Any:
    return dataclasses.field(metadata={"check": check}, **keywords)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One run's recipe. Make it by `read_recipe`; `changed` gives another one, checked again."""

    source: str  # the file, for messages

    # What is trained, on what
    network: str = _one_of(*NAMES)
    data: str = _one_of(*DATA)
    train_set: str = _one_of("train", "val", "trainval")
    test_set: str = _one_of("train", "val", "trainval", "test")
    made_up_train: int = _whole(0)  # images of the made-up set; 0 where data is not made up
    made_up_val: int = _whole(0)
    proposals: str = _one_of(*PROPOSALS)  # the mode of selective search, where no file of proposals is given
    difficult: bool = _flag()  # whether objects that are marked difficult are trained on
    flips: bool = _flag()  # whether the set is doubled by mirror images
    profile: str = _one_of(*PROFILES)

    # A minibatch
    images_per_batch: int = _whole(1)
    rois_per_image: int = _whole(1)
    fg_fraction: float = _number(0, 1)
    fg_threshold: float = _number(0, 1, without_least=True)
    bg_threshold_lo: float = _number(0, 1)
    bg_threshold_hi: float = _number(0, 1)
    short_sides: tuple[int, ...] = _sides()  # one is drawn for each image
    longest_side: int = _whole(1)

    # The network in training
    frozen: tuple[str, ...] = _words()  # layers that keep the weights they start from
    dropout: float = _number(0, 1, without_most=True)

    # Updates
    learning_rate: float = _number(0, 1, without_least=True)
    gamma: float = _number(0, 1, without_least=True)
    step: int = _whole(1)  # the rate is multiplied by gamma after every so many iterations
    warm_up: int = _whole(0)  # iterations over which the rate rises to its full height
    iterations: int = _whole(1)
    momentum: float = _number(0, 1, without_most=True)
    weight_decay: float = _number(0, 1)
    bias_lr_mult: float = _number(0, 100)
    bias_decay_mult: float = _number(0, 100)
    box_loss_weight: float = _number(0, 1000)
    seed: int = _whole(0)
    checkpoint_every: int = _whole(1)

    # Testing
    test_short_sides: tuple[int, ...] = _sides()
    test_longest_side: int = _whole(1)
    nms_threshold: float = _number(0, 1)
    per_image: int = _whole(1)
    per_class: int = _whole(1)
    average_precision: str = _one_of(*METHODS)
    goal_map: float | None = _number(0, 1, without_least=True, default=None)  # a run that stays below it has failed

    def __post_init__(self) -> None:
        for one in dataclasses.fields(self):
            value = getattr(self, one.name)
            if "check" in one.metadata and value is not one.default:
                try:
                    object.__setattr__(self, one.name, one.metadata["check"](value))
                except _Wrong as wrong:
                    self._refuse(one.name, str(wrong))
        self._check_together()

    def _check_together(self) -> None:
        """What one field asks of another."""
        if not self.bg_threshold_lo <= self.bg_threshold_hi:
            self._refuse("bg_threshold_lo", f"at most bg_threshold_hi, {self.bg_threshold_hi}")
        if not self.bg_threshold_hi <= self.fg_threshold:
            self._refuse("bg_threshold_hi", f"at most fg_threshold, {self.fg_threshold}")
        for longest, sides in (("longest_side", "short_sides"), ("test_longest_side", "test_short_sides")):
            if getattr(self, longest) < max(getattr(self, sides)):
                self._refuse(longest, f"at least the largest of {sides}, {max(getattr(self, sides))}")
        for count in ("made_up_train", "made_up_val"):
            if (self.data == "made-up") != (getattr(self, count) > 0):
                self._refuse(count, "at least 1" if self.data == "made-up" else f"0, since data is {self.data}")

    def _refuse(self, name: str, right: str) -> None:
        raise RecipeError(f"{self.source}: {name} is {getattr(self, name)!r}; it must be {right}")

    def changed(self, **changes: Any) -> "Recipe":
        """This recipe with other values in some fields. Raises RecipeError for a field that there is not."""
        _check_names(self.source, changes)
        return dataclasses.replace(self, **changes)

    def rate(self, iteration: int) -> float:
        """The learning rate of one iteration, counted from 0: the schedule's, less in the warm-up, which ends at it."""
        full = learning_rate(iteration, self.learning_rate, self.gamma, self.step)
        return full * min(1.0, (iteration + 1) / self.warm_up) if self.warm_up else full


def recipe_names() -> list[str]:
    """The recipes of this package."""
    folder = resources.files("frcnn.repro.recipes")
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_recipe(recipe: str | Path, **changes: Any) -> Recipe:
    """The recipe of a name (`instant`, `short`, `full`) or of a file (a path ending in .toml).

    changes: fields that shall have another value than the file's.

    Raises RecipeError, naming the file, the field, its value and what would be right.

    >>> read_recipe("full").iterations
    40000
    """
    source = str(recipe)
    if not source.endswith(".toml") and source not in recipe_names():
        raise RecipeError(
            f"{source!r} is no recipe; there are {', '.join(recipe_names())}, or give a path to a .toml file"
        )
    file = Path(source) if source.endswith(".toml") else resources.files("frcnn.repro.recipes") / f"{source}.toml"
    try:
        fields = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{source}: cannot be read: {error.strerror}; give a path to a recipe's .toml file") from None
    except ValueError as error:  # of TOML, or of UTF-8
        raise RecipeError(f"{source}: is no TOML file: {error}") from None
    source = source if source.endswith(".toml") else f"{source}.toml"
    _check_names(source, fields)
    _check_names(source, changes)
    fields |= changes
    missing = [one.name for one in _fields() if one.name not in fields and one.default is dataclasses.MISSING]
    if missing:
        raise RecipeError(f"{source}: lacks {', '.join(missing)}; a recipe says everything but goal_map")
    return Recipe(source=source, **fields)


def _fields() -> list[dataclasses.Field]:
    return [one for one in dataclasses.fields(Recipe) if one.name != "source"]


def _check_names(source: str, given: dict[str, Any]) -> None:
    names = [one.name for one in _fields()]
    for name, value in given.items():
        if name not in names:
            raise RecipeError(
                f"{source}: {name} is {value!r}; no field is called so, the fields are {', '.join(names)}"
            )
