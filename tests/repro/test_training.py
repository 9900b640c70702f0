"""The loop of training, in torch: what it learns, what it leaves alone, when it stops, and that it goes on."""

import dataclasses
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import training_cases
from training_cases import prepared, run, small_recipe

from frcnn import reference
from frcnn.repro import checkpoint, training
from frcnn.repro.network import read_network
from frcnn.repro.run_folder import RunError, RunFolder
from frcnn.repro.torch_trainer import Trainer

NETWORK = read_network("I")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("devkit")


@pytest.fixture(scope="module")
def alone(root, tmp_path_factory):
    """A run of 60 iterations that nothing stopped."""
    out = tmp_path_factory.mktemp("runs") / "alone"
    return out, run("torch", root, out, 60)


def lines_of(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_the_loss_falls_and_every_iteration_has_its_line(alone):
    out, ended = alone
    lines = lines_of(out)
    losses = [line["loss"] for line in lines]
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:10])
    assert [line["iteration"] for line in lines] == list(range(1, 61))
    recipe = small_recipe(60)
    assert [line["rate"] for line in lines] == [recipe.rate(iteration) for iteration in range(60)]
    for line in lines:
        whole = line["cls_loss"] + recipe.box_loss_weight * line["box_loss"]
        assert line["loss"] == pytest.approx(whole, rel=2**-22)  # a product and a sum in float32
        assert 0 <= line["share_waited"] <= 1
    assert ended.iteration == 60
    assert not ended.interrupted


def test_the_last_two_checkpoints_are_kept_and_say_what_testing_needs(alone):
    out, ended = alone
    assert [iteration for iteration, _ in RunFolder(out).checkpoints()] == [60, 56]
    arrays, state = checkpoint.load(ended.checkpoint)
    shapes = NETWORK.shapes(len(state["classes"]))
    assert {name: arrays[name].shape for name in shapes} == shapes
    assert state["iteration"] == 60
    assert np.shape(state["target_means"]) == np.shape(state["target_stds"]) == (len(state["classes"]) + 1, 4)


def test_a_run_that_is_killed_again_and_again_ends_with_the_bytes_of_one_left_alone(alone, root, tmp_path):
    """The moment is drawn: so long after a checkpoint that is so many iterations after the run's first."""
    out, program = tmp_path / "killed", Path(training_cases.__file__)
    random = np.random.default_rng(4)
    command = [sys.executable, str(program), "torch", str(root), str(out), "60"]
    for kill in range(4):
        process = subprocess.Popen(command)
        wanted = newest(out) + int(random.integers(1, 16))
        while newest(out) < wanted and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.05))
        process.kill()
        assert process.wait() == -signal.SIGKILL, f"it had ended before kill {kill}"
    subprocess.run(command, check=True)
    for name in ("iteration_000056.safetensors", "iteration_000060.safetensors"):
        assert (out / name).read_bytes() == (alone[0] / name).read_bytes()
    kept = ("iteration", "loss", "cls_loss", "box_loss", "rate")
    assert [[line[k] for k in kept] for line in lines_of(out)] == [
        [line[k] for k in kept] for line in lines_of(alone[0])
    ]


def newest(out):
    found = RunFolder(out).checkpoints()
    return found[0][0] if found else 0


def test_a_checkpoint_that_is_cut_short_is_left_out_with_a_remark_and_the_one_before_taken(alone, root, tmp_path):
    from rich.console import Console

    out = tmp_path / "cut"
    run("torch", root, out, 60)
    last = out / "iteration_000060.safetensors"
    last.write_bytes(last.read_bytes()[:-1])
    with open(tmp_path / "said", "w") as said:
        run("torch", root, out, 60, resume=True, console=Console(file=said, width=1000))
    text = (tmp_path / "said").read_text()
    assert "iteration_000060.safetensors is no checkpoint" in text
    assert "resumed after iteration 56" in text
    assert last.read_bytes() == alone[1].checkpoint.read_bytes()


