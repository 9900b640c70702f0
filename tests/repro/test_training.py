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
import profile_cases
import pytest
import torch
import training_cases
from training_cases import prepared, run, small_recipe

from frcnn import reference
from frcnn.repro import checkpoint, torch_network, torch_tester, torch_trainer, training
from frcnn.repro.network import read_network
from frcnn.repro.report import file_digest
from frcnn.repro.results import read_paper
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
        assert 0 <= line["waited"] <= line["seconds"]
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
    assert "left out, and now called iteration_000060.safetensors.damaged" in text
    assert "iteration_000060.safetensors is no checkpoint" in text
    assert "resumed after iteration 56" in text
    assert last.read_bytes() == alone[1].checkpoint.read_bytes()


def test_a_resumed_run_has_waited_for_what_both_its_parts_have(root, tmp_path):
    run("torch", root, tmp_path, 4)
    lines = lines_of(tmp_path)
    lines[-1] |= {"seconds": 1000.0, "waited": 400.0}
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ended = run("torch", root, tmp_path, 8, resume=True)
    assert 1000 < ended.seconds < 1100
    assert 400 <= ended.waited <= 400 + ended.seconds - 1000  # to the millisecond
    assert lines_of(tmp_path)[-1]["waited"] <= ended.waited


@pytest.mark.parametrize("line", ["{}", "xx", "[]", '{"iteration": 3, "loss": 1}', '{"iteration": 1}', "\u00e9"])
def test_a_line_of_metrics_that_is_none_is_named(root, tmp_path, line):
    run("torch", root, tmp_path, 4)
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    lines[2] = line
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines), encoding="latin-1")
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 3, is not of iteration 3; give another folder"):
        run("torch", root, tmp_path, 8, resume=True)


def test_a_checkpoint_just_written_stays_where_damaged_ones_of_later_iterations_lie(root, tmp_path):
    run("torch", root, tmp_path, 8)
    for _, file in RunFolder(tmp_path).checkpoints():
        file.write_bytes(file.read_bytes()[:-1])
    ended = run("torch", root, tmp_path, 2, resume=True)
    assert [file for _, file in RunFolder(tmp_path).checkpoints()] == [ended.checkpoint]
    assert checkpoint.load(ended.checkpoint)[1]["iteration"] == 2


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


@pytest.mark.parametrize("profile", ["exact", "caffe-2015"])
def test_every_operator_of_a_run_is_told_the_recipe_s_profile(root, monkeypatch, profile):
    told = profile_cases.profiles_told(monkeypatch, "torch", root, profile)
    assert told == {(name, profile) for name in profile_cases.OPERATORS}


def test_the_box_loss_has_the_recipe_s_weight(root):
    once, thrice = (profile_cases.losses_of("torch", root, box_loss_weight=weight) for weight in (1, 3))
    assert (once["cls_loss"], once["box_loss"]) == (thrice["cls_loss"], thrice["box_loss"])
    assert once["box_loss"] > 0
    for losses, weight in ((once, 1), (thrice, 3)):
        assert losses["loss"] == pytest.approx(losses["cls_loss"] + weight * losses["box_loss"], rel=1e-6)


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
    return beginning.minibatches, beginning.first.arrays


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
    beginning.first.arrays["cls_score/b"] = np.float32([0, 0, 0, 0, 0, 500])  # of a class that few RoIs have
    with pytest.raises(training.Diverged, match=r"the mean loss of the last 20 iterations is .*at iteration 20"):
        training.train(recipe, beginning, tmp_path / "run")
    assert (tmp_path / "run" / "stopped_000020.npz").exists()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_iteration_writes_a_checkpoint_and_the_run_goes_on_from_it(alone, root, tmp_path, name):
    recipe, number_of_signal = small_recipe(60), getattr(signal, name)
    beginning = prepared(root, recipe)

    class Interrupting(Poisoned):
        def batch(self, number):
            if number == self.number:
                signal.pthread_kill(threading.main_thread().ident, number_of_signal)
            return self.minibatches.batch(number)

    before = signal.getsignal(number_of_signal)
    interrupting = dataclasses.replace(beginning, minibatches=Interrupting(beginning.minibatches, 13))
    ended = training.train(recipe, interrupting, tmp_path / "run")
    assert signal.getsignal(number_of_signal) is before
    assert ended.interrupted
    assert 9 <= ended.iteration <= 14  # the loader is up to four minibatches ahead
    assert checkpoint.load(ended.checkpoint)[1]["iteration"] == ended.iteration
    assert len(lines_of(tmp_path / "run")) == ended.iteration
    again = training.train(recipe, beginning, tmp_path / "run", resume=True)
    assert again.checkpoint.read_bytes() == alone[1].checkpoint.read_bytes()


