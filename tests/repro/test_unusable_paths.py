"""A path that cannot be read or written ends any command with a sentence that names it, and no traceback."""

import errno
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from frcnn.cli import main
from frcnn.extras import needs
from frcnn.repro import made_up
from frcnn.repro.proposals import write_npz
from frcnn.repro.voc import read_split

NOWHERE = "/dev/null/x"  # not even root can make it
SPLIT = ["--voc-root", "kit", "--year", "MadeUp", "--split", "val"]
SPLIT += [word for name in made_up.CLASSES for word in ("--class", name)]
REPORT = str(Path(__file__).parents[2] / "docs" / "conformance" / "torch.jsonl")


@pytest.fixture
def kit(tmp_path, monkeypatch):
    """A folder to be in, with a devkit of two photographs and a box in each."""
    monkeypatch.chdir(tmp_path)
    made_up.write_devkit(tmp_path / "kit", seed=0, train=1, val=1)
    split = read_split(tmp_path / "kit", made_up.YEAR, "val", classes=made_up.CLASSES)
    write_npz(tmp_path / "boxes.npz", {one.id: np.float32([[0, 0, 9, 9]]) for one in split.photographs})


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("spec", "render", "--out", NOWHERE), NOWHERE),
        (("spec", "divergences", "--into", "nodir/x.md"), "nodir/x.md"),
        (("vectors", "write", "--out", NOWHERE), NOWHERE),
        (("conformance", "--backend", "reference", "--clause", "roi-pool.round", "--out", NOWHERE), NOWHERE),
        (("report", "page", REPORT, "--into", "nodir/x.md"), "nodir/x.md"),
        (("data", "made-up", "--root", NOWHERE), NOWHERE),
        (("data", "voc07", "--root", NOWHERE), NOWHERE),
        (("repro", "voc07", "--tier", "instant", "--backend", "torch", "--out", NOWHERE), NOWHERE),
        (("train", "instant", "--out", NOWHERE), NOWHERE),
        (("proposals", "make", *SPLIT, "--workers", "1", "--cache", NOWHERE, "--out", "made.npz"), NOWHERE),
        (("proposals", "make", *SPLIT, "--workers", "1", "--cache", "cache", "--out", NOWHERE), "/dev/null"),
        (("proposals", "recall", *SPLIT, "--proposals", "boxes.npz", "--plot", "nodir/x.png"), "nodir/x.png"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_a_command_says_which_path_it_cannot_use(kit, words, path):
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = (line for line in result.stderr.splitlines() if line.startswith("Error: [Errno "))
    assert path in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disc that is always full")
def test_a_full_disc_is_said_though_the_system_names_no_path():
    result = CliRunner().invoke(main, ["report", "page", REPORT, "--into", "/dev/full"])
    assert (result.exit_code, result.stderr) == (2, "Error: [Errno 28] No space left on device\n")


def test_an_error_that_names_no_file_is_no_fault_of_a_path_and_comes_through():
    @click.command()
    @needs("repro")
    def command():
        raise OSError(errno.EIO, "of no file")

    result = CliRunner().invoke(command)
    assert type(result.exception) is OSError