def test_frozen_layers_keep_their_bits_and_all_others_move(root):
    recipe = small_recipe(3, frozen=["conv1", "conv3"])
    minibatches, arrays = beginning_of(root, recipe)
    trainer = Trainer(NETWORK, recipe, arrays)
    for number in range(2):
        trainer.step(minibatches.batch(number), 0.01)
    after = trainer.arrays()
    same = {name for name in arrays if np.array_equal(after[name], arrays[name])}
    assert same == set(NETWORK.parameters_of(recipe.frozen))
    assert {name for name in after if name.startswith("velocity/")} == {
        f"velocity/{n}" for n in arrays if n not in same
    }


def test_an_update_is_the_reference_s_with_biases_twice_as_fast_and_without_decay(root):
    recipe = small_recipe(2)
    minibatches, arrays = beginning_of(root, recipe)
    arrays = {name: array + np.float32(0.25) for name, array in arrays.items()}  # biases of 0 would not decay anyway
    batch, rate = minibatches.batch(0), 0.01
    plain = Trainer(NETWORK, recipe.changed(momentum=0, weight_decay=0, bias_lr_mult=1), arrays)
    plain.step(batch, 1.0)
    gradients = {name: plain.arrays()[f"velocity/{name}"] for name in arrays}  # v = 0 v + 1 g
    trainer = Trainer(NETWORK, recipe, arrays)
    trainer.step(batch, rate)
    after = trainer.arrays()
    for name, array in arrays.items():
        own = {"lr_mult": 2, "decay_mult": 0} if name.endswith("/b") else {"lr_mult": 1, "decay_mult": 1}
        w, v = reference.sgd_step(array, gradients[name], np.zeros_like(array), rate, **own)
        np.testing.assert_array_equal(after[name], w)
        np.testing.assert_array_equal(after[f"velocity/{name}"], v)


def test_a_velocity_that_is_given_is_gone_on_from(root):
    recipe = small_recipe(2)
    minibatches, arrays = beginning_of(root, recipe)
    whole, first = Trainer(NETWORK, recipe, arrays), Trainer(NETWORK, recipe, arrays)
    for number in range(2):
        whole.step(minibatches.batch(number), 0.01)
    first.step(minibatches.batch(0), 0.01)
    second = Trainer(NETWORK, recipe, first.arrays())
    second.step(minibatches.batch(1), 0.01)
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(second.arrays()[name], array)


def beginning_of(root, recipe):
    """Minibatches and first parameters."""
    beginning = prepared(root, recipe)
    return beginning.minibatches, beginning.arrays


class Poisoned:
    """Minibatches of which one has a pixel that is no number."""

    def __init__(self, minibatches, number):
        self.minibatches, self.number = minibatches, number
        self.data, self.mean = minibatches.data, minibatches.mean

    def batch(self, number):
        batch = self.minibatches.batch(number)
        return dataclasses.replace(batch, images=batch.images * np.float32(np.nan)) if number == self.number else batch


def test_a_loss_that_is_no_number_stops_the_run_with_the_minibatch_saved(root, tmp_path):
    recipe = small_recipe(20)
    beginning = prepared(root, recipe)
    poisoned = dataclasses.replace(beginning, minibatches=Poisoned(beginning.minibatches, 6))
    with pytest.raises(training.Diverged, match=r"iteration 7 is nan; its minibatch is in .*stopped_000007\.npz"):
        training.train(recipe, poisoned, tmp_path / "run")
    saved, batch = np.load(tmp_path / "run" / "stopped_000007.npz"), beginning.minibatches.batch(6)
    np.testing.assert_array_equal(saved["rois"], batch.rois)
    assert np.isnan(saved["images"]).all()
    assert newest(tmp_path / "run") == 4
    ended = training.train(recipe, beginning, tmp_path / "run", resume=True)
    assert ended.iteration == 20


