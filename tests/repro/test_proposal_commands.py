"""`frcnn proposals`, as it is typed."""

import cv2
import numpy as np
from click.testing import CliRunner
from scipy.io import savemat

from frcnn.cli import main
from frcnn.repro.proposals import read_npz, write_npz

WIDTH, HEIGHT = 80, 60


def cells(*values):
    whole = np.empty((len(values), 1), object)
    whole[:, 0] = values
    return whole


def devkit(folder):
    """A devkit of photographs a, b (train) and c (val), each one object of class thing from edge to edge."""
    year = folder / "VOCMadeUp"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (year / name).mkdir(parents=True)
    for seed, name in enumerate(("a", "b", "c")):
        noise = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        cv2.imwrite(str(year / "JPEGImages" / f"{name}.png"), noise)
        (year / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><size><width>{WIDTH}</width><height>{HEIGHT}</height></size><object><name>thing</name>"
            "<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>80</xmax><ymax>60</ymax></bndbox>"
            "</object></annotation>"
        )
    for name, listed in {"train": "a\nb\n", "val": "c\n"}.items():
        (year / "ImageSets" / "Main" / f"{name}.txt").write_text(listed)
    return ["--voc-root", str(folder), "--year", "MadeUp", "--class", "thing"]


def test_the_command_makes_proposals_of_several_splits_and_says_how_many(tmp_path):
    where = devkit(tmp_path / "kit")
    out = tmp_path / "made.npz"
    options = ["--split", "train", "--split", "val", "--workers", "1", "--cache", str(tmp_path / "cache")]
    result = CliRunner().invoke(main, ["proposals", "make", *where, *options, "--out", str(out)])
    assert result.exit_code == 0, result.output
    made = read_npz(out)
    assert list(made) == ["a", "b", "c"]
    assert f"{sum(map(len, made.values()))} boxes of 3 photographs" in result.stdout


def test_the_command_measures_recall_of_an_npz_and_of_a_matlab_file_and_draws_it(tmp_path):
    where = devkit(tmp_path / "kit")
    whole = np.float32([[0, 0, 79, 59]])
    write_npz(tmp_path / "some.npz", {"a": whole, "b": np.float32([[0, 0, 79, 38]])})  # 39 of 60 rows
    savemat(tmp_path / "some.mat", {"boxes": cells([[1, 1, 60, 80]], [[1, 1, 39, 80]])})
    lines = []
    for name in ("some.npz", "some.mat"):
        plot = tmp_path / f"{name}.png"
        options = ["--split", "train", "--proposals", str(tmp_path / name), "--plot", str(plot)]
        result = CliRunner().invoke(main, ["proposals", "recall", *where, *options])
        assert result.exit_code == 0, result.output
        assert cv2.imread(str(plot)) is not None
        lines.append(next(line.split() for line in result.stdout.splitlines() if line.startswith("thing")))
    # Overlaps 1 and .65: 2 / 2 * ((1 - .5) + (.65 - .5))
    assert lines == [["thing", "2", "1.000", "1.000", "0.500", "0.500", "0.500", "0.650"]] * 2


def test_the_command_ends_with_a_sentence_where_proposals_or_devkit_are_wrong(tmp_path):
    where = devkit(tmp_path / "kit")
    write_npz(tmp_path / "some.npz", {"a": np.float32([[1, 2, 1, 2]])})
    ask = ["proposals", "recall", "--proposals", str(tmp_path / "some.npz")]
    missing = CliRunner().invoke(main, [*ask, *where, "--split", "train"])
    assert (missing.exit_code, missing.stderr.startswith("Error: photograph b of MadeUp train")) == (1, True)
    absent = CliRunner().invoke(main, [*ask, *where, "--split", "test"])
    assert absent.exit_code == 1
    assert "test.txt does not exist" in absent.stderr


def test_a_plot_that_is_no_png_or_svg_is_refused_before_anything_is_read(tmp_path):
    words = ["--voc-root", "nowhere", "--split", "train", "--proposals", "none.npz", "--plot", tmp_path / "recall.foo"]
    result = CliRunner().invoke(main, ["proposals", "recall", *map(str, words)])
    assert (result.exit_code, "recall.foo must end in .png or .svg" in " ".join(result.stderr.split())) == (2, True)
