"""The one loop of training, whichever framework computes: schedule, metrics, checkpoints, going on, stopping.

A run is a pure function of recipe, data, first parameters and framework: minibatch i and its dropout masks depend on
seed and i alone, so that a checkpoint needs no random state, and a resumed run ends with the same bytes as one left
alone, on a CPU with the same versions and number of threads.
"""

import hashlib
import importlib
import json
import math
import signal
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from frcnn.repro.importers import IMAGENET, read_weights, reader_of
from frcnn.repro.loader import Loader
from frcnn.repro.minibatch import Minibatches, training_set
from frcnn.repro.network import SIBLINGS, new_parameters, read_network
from frcnn.repro.report import file_digest
from frcnn.repro.run_folder import RunError, RunFolder
from frcnn.repro.updates import learning

TRAINERS = {"torch": "frcnn.repro.torch_trainer", "tf": "frcnn.repro.tf_trainer"}
WEIGHTS = 5  # what a generator is for, beside those of minibatch.py
ESTIMATE_AFTER = 20  # iterations
PRE_TRAINED = "ImageNet, all layers but cls_score and bbox_pred"  # as paper.toml says it

# A run has diverged when the mean of so many losses is above so many times ln(K + 1), the loss of a network that gives
# every class the same. One minibatch alone may be that hard, and freshly drawn layers begin with a few times ln(K + 1).
WINDOW, DIVERGED = 20, 10

# Fields of a recipe that a resumed run may have otherwise: none of them changes an update.
FREE = frozenset(("iterations", "checkpoint_every", "test_set", "made_up_val", "goal_map", "average_precision"))
FREE |= {"test_short_sides", "test_longest_side", "nms_threshold", "per_image", "per_class"}

THEN = ", then "  # between what made one part of a run and what made the next


class Diverged(RunError):
    """The loss is no number, or grows; the minibatch is saved, and its file named."""


@dataclass(frozen=True)
class Ended:
    """How a run ended. checkpoint: the newest. interrupted: whether by SIGINT or SIGTERM.

    seconds: of all its parts, before and after it was resumed. waited: those of them spent waiting for minibatches.
    """

    checkpoint: Path
    iteration: int
    interrupted: bool
    seconds: float
    waited: float


@dataclass(frozen=True, eq=False)
class FirstParameters:
    """A network's parameters before the first update, by name, and the layers of those that no file gave.

    mean: blue, green and red, that goes with them. weights: where they are from, in the words of paper.toml.
    sha256: of the file; None where there was none.
    """

    arrays: dict
    drawn: list
    mean: tuple
    weights: str
    sha256: str | None


@dataclass(frozen=True, eq=False)
class Beginning:
    """What a run begins with. trained_on: what its checkpoints say of the photographs and proposals."""

    minibatches: Minibatches
    first: FirstParameters
    trained_on: dict


def first_parameters(recipe, class_count, weights=None):
    """The FirstParameters of a run.

    class_count: K, without the background. weights: the path of a file that read_weights reads, or None.

    Raises what read_weights does, and RunError where the file gives nothing, or not the weights of a frozen layer.
    """
    network = read_network(recipe.network)
    given, mean = read_weights(weights) if weights is not None else ({}, network.mean)
    if weights is not None and given.keys().isdisjoint(network.shapes(class_count)):
        raise RunError(f"{weights} holds no weights of network {network.name}: none is named as its layers are")
    stuck = [layer for layer in recipe.frozen if not given.keys() >= set(network.parameters_of([layer]))]
    if stuck:
        raise RunError(
            f"{recipe.source} freezes layers that no file gives weights, which would stay as they are drawn: "
            f"{', '.join(stuck)}; give pre-trained weights (--weights), or take them out of frozen"
        )
    generator = np.random.default_rng([recipe.seed, WEIGHTS, 0, 0])
    arrays, drawn = new_parameters(network, class_count, generator, given)
    layers = list(dict.fromkeys(name.rpartition("/")[0] for name in drawn))
    sha256 = None if weights is None else file_digest(weights)
    return FirstParameters(arrays, layers, mean, _weights_in_words(weights, sha256, layers), sha256)