def test_a_loss_that_stays_far_above_that_of_guessing_stops_the_run(root, tmp_path):
    recipe = small_recipe(40, learning_rate=1e-6)
    beginning = prepared(root, recipe)
    beginning.arrays["cls_score/b"] = np.float32([0, 0, 0, 0, 0, 500])  # of a class that few RoIs have
    with pytest.raises(training.Diverged, match=r"the mean loss of the last 20 iterations is .*at iteration 20"):
        training.train(recipe, beginning, tmp_path / "run")
    assert (tmp_path / "run" / "stopped_000020.npz").exists()


def test_sigint_ends_the_iteration_writes_a_checkpoint_and_the_run_goes_on_from_it(alone, root, tmp_path):
    recipe = small_recipe(60)
    beginning = prepared(root, recipe)

    class Interrupting(Poisoned):
        def batch(self, number):
            if number == self.number:
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            return self.minibatches.batch(number)

    before = signal.getsignal(signal.SIGINT)
    interrupting = dataclasses.replace(beginning, minibatches=Interrupting(beginning.minibatches, 13))
    ended = training.train(recipe, interrupting, tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before
    assert ended.interrupted
    assert 9 <= ended.iteration <= 14  # the loader is up to four minibatches ahead
    assert checkpoint.load(ended.checkpoint)[1]["iteration"] == ended.iteration
    assert len(lines_of(tmp_path / "run")) == ended.iteration
    again = training.train(recipe, beginning, tmp_path / "run", resume=True)
    assert again.checkpoint.read_bytes() == alone[1].checkpoint.read_bytes()


def test_a_run_does_not_begin_over_another_and_does_not_go_on_as_another(alone, root):
    out, _ = alone
    with pytest.raises(RunError, match="holds a run already; resume it"):
        run("torch", root, out, 60)
    recipe = small_recipe(60, momentum=0.5)
    with pytest.raises(RunError, match=r"was begun with momentum 0\.9, not 0\.5"):
        training.train(recipe, prepared(root, recipe), out, resume=True)
    recipe = small_recipe(60)
    beginning = prepared(root, recipe)
    with pytest.raises(RunError, match=r"was begun with other weights, none, not w\.npz"):
        training.train(recipe, dataclasses.replace(beginning, weights="w.npz; drawn: fc6"), out, resume=True)
    beginning.minibatches.mean = beginning.minibatches.mean + 1
    with pytest.raises(RunError, match=r"was begun on other data \(mean differ\)"):
        training.train(recipe, beginning, out, resume=True)
    with pytest.raises(RunError, match="has 60 iterations behind it, more than the 8 asked for"):
        run("torch", root, out, 8, resume=True)


def test_an_unknown_backend_is_refused_by_name(root, tmp_path):
    with pytest.raises(RunError, match="backend must be one of torch, tf, got 'caffe'"):
        run("caffe", root, tmp_path / "run", 2)


def test_a_precision_that_a_backend_has_not_is_refused_before_the_run_s_folder_is_made(root, tmp_path):
    with pytest.raises(RunError, match="backend torch trains in float32, tf32, bfloat16, not in float16"):
        run("torch", root, tmp_path / "run", 2, precision="float16")
    assert not (tmp_path / "run").exists()


def test_bfloat16_is_an_option_and_another_computation(root):
    recipe = small_recipe(2)
    minibatches, arrays = beginning_of(root, recipe)
    batch = minibatches.batch(0)
    full, half = (
        Trainer(NETWORK, recipe, arrays, precision=precision).step(batch, 0.01)["loss"]
        for precision in ("float32", "bfloat16")
    )
    assert half != full
    assert half == pytest.approx(full, rel=0.05)
    with pytest.raises(ValueError, match="precision must be one of float32, tf32, bfloat16, got 'half'"):
        Trainer(NETWORK, recipe, arrays, precision="half")


def test_tensorboard_s_events_are_written_where_asked(root, tmp_path):
    run("torch", root, tmp_path / "run", 5, tensorboard=True)
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))
