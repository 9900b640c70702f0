"""The folder of a test: what was found, and what it comes to.

detections/             the devkit's files, one a class
results.json, .md       the table beside the paper's, seconds an image, mistakes by kind
curves.png              precision over recall, class by class
detections.png          photographs with what was found in them
mistakes.png            the worst mistakes of each kind
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frcnn.repro import pictures
from frcnn.repro.mistakes import KINDS, counts, mistakes
from frcnn.repro.model import Model
from frcnn.repro.recipe import Recipe
from frcnn.repro.results import as_json, as_markdown, evaluate, read_paper, write_results
from frcnn.repro.run_facts import data_in_words, not_comparable
from frcnn.repro.testing import PARTS, Detections
from frcnn.repro.voc import Split

UNKNOWN = dict.fromkeys(("year", "set", "photographs", "proposals"), "unknown")  # of a checkpoint that does not say


def setting_of(model: Model, recipe: Recipe, split: Split, ranks: Mapping[str, int]) -> dict[str, Any]:
    """What a test's figures depend on, by the names of paper.toml. ranks: of SVD, by layer.

    What a checkpoint does not say is "unknown", which is comparable with nothing.
    """
    trained_on = model.state.get("trained_on", UNKNOWN)
    tested_on = {"year": split.year, "set": split.name, "photographs": len(split.photographs)}
    return {
        "network": model.network.name,
        "data": data_in_words(model.recipe.data, trained_on, tested_on),
        "train_year": trained_on["year"],
        "train_set": trained_on["set"],
        "test_year": split.year,
        "test_set": split.name,
        "weights": model.state.get("weights", "unknown"),
        "iterations": model.state.get("iteration", "unknown"),
        "precision": model.state.get("made_by", {}).get("precision", "unknown"),
        "test_short_sides": list(recipe.test_short_sides),
        "test_longest_side": recipe.test_longest_side,
        "svd": cut(ranks),
        "average_precision": recipe.average_precision,
    }


def reasons_of(model: Model, recipe: Recipe, setting: Mapping[str, Any], source: str) -> list[str]:
    """Why a test's figures are not comparable with the paper's. source: in words, where its proposals are from."""
    sources = [model.state.get("trained_on", UNKNOWN)["proposals"], source]
    return not_comparable(setting, model.recipe, recipe, sources)


def cut(ranks: Mapping[str, int]) -> list[str]:
    """Ranks of SVD, as a setting has them."""
    return [f"{layer}={rank}" for layer, rank in ranks.items()]


def write_test(
    folder: Path,
    model: Model,
    split: Split,
    found: Detections,
    setting: Mapping[str, Any],
    reasons: Sequence[str],
    whole: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Evaluate what was found, and write the folder.

    model: as it was before layers were cut. setting, reasons: as setting_of and reasons_of give them. whole: where
    layers were cut by SVD, what this function returned of the network as it was.

    Returns what results.json holds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_results(folder / "detections", split, found.by_class)
    results = evaluate(split, found.by_class)
    wrong = mistakes(split, found.by_class, results)
    method, title = setting["average_precision"], f"{model.title}, tested on VOC{split.year} {split.name}"
    if setting["svd"]:
        title += f" with {' and '.join(setting['svd'])} by SVD"
    table = as_json(results, setting, reasons, read_paper())
    table |= {"photographs": len(split.photographs), "left_out": [list(one) for one in split.skipped]}
    table |= {"seconds_an_image": dict(found.seconds), "mistakes": counts(wrong)}
    if whole is not None:
        table["svd"] = _drop(table, whole, method)
    (folder / "results.json").write_text(json.dumps(table, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    text = f"# {title}\n\n{as_markdown(table)}\n{_notes(table)}"
    (folder / "results.md").write_text(text, encoding="utf-8")
    pictures.curves_sheet(folder / "curves.png", results, method, title)
    pictures.detections_sheet(folder / "detections.png", split, found.by_class, title)
    pictures.mistakes_sheet(folder / "mistakes.png", split, wrong, title)
    return table


def _drop(table: Mapping[str, Any], whole: Mapping[str, Any], method: str) -> dict[str, Any]:
    """What SVD costs in mean AP and gains in seconds; no drop where there is no mean."""
    before, after = whole["mean"][method], table["mean"][method]
    return {
        "mean_before": before,
        "drop": None if before is None or after is None else before - after,
        "seconds_before": sum(whole["seconds_an_image"].values()),
        "seconds": sum(table["seconds_an_image"].values()),
    }


def _notes(table: Mapping[str, Any]) -> str:
    seconds, wrong = table["seconds_an_image"], table["mistakes"]
    parts = ", ".join(f"{part} {seconds[part]:.3f}" for part in PARTS)
    lines = [
        f"{table['photographs']} photographs, {len(table['left_out'])} left out.",
        f"Seconds an image: {sum(seconds.values()):.3f} ({parts}).",
        "Mistakes: " + ", ".join(f"{kind} {wrong[kind]}" for kind in KINDS) + ".",
    ]
    if "svd" in table:
        svd = table["svd"]
        lines.append(
            f"By SVD ({', '.join(table['setting']['svd'])}) {_change(svd['drop'])}, and an image takes "
            f"{svd['seconds']:.3f} s, not {svd['seconds_before']:.3f} s."
        )
    return "\n".join(f"- {line}" for line in lines) + "\n"


def _change(drop: float | None) -> str:
    if drop is None:
        return "no mean to compare"
    return f"mean AP {'rises' if drop < 0 else 'falls'} by {100 * abs(drop):.2f} points"