def prepare(recipe, split, proposals, source, first):
    """The Beginning of a run.

    split: a Split. proposals: by photograph. source: in words, where those are from. first: FirstParameters.
    """
    minibatches = Minibatches(training_set(split, proposals, recipe), recipe, np.asarray(first.mean))
    count = len(split.photographs)
    trained_on = {"year": split.year, "set": split.name, "photographs": count, "proposals": source}
    return Beginning(minibatches, first, trained_on)


def in_words(beginning):
    """What a run begins with, to be printed line by line."""
    data, drawn = beginning.minibatches.data, beginning.first.drawn
    return [
        f"{len(data.examples)} photographs, {data.entries} with mirror images",
        *(f"left out of training: {photograph}: {reason}" for photograph, reason in data.left_out),
        f"drawn, not pre-trained: {', '.join(drawn) or 'nothing'}",
    ]


def _weights_in_words(file, sha256, drawn):
    if file is None:
        return "none"
    if sha256 in IMAGENET and drawn == list(SIBLINGS):
        return PRE_TRAINED
    return f"{Path(file).name}; drawn: {', '.join(drawn) or 'nothing'}"


def train(
    recipe,
    beginning,
    out,
    *,
    backend="torch",
    resume=False,
    device="cpu",
    precision="float32",
    threads=1,
    tensorboard=False,
    console=None,
):
    """Train to the recipe's last iteration.

    beginning: of `prepare`. out: the run's folder.
    backend: "torch" or "tf". device: "cpu" or "cuda". precision: one of the trainer's PRECISIONS.
    resume: go on from the newest whole checkpoint, or, with a remark, from the start where there is none yet.
    threads: how many make minibatches. tensorboard: whether events are written to out/tensorboard.
    console: a rich Console for progress and remarks, or None.

    Returns an Ended. Raises RunError naming what keeps the run from beginning or going on, Diverged where the loss is
    no number or grows; what the loader raises comes through.
    """
    module = check(recipe, out, backend=backend, resume=resume, device=device, precision=precision)
    console = Console(quiet=True) if console is None else console
    folder = RunFolder(out)
    facts, arrays = _facts(recipe, beginning), beginning.first.arrays
    start, lines = 0, []
    try:
        if resume:
            kept, state, lines = folder.resume(console.print)
            if state is None:
                console.print(f"{folder.path} has no whole checkpoint to resume: training begins from the start")
            else:
                _check_whole(folder.path, recipe, beginning, kept, state, facts)
                _check_same(folder.path, state, facts)
                arrays, start = kept, state["iteration"]
        if start > recipe.iterations:
            raise RunError(
                f"{folder.path} has {start} iterations behind it, more than the {recipe.iterations} asked for"
            )
        trainer = module.Trainer(read_network(recipe.network), recipe, arrays, device=device, precision=precision)
        facts["made_by"] = trainer.made_by()
        if start:
            _check_maker(folder.path, state["made_by"], facts["made_by"])
            _remark(console, state, facts, start)
            facts["made_by"] = _one_after_another(state["made_by"], facts["made_by"])
        if start == recipe.iterations:  # what trained it is written in it, and is not this
            console.print(f"{folder.path} has all of its {start} iterations behind it: nothing is left to train")
            return Ended(folder.checkpoints()[0][1], start, False, lines[-1]["seconds"], lines[-1]["waited"])
        write, close = _tensorboard(module, folder, start, tensorboard)
        try:
            if not resume:
                folder.begin()
            return _Loop(recipe, trainer, folder, facts, lines, write, console).run(
                beginning.minibatches, start, threads
            )
        finally:
            close()
    finally:
        folder.close()


