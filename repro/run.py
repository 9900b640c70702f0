"""A reproduction, end to end: photographs and proposals, training and testing in each framework, and one report.

out/data, proposals.npz       the made-up images; the boxes, where they were made
out/<backend>/train           checkpoints and metrics, as run_folder.py has them
out/<backend>/test, svd       see test_folder.py; svd with layers cut, where asked for
out/losses.png                the loss of every iteration, all backends in one picture
out/report.jsonl, .md, .html  see report.py
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from frcnn.backends import UnavailableBackend, load
from frcnn.machine import processors
from frcnn.repro import made_up, report, training, voc
from frcnn.repro.boxes import boxes_for, made_here
from frcnn.repro.clock import Clock
from frcnn.repro.loss_curve import loss_curve
from frcnn.repro.minibatch import check_sizes
from frcnn.repro.model import check_ranks, compressed, read_model
from frcnn.repro.network import read_network
from frcnn.repro.proposals import write_npz
from frcnn.repro.recipe import Recipe
from frcnn.repro.run_facts import facts_of, not_comparable
from frcnn.repro.test_folder import cut, write_test
from frcnn.repro.testing import detect_split

TIERS = ("instant", "short", "full", "auto")
BACKENDS = tuple(training.TRAINERS)  # torch before tf: importing triton where tensorflow is loaded crashes
YEARS = {"made-up": made_up.YEAR, "voc07": "2007", "voc12": "2012"}
LAST = 100  # iterations whose mean loss is reported


class NoData(Exception):
    """There are no photographs to train on. Three lines: what is missing, how to get it, how to do without."""


class Interrupted(Exception):
    """Training was stopped by SIGINT or SIGTERM; the sentence says how to go on."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be done. devices: backend -> "cpu" or "cuda", in the order of BACKENDS.

    conformance: dicts of backend, version, verdict and id. resume: go on with what out holds.
    ranks: the network is tested again with these layers cut by SVD: layer -> singular values kept.
    precision: see training.train.
    """

    recipe: Recipe
    tier: str
    tier_because: str
    devices: dict[str, str]
    out: Path
    voc_root: Path | None = None
    weights: Path | None = None
    proposals: tuple[Path, ...] = ()
    conformance: tuple[dict, ...] = ()
    resume: bool = False
    ranks: Mapping[str, int] = field(default_factory=dict)
    precision: str = "float32"


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
    """The tier that is run, a sentence that says why, and the devices of the backends that run it.

    Tier full is taken because of a GPU, so that auto leaves out those that have none: on a CPU it takes days.
    """
    if tier != "auto":
        return tier, "The tier was asked for.", devices
    with_gpu = {backend: device for backend, device in devices.items() if device == "cuda"}
    if not with_gpu:
        because = "Tier auto takes short, since no CUDA device was found for " + " or ".join(devices) + "."
        return "short", because, devices
    because = "Tier auto takes full, since there is a CUDA device."
    if without := [backend for backend in devices if backend not in with_gpu]:
        because += f" Left out, since it would run on the CPU: {', '.join(without)}; --tier full takes it in."
    return "full", because, with_gpu


def check(request):
    """Raises a ValueError that says what of a request cannot be done, before anything of it is."""
    check_ranks(read_network(request.recipe.network), request.ranks)
    written = request.out / "report.jsonl"
    if written.exists():
        if not request.resume:
            raise ValueError(f"{request.out} holds a report already; go on with it (--resume), or give another --out")
        there = [line["backend"] for line in report.runs_of(report.read(written))]
        if dropped := [backend for backend in there if backend not in request.devices]:
            together = [backend for backend in BACKENDS if backend in {*there, *request.devices}]
            raise ValueError(
                f"{written} is of {' and '.join(dropped)} too, which the new one would no longer be; ask for "
                f"{' '.join(f'--backend {backend}' for backend in together)}, or give another --out"
            )
    for backend, device in request.devices.items():
        training.check(
            request.recipe,
            request.out / backend / "train",
            request.weights,
            backend=backend,
            resume=request.resume,
            device=device,
            precision=request.precision,
        )


def run(request, console=None):
    """Do it all. Returns the report's footer, whose `missed` names the backends that stayed below the recipe's goal.

    Raises NoData, Interrupted, and what reading, training and testing raise: ValueErrors that say what is wrong.
    """
    console = Console(quiet=True) if console is None else console
    recipe, clock, started = request.recipe, Clock(), report.now()
    out = request.out
    check(request)
    with clock("reading"):
        train, test = splits = _splits(request)
        check_sizes(test, read_network(recipe.network), recipe.test_short_sides, recipe.test_longest_side)
        first = training.first_parameters(recipe, len(train.classes), request.weights)
    out.mkdir(parents=True, exist_ok=True)
    with clock("proposals"):
        proposals, source = boxes_for(splits, recipe.proposals, request.proposals, console)
        if made_here(source):
            write_npz(out / "proposals.npz", proposals)
    with clock("preparing"):
        beginning = training.prepare(recipe, train, proposals, source, first)
        facts = facts_of(request, splits, proposals, source, first)
    for line in training.in_words(beginning):
        console.print(line, highlight=False)
    lines, losses = [], {}
    for backend, device in request.devices.items():
        console.print(f"{backend}, on {device}: {recipe.iterations} iterations", highlight=False)
        line, table = _one(request, backend, device, beginning, test, proposals, facts, console)
        losses[line["version"]] = own = _losses(out / backend / "train")
        lines += [
            line | {"losses": _in_short(own)},
            *report.results(backend, table, facts["not_comparable"]),
        ]
        mean, goal = line["mean"][recipe.average_precision], recipe.goal_map
        said = "no class has an object" if mean is None else f"mean AP {100 * mean:.1f}"
        console.print(f"{backend}: {said}" + (f", goal {100 * goal:.1f}" if goal else ""), highlight=False)
        title = f"network {recipe.network}, trained on VOC{train.year} {train.name} with seed {recipe.seed}"
        loss_curve(out / "losses.png", losses, title)
        head = report.header(**facts, started=started, seconds=clock.seconds)
        footer = report.write(out, [head, *lines])  # what there is, should the next backend not come to its end
    return footer


def _splits(request):
    recipe = request.recipe
    root = request.voc_root
    classes: tuple[str, ...] = voc.VOC_CLASSES
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


def _one(request, backend, device, beginning, test, proposals, facts, console):
    """Train and test in one framework: the report's line, and what results.json holds."""
    recipe, folder, clock = request.recipe, request.out / backend, Clock()
    ended = training.train(
        recipe,
        beginning,
        folder / "train",
        backend=backend,
        device=device,
        precision=request.precision,
        resume=request.resume,
        threads=max(processors() - 1, 1) if device == "cuda" else 1,  # a GPU waits for one alone
        console=console,
    )
    if ended.interrupted:
        raise Interrupted(f"{backend} was stopped after iteration {ended.iteration}; --resume --out {request.out}")
    model = read_model(ended.checkpoint)

    def tested(network, arrays, name, own, whole=None):
        with clock(f"testing, {name}"):
            found = detect_split(network, arrays, test, proposals, recipe, backend, progress=console, device=device)
        with clock(f"evaluation and pictures, {name}"):
            setting = facts["setting"] | own
            reasons = not_comparable(setting, recipe, recipe, [facts["proposals"]["source"]])
            return write_test(folder / name, model, test, found, setting, reasons, whole)

    table, svd = tested(model.network, model.arrays, "test", {}), None
    if request.ranks:
        with clock("SVD"):
            operators: Any = load(backend)
            smaller = compressed(model.network, model.arrays, request.ranks, operators.truncated_svd)
        svd = tested(*smaller, "svd", {"svd": cut(request.ranks)}, table)
    mean = _means(table)
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
        "mistakes": table["mistakes"],
        "svd": svd and {"ranks": dict(request.ranks), "mean": _means(svd)},
        "seconds": {
            "training": ended.seconds,
            "an iteration": ended.seconds / ended.iteration,
            "waiting for minibatches": ended.waited,
            **clock.seconds,
            **{f"{part}, a photograph": seconds for part, seconds in table["seconds_an_image"].items()},
            **({"by SVD, a photograph": sum(svd["seconds_an_image"].values())} if svd else {}),
        },
    }
    return line, table


def _means(table):
    return {name: value for name, value in table["mean"].items() if name != "paper"}


def _losses(folder):
    text = (folder / "metrics.jsonl").read_text(encoding="ascii")
    return [json.loads(line)["loss"] for line in text.splitlines()]


def _in_short(losses):
    last = losses[-LAST:]
    return {"first": losses[0], "mean_of_last": sum(last) / len(last), "last": len(last)}
