"""A reproduction, end to end: photographs and proposals, training and testing in each framework, and one report.

out/data, proposals.npz       the made-up images; the boxes that were made, where none were given
out/<backend>/train           checkpoints and metrics, as run_folder.py has them
out/<backend>/test            see test_folder.py
out/report.jsonl, .md, .html  see report.py
"""

import dataclasses
import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from frcnn.backends import UnavailableBackend, load
from frcnn.repro import made_up, report, training, voc
from frcnn.repro.model import read_model
from frcnn.repro.network import read_network
from frcnn.repro.proposals import of_split, read_mat, read_npz, write_npz
from frcnn.repro.recipe import Recipe, read_recipe
from frcnn.repro.results import differences, read_paper
from frcnn.repro.selective_search import selective_search
from frcnn.repro.test_folder import write_test
from frcnn.repro.testing import detect_split

TIERS = ("instant", "short", "full", "auto")
BACKENDS = tuple(training.TRAINERS)  # torch before tf: importing triton where tensorflow is loaded crashes
YEARS = {"made-up": made_up.YEAR, "voc07": "2007", "voc12": "2012"}
LAST = 100  # iterations whose mean loss is reported

# The lists as published; an incomplete set is another one.
PUBLISHED = {"2007": {"train": 2501, "val": 2510, "trainval": 5011, "test": 4952}}
PRE_TRAINED = "ImageNet, all layers but cls_score and bbox_pred"  # as paper.toml says it
# Fields of a recipe that are no part of how it trains and tests.
FREE = {"source", "seed", "checkpoint_every", "goal_map", "made_up_train", "made_up_val"}


class NoData(Exception):
    """There are no photographs to train on. Three lines: what is missing, how to get it, how to do without."""


class Interrupted(Exception):
    """Training was stopped by SIGINT; the sentence says how to go on."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be done. devices: backend -> "cpu" or "cuda", in the order of BACKENDS.

    conformance: dicts of backend, version, verdict and id. resume: go on with what out holds.
    """

    recipe: Recipe
    tier: str
    tier_because: str
    devices: dict[str, str]
    out: Path
    voc_root: Path | None = None
    weights: Path | None = None
    proposals: Path | None = None
    conformance: tuple[dict, ...] = ()
    resume: bool = False


def devices_of(backends):
    """The device that each backend runs on here: "cuda" where it can. Raises UnavailableBackend, UnknownBackend."""
    found = {}
    for name in (name for name in BACKENDS if name in backends):
        load(name)  # one that is not installed is not taken for one without a GPU
        try:
            load(name, "cuda")
            found[name] = "cuda"
        except UnavailableBackend:
            found[name] = "cpu"
    return found


def chosen_tier(tier, devices):
    """The tier that is run, and a sentence that says why."""
    if tier != "auto":
        return tier, "The tier was asked for."
    if "cuda" in devices.values():
        return "full", "Tier auto takes full, since there is a CUDA device."
    return "short", "Tier auto takes short, since no CUDA device was found for " + " or ".join(devices) + "."


def run(request, console=None):
    """Do it all. Returns the report's footer, whose `missed` names the backends that stayed below the recipe's goal.

    Raises NoData, Interrupted, and what reading, training and testing raise: ValueErrors that say what is wrong.
    """
    console = Console(quiet=True) if console is None else console
    recipe, clock, started = request.recipe, _Clock(), report.now()
    paper, out = read_paper(), request.out
    with clock("reading"):
        splits = _splits(request)
    out.mkdir(parents=True, exist_ok=True)
    with clock("proposals"):
        proposals, source = _proposals(request, splits, console)
    with clock("preparing"):
        train, test = splits
        prepared = training.prepare(recipe, train, proposals, request.weights)
        facts = _facts(request, splits, proposals, source, prepared, paper)
    for left_out, reason in prepared[0].data.left_out:
        console.print(f"left out of training: {left_out}: {reason}", highlight=False)
    lines = []
    for backend, device in request.devices.items():
        console.print(f"{backend}, on {device}: {recipe.iterations} iterations", highlight=False)
        line, table = _one(request, backend, device, prepared, test, proposals, facts["setting"], console)
        lines += [line, *report.results(backend, table, facts["not_comparable"])]
        mean, goal = line["mean"][recipe.average_precision], recipe.goal_map
        said = "no class has an object" if mean is None else f"mean AP {100 * mean:.1f}"
        console.print(f"{backend}: {said}" + (f", goal {100 * goal:.1f}" if goal else ""), highlight=False)
    head = report.header(**facts, started=started, seconds=clock.seconds)
    return report.write(out, [head, *lines])