def test_a_signal_in_the_last_iteration_is_not_lost(root, tmp_path, monkeypatch):
    whole = Trainer.step

    def step(self, batch, rate):
        if batch.number == 3:
            signal.raise_signal(signal.SIGINT)
        return whole(self, batch, rate)

    monkeypatch.setattr(Trainer, "step", step)
    ended = run("torch", root, tmp_path, 4)
    assert (ended.iteration, ended.interrupted) == (4, True)
    assert not run("torch", root, tmp_path, 4, resume=True).interrupted


def test_a_run_does_not_begin_over_another_and_does_not_go_on_as_another(alone, root):
    out, _ = alone
    with pytest.raises(RunError, match="holds a run already; resume it"):
        run("torch", root, out, 60)
    recipe = small_recipe(60, momentum=0.5)
    with pytest.raises(RunError, match=r"was begun with momentum 0\.9, not 0\.5"):
        training.train(recipe, prepared(root, recipe), out, resume=True)
    recipe = small_recipe(60)
    beginning = prepared(root, recipe)
    other = dataclasses.replace(beginning.first, weights="w.npz; drawn: fc6", sha256="a" * 64)
    with pytest.raises(RunError, match=r"was begun with other weights, none \(sha256 None\), not w\.npz"):
        training.train(recipe, dataclasses.replace(beginning, first=other), out, resume=True)
    beginning.minibatches.mean = beginning.minibatches.mean + 1
    with pytest.raises(RunError, match="was begun with other weights"):  # which have a mean of their own
        training.train(recipe, dataclasses.replace(beginning, first=other), out, resume=True)
    with pytest.raises(RunError, match=r"was begun on other data \(mean differ\)"):
        training.train(recipe, beginning, out, resume=True)
    examples = prepared(root, recipe).minibatches.data.examples
    elsewhere = dataclasses.replace(examples[-1], proposals=examples[-1].proposals + np.float32(1))
    renamed = dataclasses.replace(examples[-1], classes=examples[-1].classes + 1)
    for other in (elsewhere, renamed):
        beginning = prepared(root, recipe)
        data = dataclasses.replace(beginning.minibatches.data, examples=(*examples[:-1], other))
        beginning.minibatches.data = data
        with pytest.raises(RunError, match=r"was begun on other data \(data differ\)"):
            training.train(recipe, beginning, out, resume=True)
    with pytest.raises(RunError, match="has 60 iterations behind it, more than the 8 asked for"):
        run("torch", root, out, 8, resume=True)


def test_a_run_does_not_go_on_in_another_precision_and_what_is_complete_is_left_as_it_is(root, tmp_path):
    ended = run("torch", root, tmp_path, 2)
    before = ended.checkpoint.read_bytes()
    for iterations in (2, 4):
        with pytest.raises(RunError, match="was begun with precision float32, not bfloat16"):
            run("torch", root, tmp_path, iterations, resume=True, precision="bfloat16")
    arrays, state = checkpoint.load(ended.checkpoint)
    checkpoint.save(ended.checkpoint, arrays, state | {"made_by": state["made_by"] | {"framework": "tensorflow 2.21"}})
    for iterations in (2, 4):
        with pytest.raises(RunError, match="was begun with framework tensorflow, not torch"):
            run("torch", root, tmp_path, iterations, resume=True)
    ended.checkpoint.write_bytes(before)
    written = ended.checkpoint.stat().st_mtime_ns
    again = run("torch", root, tmp_path, 2, resume=True)
    assert (again.checkpoint, again.iteration, again.interrupted) == (ended.checkpoint, 2, False)
    assert again.seconds == lines_of(tmp_path)[-1]["seconds"]
    assert ended.checkpoint.stat().st_mtime_ns == written


