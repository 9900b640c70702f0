"""What a reproduction's figures depend on, and why they are not comparable with the paper's where they are not."""

import dataclasses

from frcnn.repro import report
from frcnn.repro.network import read_network
from frcnn.repro.recipe import read_recipe
from frcnn.repro.results import differences, quoted, read_paper

# The lists as published; an incomplete set is another one.
PUBLISHED = {"2007": {"train": 2501, "val": 2510, "trainval": 5011, "test": 4952}}
# Fields of a recipe that are no part of how it trains and tests.
FREE = {"source", "seed", "checkpoint_every", "goal_map", "made_up_train", "made_up_val"}


def facts_of(request, splits, proposals, source, beginning):
    """Fields of the report's header; `setting` is as paper.toml has it.

    request: a run.Request. splits: of training and of testing. source: in words, where the proposals are from.
    beginning: a training.Beginning.
    """
    recipe, network, paper = request.recipe, read_network(request.recipe.network), read_paper()
    train, test = splits
    layers = dict.fromkeys(name.rpartition("/")[0] for name in network.shapes(1))
    given = [layer for layer in layers if layer not in beginning.drawn]
    setting = {name: getattr(recipe, name) for name in paper["setting"] if hasattr(recipe, name)}
    parts = [part for split in splits if (part := incomplete(split))]
    data = f"{recipe.data}, {' and '.join(parts)}" if parts else recipe.data
    setting |= {"data": data, "test_year": test.year, "weights": beginning.weights, "svd": []}
    setting["precision"] = request.precision
    because = differences(setting, paper) + departures(recipe, paper)
    if request.proposals is None or request.proposals.suffix != ".mat":
        because.append(f"proposals: {source}, the paper's: the authors' .mat files")
    return {
        "tier": request.tier,
        "tier_because": request.tier_because,
        "source": recipe.source,
        "recipe": {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)},
        "method": recipe.average_precision,
        "data": {"name": recipe.data, "train": _said(train), "test": _said(test)},
        "proposals": {
            "source": source,
            "boxes": sum(map(len, proposals.values())),
            "sha256": report.boxes_digest(proposals),
        },
        "weights": {
            "file": request.weights and request.weights.name,
            "sha256": request.weights and report.file_digest(request.weights),
            "given": given,
            "drawn": beginning.drawn,
        },
        "setting": setting,
        "paper": quoted(paper),
        "not_comparable": because,
        "conformance": list(request.conformance),
    }


def incomplete(split):
    """In words, that a list is not whole; nothing where it is, or where that is not known."""
    whole, here = PUBLISHED.get(split.year, {}).get(split.name), len(split.photographs)
    return "" if whole in (None, here) else f"{here} of the {whole} photographs of {split.name}"


def departures(recipe, paper):
    """Where a recipe is not the paper's, in what paper.toml does not list."""
    full, names = read_recipe("full"), [field.name for field in dataclasses.fields(recipe)]
    other = [name for name in names if name not in FREE | set(paper["setting"])]
    return [
        f"{name.replace('_', ' ')}: {_plain(getattr(recipe, name))}, the paper's {_plain(getattr(full, name))}"
        for name in other
        if getattr(recipe, name) != getattr(full, name)
    ]


def _plain(value):
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else value


def _said(split):
    return {
        "year": split.year,
        "set": split.name,
        "photographs": len(split.photographs),
        "objects": sum(split.counts().values()),
        "skipped": [list(one) for one in split.skipped],
        "digest": split.digest(),
    }
