"""Training in TensorFlow: the same losses as torch's in lockstep, an update that is the reference's, and going on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import profile_cases
import pytest
import training_cases
from training_cases import prepared, run, small_recipe

from frcnn import reference
from frcnn.repro.network import read_network
from frcnn.repro.run_folder import RunFolder
from frcnn.repro.tf_trainer import Trainer

NETWORK = read_network("I")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("devkit")


@pytest.fixture(scope="module", params=["I", "T"])
def lockstep(request, root, tmp_path_factory):
    """What lockstep_cases.py found, in a process of its own, since torch has to come before TensorFlow."""
    program, out = Path(training_cases.__file__).with_name("lockstep_cases.py"), tmp_path_factory.mktemp("lockstep")
    command = [sys.executable, str(program), request.param, str(root), str(out / "found.npz")]
    # Two frameworks' threads in one process: those that wait have to sleep, or T takes over ten minutes, not one.
    subprocess.run(command, check=True, env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ})
    return np.load(out / "found.npz")


def test_torch_and_tensorflow_have_the_same_losses_for_twenty_iterations_in_float64(lockstep):
    torch, tensorflow = lockstep["losses"][:, 0], lockstep["losses"][:, 1]
    assert len(torch) == 20
    assert (np.abs(torch - tensorflow) <= lockstep["allowed"]).all()
    # A bound that lets through what a wrong digit of the recipe does would say nothing.
    assert (lockstep["allowed"][:, 0] <= 1e-8 * torch[:, 0]).all()


def test_the_first_losses_in_float32_are_those_of_float64_within_the_bound(lockstep):
    for found in lockstep["first"][0]:
        assert (np.abs(found - lockstep["losses"][0, 0]) <= lockstep["allowed_first"][0]).all()


@pytest.mark.parametrize("profile", ["exact", "caffe-2015"])
def test_every_operator_of_a_run_is_told_the_recipe_s_profile(root, monkeypatch, profile):
    told = profile_cases.profiles_told(monkeypatch, "tf", root, profile)
    assert told == {(name, profile) for name in profile_cases.OPERATORS}


def test_the_box_loss_has_the_recipe_s_weight(root):
    once, thrice = (profile_cases.losses_of("tf", root, box_loss_weight=weight) for weight in (1, 3))
    assert (once["cls_loss"], once["box_loss"]) == (thrice["cls_loss"], thrice["box_loss"])
    assert once["box_loss"] > 0
    for losses, weight in ((once, 1), (thrice, 3)):
        assert losses["loss"] == pytest.approx(losses["cls_loss"] + weight * losses["box_loss"], rel=1e-6)


def test_an_update_is_the_reference_s_and_frozen_layers_keep_their_bits(root):
    recipe = small_recipe(2, frozen=["conv2", "cls_score"])
    beginning = prepared(root, recipe)
    # Biases of 0 would not decay anyway.
    arrays = {name: array + np.float32(0.25) for name, array in beginning.first.arrays.items()}
    batch, rate = beginning.minibatches.batch(0), 0.01
    plain = Trainer(NETWORK, recipe.changed(momentum=0, weight_decay=0, bias_lr_mult=1), arrays)
    plain.step(batch, 1.0)
    gradients = plain.arrays()  # the velocity: v = 0 v + 1 g
    trainer = Trainer(NETWORK, recipe, arrays)
    trainer.step(batch, rate)
    after = trainer.arrays()
    for name, array in arrays.items():
        if name in NETWORK.parameters_of(recipe.frozen):
            np.testing.assert_array_equal(after[name], array)
            assert f"velocity/{name}" not in after
            continue
        own = {"lr_mult": 2, "decay_mult": 0} if name.endswith("/b") else {"lr_mult": 1, "decay_mult": 1}
        w, v = reference.sgd_step(array, gradients[f"velocity/{name}"], np.zeros_like(array), rate, **own)
        np.testing.assert_array_equal(after[name], w)
        np.testing.assert_array_equal(after[f"velocity/{name}"], v)


def test_a_run_that_is_killed_and_resumed_ends_with_the_bytes_of_one_left_alone(root, tmp_path):
    alone = run("tf", root, tmp_path / "alone", 40).checkpoint
    out, random = tmp_path / "killed", np.random.default_rng(6)
    command = [sys.executable, training_cases.__file__, "tf", str(root), str(out), "40"]
    for wanted in (1, 13):
        process = subprocess.Popen(command)
        while newest(out) < wanted and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.05))
        process.kill()
        assert process.wait() == -signal.SIGKILL, f"it had ended before iteration {wanted} was seen"
    subprocess.run(command, check=True)
    assert (out / alone.name).read_bytes() == alone.read_bytes()
    losses = [
        [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").open()] for folder in (out, alone.parent)
    ]
    assert losses[0] == losses[1]
    assert np.mean(losses[0][-10:]) < np.mean(losses[0][:10])


def newest(out):
    found = RunFolder(out).checkpoints()
    return found[0][0] if found else 0