class _Loop:
    def __init__(self, recipe, trainer, folder, facts, lines, write, console):
        self.recipe, self.trainer, self.folder, self.facts = recipe, trainer, folder, facts
        self.write, self.console = write, console
        self.before = lines[-1] if lines else {"seconds": 0.0, "waited": 0.0}
        self.losses = deque((line["loss"] for line in lines[-WINDOW:]), WINDOW)
        self.most = DIVERGED * math.log(len(facts["classes"]) + 1)

    def run(self, minibatches, start, threads):
        last, iteration, path = self.recipe.iterations, start, None
        loader = Loader(minibatches.batch, start, last, threads=threads)
        with loader, _interrupted() as stop, self._progress() as bar:
            task = bar.add_task("", total=last, completed=start, rate=0.0, loss=math.nan, waited=0.0)
            self.began = time.perf_counter()
            while iteration < last and not stop.is_set():
                batch = next(loader)
                rate = self.recipe.rate(iteration)
                losses = self.trainer.step(batch, rate)
                iteration += 1
                self._check(losses["loss"], batch)
                self.folder.log({"iteration": iteration, **losses, "rate": rate, **self._times(loader)})
                passed = time.perf_counter() - self.began
                speed, share = (iteration - start) / passed, loader.waited / passed
                self.write(iteration, losses | {"rate": rate, "share_waited": share})
                bar.update(task, completed=iteration, rate=speed, loss=losses["loss"], waited=share)
                if iteration - start == ESTIMATE_AFTER:
                    self._estimate(speed, last - iteration)
                path = None
                if iteration % self.recipe.checkpoint_every == 0:
                    path = self._save(iteration)
        path = path or self._save(iteration)
        return Ended(path, iteration, stop.is_set(), **self._times(loader))

    def _save(self, iteration):
        return self.folder.save(self.trainer.arrays(), self.facts | {"iteration": iteration})

    def _times(self, loader):
        """Seconds of this run and of those that it goes on from, and how many of them it waited."""
        own = {"seconds": time.perf_counter() - self.began, "waited": loader.waited}
        return {name: round(self.before[name] + value, 3) for name, value in own.items()}

    def _check(self, loss, batch):
        self.losses.append(loss)
        mean = sum(self.losses) / len(self.losses)
        if not math.isfinite(loss):
            what = f"the loss of iteration {batch.number + 1} is {loss}"
        elif len(self.losses) == WINDOW and mean > self.most:
            what = f"the mean loss of the last {WINDOW} iterations is {mean:.3g}, above {self.most:.3g}, at iteration "
            what += str(batch.number + 1)
        else:
            return
        raise Diverged(
            f"{what}; its minibatch is in {self.folder.save_batch(batch)}. "
            "A lower learning_rate or a longer warm_up may help"
        )

    def _estimate(self, speed, left):
        self.console.print(
            f"{speed:.2f} iterations a second: about {left / speed / 60:.1f} minutes for the {left} left"
        )

    def _progress(self):
        return Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.2f}/s, loss {task.fields[loss]:.3f}, waited {task.fields[waited]:.0%}"),
            TimeRemainingColumn(),
            console=self.console,
        )


def lockstep(trainers, batches, rate):
    """The losses of several trainers on the same minibatches.

    rate: of an iteration, counted from 0. Returns float64 (iterations, trainers, 3): loss, of classes, of boxes.
    """
    return np.array(
        [
            [list(trainer.step(batch, rate(iteration)).values()) for trainer in trainers]
            for iteration, batch in enumerate(batches)
        ]
    )


@contextmanager
def _interrupted():
    """An event that SIGINT and SIGTERM set, so that an iteration is finished and kept; a second one ends at once.

    Python hands signals to its main thread alone: elsewhere the event is never set.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def put_back():
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number, frame):
        stop.set()
        put_back()

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        put_back()


def trainer_module(backend, precision="float32", device="cpu"):
    """A backend's module of training. Raises RunError where there is none, or not with this precision or device."""
    if backend not in TRAINERS:
        raise RunError(f"backend must be one of {', '.join(TRAINERS)}, got {backend!r}")
    try:
        module = importlib.import_module(TRAINERS[backend])
    except ModuleNotFoundError as error:
        raise RunError(f"backend {backend} needs {error.name}: pip install 'frcnn[{backend}]'") from error
    try:
        module.check(device, precision)
    except ValueError as error:
        raise RunError(str(error)) from error
    return module


