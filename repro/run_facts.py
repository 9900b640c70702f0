"""What a reproduction's figures depend on, and why they are not comparable with the paper's where they are not."""

import dataclasses

from frcnn.repro import report
from frcnn.repro.boxes import by_the_authors
from frcnn.repro.network import read_network
from frcnn.repro.recipe import read_recipe
from frcnn.repro.results import differences, quoted, read_paper

# The lists as published; an incomplete set is another one.
PUBLISHED = {"2007": {"train": 2501, "val": 2510, "trainval": 5011, "test": 4952}}
# Fields of a recipe that are no part of how it trains and tests.
FREE = {"source", "seed", "checkpoint_every", "goal_map", "made_up_train", "made_up_val"}
TESTED = ("nms_threshold", "per_image", "per_class")  # fields that testing alone follows; both follow the profile
ORIGINAL_PROFILE = "caffe-2015"  # the paper's figures are those of the original code


def facts_of(request, splits, proposals, source, first):
    """Fields of the report's header; `setting` is as paper.toml has it.

    request: a run.Request. splits: of training and of testing. source: in words, where the proposals are from.
    first: the training's FirstParameters.
    """
    recipe, network, paper = request.recipe, read_network(request.recipe.network), read_paper()
    train, test = splits
    layers = dict.fromkeys(name.rpartition("/")[0] for name in network.shapes(1))
    given = [layer for layer in layers if layer not in first.drawn]
    data = {"train": _said(train), "test": _said(test)}
    setting = {name: getattr(recipe, name) for name in paper["setting"] if hasattr(recipe, name)}
    setting |= {"data": data_in_words(recipe.data, *data.values()), "train_year": train.year, "test_year": test.year}
    setting |= {"weights": first.weights, "svd": [], "precision": request.precision}
    return {
        "tier": request.tier,
        "tier_because": request.tier_because,
        "backends": list(request.devices),
        "source": recipe.source,
        "recipe": {field.name: getattr(recipe, field.name) for field in dataclasses.fields(recipe)},
        "method": recipe.average_precision,
        "data": {"name": recipe.data, **data},
        "proposals": {
            "source": source,
            "boxes": sum(map(len, proposals.values())),
            "sha256": report.boxes_digest(proposals),
        },
        "weights": {
            "file": request.weights and request.weights.name,
            "sha256": first.sha256,
            "given": given,
            "drawn": first.drawn,
        },
        "setting": setting,
        "paper": quoted(paper),
        "not_comparable": not_comparable(setting, recipe, recipe, [source]),
        "conformance": list(request.conformance),
    }


def not_comparable(setting, trained, tested, sources):
    """Why figures are not comparable with the paper's: everything in which they were come by in another way.

    setting: as paper.toml has it. trained, tested: the recipes that were followed. sources: in words, where the
    proposals are from, of training and of testing.
    """
    paper = read_paper()
    found = differences(setting, paper) + departures(trained, tested, paper)
    for source in dict.fromkeys(sources):
        if not by_the_authors(source):
            found.append(f"proposals: {source}, the paper's: the authors' .mat files")
    seen = _lists(setting["train_year"], setting["train_set"]) & _lists(setting["test_year"], setting["test_set"])
    if seen:
        found.append(f"tested on photographs that it was trained on: those of {' and '.join(sorted(seen))}")
    return found


def data_in_words(name, *splits):
    """A recipe's data, and which of the lists taken from them are not whole; splits: as reports have them."""
    parts = [part for split in splits if (part := incomplete(split))]
    return f"{name}, {' and '.join(parts)}" if parts else name


def incomplete(split):
    """In words, that a list is not whole; nothing where it is, or where that is not known."""
    whole, here = PUBLISHED.get(split["year"], {}).get(split["set"]), split["photographs"]
    return "" if whole in (None, here) else f"{here} of the {whole} photographs of {split['set']}"


def departures(trained, tested, paper):
    """Where the recipes that were followed are not the paper's, in what paper.toml does not list."""
    full = read_recipe("full").changed(profile=ORIGINAL_PROFILE)
    names = [field.name for field in dataclasses.fields(trained)]
    followed = [(name, trained) for name in names if name not in FREE.union(TESTED, paper["setting"])]
    followed += [(name, tested) for name in ("profile", *TESTED)]
    found = [
        f"{name.replace('_', ' ')}: {_plain(getattr(recipe, name))}, the paper's {_plain(getattr(full, name))}"
        for name, recipe in followed
        if getattr(recipe, name) != getattr(full, name)
    ]
    return list(dict.fromkeys(found))  # both may have departed in the profile


def _lists(year, name):
    """The lists that a list is made of."""
    return {f"{year} {part}" for part in ({"train", "val"} if name == "trainval" else {name})}


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
