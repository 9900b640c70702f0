"""Checkpoints come back as they were, replace one another whole, and a file that is none says so."""

import os
import re

import numpy as np
import pytest
from safetensors.numpy import save_file

from frcnn.repro.checkpoint import DTYPES, STATE, CheckpointError, load, save


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    return folder / "0001.safetensors"


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert theirs[name].dtype == ours[name].dtype
        assert theirs[name].shape == ours[name].shape
        assert theirs[name].tobytes() == ours[name].tobytes()


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_arrays_come_back_bit_for_bit(path, dtype):
    # Every pattern of bits, NaN's included; a bool has two.
    bits = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 256, 192, np.uint8)
    arrays = {"a/w": bits.view(dtype).reshape(2, -1), "b": np.zeros((0, 4), dtype), "c": np.array(1, dtype)}
    save(path, arrays, {})
    same(arrays, load(path)[0])


def test_arrays_that_lie_otherwise_in_memory_come_back_by_their_numbers(path):
    plain = np.arange(12, dtype=np.float32).reshape(3, 4)
    save(path, {"turned": plain.T, "every second": plain[:, ::2], "big": plain.astype(">f4")}, {})
    arrays, _ = load(path)
    np.testing.assert_array_equal(arrays["turned"], plain.T)
    np.testing.assert_array_equal(arrays["every second"], plain[:, ::2])
    np.testing.assert_array_equal(arrays["big"], plain)


def test_a_generator_goes_on_where_it_was(path):
    generator = np.random.default_rng(5)
    generator.random(3)
    save(path, {}, {"random": generator.bit_generator.state, "iteration": 3})
    _, state = load(path)
    again = np.random.default_rng()
    again.bit_generator.state = state["random"]
    np.testing.assert_array_equal(again.random(10), generator.random(10))
    assert state["iteration"] == 3


def test_what_is_loaded_may_be_written_to(path):
    save(path, {"a": np.zeros(3)}, {})
    arrays, _ = load(path)
    arrays["a"] += 1
    np.testing.assert_array_equal(load(path)[0]["a"], np.zeros(3))


def test_the_same_checkpoint_is_the_same_file(path):
    arrays = {name: np.arange(3.0) for name in "cab"}
    save(path, arrays, {"iteration": 1})
    first = path.read_bytes()
    save(path, dict(sorted(arrays.items())), {"iteration": 1})
    assert path.read_bytes() == first


def test_a_write_that_fails_leaves_the_old_checkpoint_and_nothing_else(path, monkeypatch):
    save(path, {"a": np.zeros(3)}, {"iteration": 1})

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="cannot be written: No space left on device"):
        save(path, {"a": np.ones(3)}, {"iteration": 2})
    assert load(path)[1] == {"iteration": 1}
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("state", [{"loss": float("nan")}, {"a": np.float32(1)}, {1: "a"}, {"a": (1, 2)}, [1], None])
def test_a_state_that_would_come_back_otherwise_is_refused(path, state):
    with pytest.raises(CheckpointError, match=re.escape(f"{path} cannot hold the state")):
        save(path, {}, state)
    assert not path.exists()


def test_an_array_of_another_type_is_refused(path):
    with pytest.raises(CheckpointError, match="cannot hold fc6/w, complex128; convert it to one of bool, float16"):
        save(path, {"fc6/w": np.zeros(2, complex)}, {})


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -1])
def test_a_file_that_is_cut_short_is_refused(path, kept):
    save(path, {"a": np.zeros(30)}, {"iteration": 1})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=re.escape(f"{path} is no checkpoint, or cut short")):
        load(path)


def test_a_file_that_is_not_there_is_refused(path):
    with pytest.raises(CheckpointError, match=re.escape(f"{path} cannot be read: No such file")):
        load(path)
    with pytest.raises(CheckpointError, match="cannot be written: No such file"):
        save(path.parent / "nowhere" / "1", {}, {})


def test_a_run_s_folder_is_no_checkpoint_and_its_files_are_named(path):
    with pytest.raises(CheckpointError, match=r"is a folder; give one of its files, iteration_N\.safetensors"):
        load(path.parent)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [(None, "no state of a run"), ({STATE: "{"}, "is no JSON"), ({STATE: "[1]"}, "is no dict: [1]")],
)
def test_arrays_of_another_program_are_refused(path, metadata, message):
    save_file({"a": np.zeros(3)}, path, metadata)
    with pytest.raises(CheckpointError, match=re.escape(message)):
        load(path)