def _splits(request):
    recipe = request.recipe
    root, classes = request.voc_root, voc.VOC_CLASSES
    if recipe.data == "made-up":
        root, classes = request.out / "data", made_up.CLASSES
        made_up.write_devkit(root, seed=recipe.seed, train=recipe.made_up_train, val=recipe.made_up_val)
    if root is None or not (root / f"VOC{YEARS[recipe.data]}").is_dir():
        folder = "no --voc-root was given" if root is None else f"{root} holds no VOC{YEARS[recipe.data]}"
        raise NoData(
            f"tier {request.tier} trains on photographs of {recipe.data}, but {folder}\n"
            f"With a network: frcnn data {recipe.data} --root DIR, then give --voc-root DIR/VOCdevkit\n"
            "Without data: frcnn repro voc07 --tier instant makes its own images"
        )
    names = recipe.train_set, recipe.test_set
    return [voc.read_split(root, YEARS[recipe.data], name, classes=classes) for name in names]


def _proposals(request, splits, console):
    """Boxes of both splits' photographs, and in words where they are from."""
    file, mode = request.proposals, request.recipe.proposals
    if file is None:
        made = {}
        for split in splits:
            made |= selective_search(split, mode, progress=console)
        write_npz(request.out / "proposals.npz", made)
        return made, f"OpenCV's selective search, {mode}"
    if file.suffix == ".mat":
        ids = [photograph.id for split in splits for photograph in split.photographs]
        found = read_mat(file, ids)
    else:
        found = read_npz(file)
    chosen = {}
    for split in splits:
        chosen |= of_split(split, found)
    return chosen, f"{file.name}, sha256 {report.file_digest(file)}"


def _facts(request, splits, proposals, source, prepared, paper):
    """Fields of the report's header; `setting` is as paper.toml has it."""
    recipe, network = request.recipe, read_network(request.recipe.network)
    train, test = splits
    of = {name: name.rpartition("/")[0] for name in network.shapes(1)}
    drawn = list(dict.fromkeys(of[name] for name in prepared[2]))
    given = [layer for layer in dict.fromkeys(of.values()) if layer not in drawn]
    weights = "none" if request.weights is None else f"{request.weights.name}; drawn: {', '.join(drawn)}"
    if request.weights is not None and drawn == ["cls_score", "bbox_pred"]:
        weights = PRE_TRAINED
    setting = {name: getattr(recipe, name) for name in paper["setting"] if hasattr(recipe, name)}
    parts = [part for split in splits if (part := _part(split))]
    data = f"{recipe.data}, {' and '.join(parts)}" if parts else recipe.data
    setting |= {"data": data, "test_year": test.year, "weights": weights, "svd": []}
    because = differences(setting, paper) + _departures(recipe, paper)
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
            "drawn": drawn,
        },
        "setting": setting,
        "paper": {name: paper[name] for name in ("source", "table", "mean")},
        "not_comparable": because,
        "conformance": list(request.conformance),
    }


def _part(split):
    """In words, that a list is not whole; nothing where it is, or where that is not known."""
    whole, here = PUBLISHED.get(split.year, {}).get(split.name), len(split.photographs)
    return "" if whole in (None, here) else f"{here} of the {whole} photographs of {split.name}"


def _departures(recipe, paper):
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


def _one(request, backend, device, prepared, test, proposals, setting, console):
    """Train and test in one framework: the report's line, and what results.json holds."""
    recipe, folder, clock = request.recipe, request.out / backend, _Clock()
    minibatches, arrays, _ = prepared
    ended = training.train(
        recipe,
        minibatches,
        arrays,
        folder / "train",
        backend=backend,
        device=device,
        resume=request.resume,
        console=console,
    )
    if ended.interrupted:
        raise Interrupted(f"{backend} was stopped after iteration {ended.iteration}; --resume --out {request.out}")
    with clock("testing"):
        model = read_model(ended.checkpoint)
        found = detect_split(
            model.network, model.arrays, test, proposals, recipe, backend, progress=console, device=device
        )
    with clock("evaluation and pictures"):
        table = write_test(folder / "test", test, found, setting)
    mean = {name: value for name, value in table["mean"].items() if name != "paper"}
    reached = mean[recipe.average_precision]
    line = {
        "kind": "run",
        "backend": backend,
        "version": load(backend, device).version,
        "device": device,
        "iterations": ended.iteration,
        "mean": mean,
        "goal_reached": None if recipe.goal_map is None else reached is not None and reached >= recipe.goal_map,
        "checkpoint": ended.checkpoint.relative_to(request.out).as_posix(),
        "sha256": report.file_digest(ended.checkpoint),
        "losses": _losses(folder / "train" / "metrics.jsonl"),
        "mistakes": table["mistakes"],
        "seconds": {
            "training": ended.seconds,
            "an iteration": ended.seconds / ended.iteration,
            "waiting for minibatches": ended.share_waited * ended.seconds,
            **clock.seconds,
            **{f"{part}, a photograph": seconds for part, seconds in found.seconds.items()},
        },
    }
    return line, table


def _losses(metrics):
    losses = [json.loads(line)["loss"] for line in metrics.read_text(encoding="ascii").splitlines()]
    last = losses[-LAST:]
    return {"first": losses[0], "mean_of_last": sum(last) / len(last), "last": len(last)}


class _Clock:
    """Seconds by part."""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def __call__(self, part):
        began = time.perf_counter()
        yield
        self.seconds[part] = round(time.perf_counter() - began, 3)