def test_a_run_made_by_several_says_so_part_after_part(root, tmp_path):
    first = run("torch", root, tmp_path, 2).checkpoint
    arrays, state = checkpoint.load(first)
    checkpoint.save(first, arrays, state | {"made_by": state["made_by"] | {"framework": "torch 1.13", "threads": 64}})
    for iterations in (4, 6):  # the second time by what had made the part before it
        made = checkpoint.load(run("torch", root, tmp_path, iterations, resume=True).checkpoint)[1]["made_by"]
        assert made == state["made_by"] | {
            "framework": f"torch 1.13, then {state['made_by']['framework']}",
            "threads": f"64, then {state['made_by']['threads']}",
        }


@pytest.mark.parametrize(
    ("lacks", "name"),
    [
        ("arrays", "fc6/w"),
        ("arrays", "velocity/fc6/w"),
        ("state", "made_by"),
        ("state", "classes"),
        ("state", "recipe"),
    ],
)
def test_a_checkpoint_that_lacks_something_is_not_gone_on_with(root, tmp_path, lacks, name):
    file = run("torch", root, tmp_path, 2).checkpoint
    arrays, state = checkpoint.load(file)
    (arrays if lacks == "arrays" else state).pop(name)
    checkpoint.save(file, arrays, state)
    with pytest.raises(RunError, match=f"cannot be gone on with: its checkpoint lacks {name}$"):
        run("torch", root, tmp_path, 4, resume=True)


def test_a_checkpoint_whose_name_and_state_have_other_iterations_is_left_out(root, tmp_path):
    file = run("torch", root, tmp_path, 8).checkpoint
    arrays, state = checkpoint.load(file)
    for wrong in (state | {"iteration": 7}, {key: value for key, value in state.items() if key != "iteration"}):
        checkpoint.save(file, arrays, wrong)
        assert run("torch", root, tmp_path, 8, resume=True).checkpoint == file
        assert checkpoint.load(file)[1] == state
        assert file.with_name(file.name + ".damaged").exists()