def check(recipe, out, weights=None, *, backend="torch", resume=False, device="cpu", precision="float32"):
    """What of a run is wrong, said before data are read or made. Returns the backend's module of training.

    weights: as in `first_parameters`; the others as in `train`. Raises RunError or ValueError naming what is wrong.
    """
    module = trainer_module(backend, precision, device)
    network = read_network(recipe.network)
    if not learning(network, recipe, network.shapes(1)):
        raise RunError(f"{recipe.source}: frozen names every layer of {network.name}, so that nothing is learned")
    if weights is not None:
        reader_of(Path(weights))
    if not resume:
        RunFolder(out).check_free()
    return module


def _tensorboard(module, folder, start, wanted):
    if not wanted:
        return lambda step, values: None, lambda: None
    try:
        return module.scalar_writer(folder.path / "tensorboard", start + 1)
    except ModuleNotFoundError as error:
        raise RunError(f"TensorBoard's events need {error.name}: pip install tensorboard") from error


def _facts(recipe, beginning):
    """What a checkpoint says of its run, as JSON has it."""
    minibatches = beginning.minibatches
    data = minibatches.data
    digest = hashlib.sha256()
    for example in data.examples:
        digest.update(example.photograph.id.encode())
        for array in (example.ground_truth, example.proposals, example.overlaps, example.classes):
            digest.update(np.ascontiguousarray(array).tobytes())
    facts = {
        "recipe": {one.name: getattr(recipe, one.name) for one in fields(recipe)},
        "data": digest.hexdigest(),  # photographs by name, their objects and proposals; not their pixels
        "classes": data.classes,
        "mean": minibatches.mean.tolist(),
        "target_means": data.means.tolist(),
        "target_stds": data.stds.tolist(),
        "weights": beginning.first.weights,
        "weights_sha256": beginning.first.sha256,
        "trained_on": beginning.trained_on,
    }
    return json.loads(json.dumps(facts))


def _check_whole(path, recipe, beginning, kept, state, facts):
    first = beginning.first.arrays
    arrays = {*first, *(f"velocity/{name}" for name in learning(read_network(recipe.network), recipe, first))}
    said = {*facts, "made_by"} - {"weights", "weights_sha256"}  # of which _check_same has more to say
    if lacking := sorted(arrays - kept.keys()) + sorted(said - state.keys()):
        raise RunError(f"{path} cannot be gone on with: its checkpoint lacks {', '.join(lacking)}")


def _check_same(path, state, facts):
    for name, value in facts["recipe"].items():
        was = state["recipe"].get(name)
        if name not in FREE | {"source"} and was != value:
            raise RunError(f"{path} was begun with {name} {was!r}, not {value!r}; give another folder to a new run")
    if state.get("weights_sha256", "unknown") != facts["weights_sha256"]:  # before the mean, which comes with them
        was, now = (
            f"{one.get('weights', 'unknown')} (sha256 {one.get('weights_sha256', 'unknown')})" for one in (state, facts)
        )
        raise RunError(f"{path} was begun with other weights, {was}, not {now}; give another folder to a new run")
    for name in ("classes", "data", "mean"):
        if state[name] != facts[name]:
            raise RunError(f"{path} was begun on other data ({name} differ); give another folder to a new run")


def _check_maker(path, was, now):
    for name in ("framework", "precision"):
        one, other = (made[name].partition(" ")[0] for made in (was, now))  # any version of the framework
        if one != other:
            raise RunError(f"{path} was begun with {name} {one}, not {other}; give another folder to a new run")


def _one_after_another(was, now):
    """What made a run's parts: what is the same in all of them, and what is not in the order in which it was."""
    return {
        name: was[name] if str(was[name]).rpartition(THEN)[2] == str(own) else f"{was[name]}{THEN}{own}"
        for name, own in now.items()
    }


def _remark(console, state, facts, start):
    console.print(f"resumed after iteration {start}")
    if state["made_by"] != facts["made_by"]:
        was, now = (", ".join(map(str, made["made_by"].values())) for made in (state, facts))
        console.print(f"begun by {was}, resumed by {now}: the result is not that of a run left alone, bit for bit")