def test_what_cannot_be_trained_leaves_the_folder_as_it_was(root, tmp_path, monkeypatch):
    beginning = prepared(root, small_recipe(2))
    every = [layer.name for layer in NETWORK.layers if hasattr(layer, "name")] + ["cls_score", "bbox_pred"]
    for frozen, said in ((["conv9"], "'conv9' is no layer with weights of I"), (every, "nothing is learned")):
        with pytest.raises(ValueError, match=said):
            training.train(small_recipe(2, frozen=frozen), beginning, tmp_path / "run")

    def fails(*arguments, **keywords):
        raise ValueError("too large for this machine")

    monkeypatch.setattr("frcnn.repro.torch_trainer.Trainer", fails)
    with pytest.raises(ValueError, match="too large"):
        training.train(small_recipe(2), beginning, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def weights_file(path, *layers, bias=0.0):
    """A file of weights of network I, whose layers' biases are all one number."""
    shapes = {name: shape for name, shape in NETWORK.shapes(5).items() if name.rpartition("/")[0] in layers}
    arrays = {name: np.full(shape, bias if name.endswith("/b") else 0.01, np.float32) for name, shape in shapes.items()}
    np.savez(path, **arrays, mean=np.float64([1, 2, 3]))
    return path


def test_weights_of_another_file_are_not_gone_on_with_though_they_have_the_same_names(root, tmp_path):
    def go_on(file, iterations, **keywords):
        first = training.first_parameters(small_recipe(2), 5, file)
        beginning = dataclasses.replace(prepared(root, small_recipe(2)), first=first)
        return training.train(small_recipe(iterations), beginning, tmp_path / "run", **keywords)

    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    one = weights_file(tmp_path / "one" / "w.npz", "conv1")
    other = weights_file(tmp_path / "other" / "w.npz", "conv1", bias=1)
    go_on(one, 2)
    with pytest.raises(RunError, match=r"was begun with other weights, w\.npz; .*\(sha256 \w{64}\), not w\.npz"):
        go_on(other, 3, resume=True)
    assert go_on(one.rename(tmp_path / "renamed.npz"), 3, resume=True).iteration == 3


def test_weights_are_imagenet_s_where_the_file_is_known_and_else_those_of_a_file(tmp_path, monkeypatch):
    layers = ["conv1", "conv2", "conv3", "conv4", "fc6"]
    file = weights_file(tmp_path / "w.npz", *layers)
    whole = weights_file(tmp_path / "whole.npz", *layers, "cls_score", "bbox_pred")
    recipe = small_recipe(2)
    assert training.first_parameters(recipe, 5, file).weights == "w.npz; drawn: cls_score, bbox_pred"
    assert training.first_parameters(recipe, 5, whole).weights == "whole.npz; drawn: nothing"
    monkeypatch.setattr(training, "IMAGENET", {file_digest(file), file_digest(whole)})
    assert training.first_parameters(recipe, 5, file).weights == read_paper()["setting"]["weights"]
    assert training.first_parameters(recipe, 5, whole).weights == "whole.npz; drawn: nothing"


def test_layers_are_not_frozen_as_they_were_drawn_and_a_file_gives_something(tmp_path):
    recipe = small_recipe(2, frozen=["conv1", "conv2"])
    with pytest.raises(RunError, match=r"freezes layers that no file gives weights, .*: conv1, conv2; give"):
        training.first_parameters(recipe, 5)
    file = weights_file(tmp_path / "w.npz", "conv1")
    with pytest.raises(RunError, match=r"drawn: conv2; give pre-trained weights \(--weights\), or take them out"):
        training.first_parameters(recipe, 5, file)
    assert "conv1" not in training.first_parameters(recipe.changed(frozen=["conv1"]), 5, file).drawn
    np.savez(tmp_path / "other.npz", **{"convX/w": np.zeros(3), "mean": np.float64([1, 2, 3])})
    with pytest.raises(RunError, match=r"other\.npz holds no weights of network I"):
        training.first_parameters(small_recipe(2), 5, tmp_path / "other.npz")


def test_an_unknown_backend_is_refused_by_name(root, tmp_path):
    with pytest.raises(RunError, match="backend must be one of torch, tf, got 'caffe'"):
        run("caffe", root, tmp_path / "run", 2)


def test_a_precision_that_a_backend_has_not_is_refused_before_the_run_s_folder_is_made(root, tmp_path):
    with pytest.raises(RunError, match="precision must be one of float32, tf32, bfloat16 in torch, got 'float16'"):
        run("torch", root, tmp_path / "run", 2, precision="float16")
    assert not (tmp_path / "run").exists()


def test_tf32_on_a_cpu_would_be_float32_by_another_name_and_is_refused(root, tmp_path):
    with pytest.raises(RunError, match="precision tf32 is a GPU's"):
        run("torch", root, tmp_path / "run", 2, precision="tf32")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def ieee_convolutions():
    """Set by torch's newer setting, after which it refuses to read allow_tf32."""
    before, torch.backends.cudnn.conv.fp32_precision = torch.backends.cudnn.conv.fp32_precision, "ieee"
    yield
    torch.backends.cudnn.conv.fp32_precision = before


def test_tf32_is_of_training_alone_and_leaves_no_trace(root, monkeypatch, ieee_convolutions):
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before, seen = (products.fp32_precision, convolutions.fp32_precision), []
    for name in ("trunk", "head"):
        whole = getattr(torch_network, name)

        def spied(*arguments, whole=whole):
            seen.append((products.fp32_precision, convolutions.fp32_precision))
            return whole(*arguments)

        monkeypatch.setattr(torch_network, name, spied)
    monkeypatch.setattr(torch_trainer, "check", lambda *_: None)  # which refuses tf32 on a CPU
    recipe = small_recipe(2)
    minibatches, arrays = beginning_of(root, recipe)
    batch = minibatches.batch(0)
    Trainer(NETWORK, recipe, arrays, precision="tf32").step(batch, 0.01)
    tester = torch_tester.Tester(NETWORK, arrays)
    tester.head(tester.trunk(batch.images[0]), batch.rois[batch.rois[:, 0] == 0])
    assert seen == [("tf32", "tf32")] * 2 + [("ieee", "ieee")] * 2
    assert (products.fp32_precision, convolutions.fp32_precision) == before


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
    with pytest.raises(ValueError, match="precision must be one of float32, tf32, bfloat16 in torch, got 'half'"):
        Trainer(NETWORK, recipe, arrays, precision="half")


def test_tensorboard_s_events_are_written_where_asked(root, tmp_path):
    run("torch", root, tmp_path / "run", 5, tensorboard=True)
    assert list((tmp_path / "run" / "tensorboard").glob("events.out.tfevents.*"))
