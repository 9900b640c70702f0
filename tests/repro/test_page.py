"""The page of what was reproduced: which runs stand together, the band over seeds, and what is not there."""

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_report import cells, lines, run

from frcnn.cli import main
from frcnn.repro import report
from frcnn.repro.page import SeedTwice, page
from frcnn.repro.recipe import read_recipe
from frcnn.repro.results import read_paper


def kept(tmp_path, name, seed, **means):
    """A report's lines, of backends with these mean APs, written and read again."""
    recipe = {"goal_map": 0.25, "seed": seed, "iterations": 7, "network": "T"}
    head, *_ = lines(recipe=recipe)
    runs = [run(backend, ap, ap >= 0.25) for backend, ap in means.items()]
    for one in runs:
        one["seconds"]["testing, test"] = 60.0
    (tmp_path / name).mkdir()
    report.write(tmp_path / name, [head, *runs])
    return report.read(tmp_path / name / "report.jsonl")


def test_frameworks_that_are_nearer_than_seeds_are_said_to_be(tmp_path):
    text = page({"a": kept(tmp_path, "a", 3, torch=0.381, tf=0.384), "b": kept(tmp_path, "b", 4, tf=0.39)})
    assert text.count("## Tier short: network T, trained on 2007 train (9 photographs), tested on 2007 val") == 1
    assert "- The band of tf 1.0 on cpu over the seeds 3, 4: 38.4 to 39.0, 0.60 points." in text
    assert "- torch 1.0 on cpu was run with one seed alone, so it has no band." in text
    assert "- With seed 3, torch 1.0 on cpu and tf 1.0 on cpu are 0.30 points apart, less than the widest band." in text


def test_frameworks_that_are_further_apart_than_seeds_are_said_to_be(tmp_path):
    text = page({"a": kept(tmp_path, "a", 3, torch=0.38, tf=0.41), "b": kept(tmp_path, "b", 4, tf=0.40)})
    assert "are 3.00 points apart, not less than the widest band." in text


def test_every_run_has_a_row_with_its_figures_and_its_goal(tmp_path):
    found = kept(tmp_path, "a", 3, torch=0.381, tf=0.2)
    rows = cells(page({"a": found}), "a")
    id = f"`{found[-1]['id'][:12]}`"
    same = ["7", "38.1", "38.1", "reached", "0.1", "1.0", "1.000"]
    assert rows[0] == ["a", id, "3", "torch 1.0", "cpu", *same]
    assert rows[1][6:9] == ["20.0", "20.0", "missed"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("recipe", {"goal_map": 0.25, "seed": 4, "iterations": 8, "network": "T"}),
        ("tier", "full"),
        ("weights", {}),
        ("setting", {"precision": "tf32"}),
        ("proposals", {"source": "others.npz"}),
        ("code", "d" * 64),
        ("machine", {"cores": 3}),
        ("versions", {"numpy": "2.4.7"}),
    ],
)
def test_runs_that_differ_in_more_than_the_seed_stand_apart_and_have_no_band_together(tmp_path, name, value):
    other = kept(tmp_path, "b", 4, tf=0.39)
    other[0][name] = value
    text = page({"a": kept(tmp_path, "a", 3, tf=0.38), "b": other})
    assert text.count("## Tier ") == 2
    assert text.count("one seed alone") == 2


def test_runs_on_other_data_stand_apart(tmp_path):
    other = kept(tmp_path, "b", 4, tf=0.39)
    other[0]["data"]["train"]["digest"] = "another"
    assert page({"a": kept(tmp_path, "a", 3, tf=0.38), "b": other}).count("one seed alone") == 2


@pytest.mark.parametrize(
    ("name", "value", "who"), [("device", "cuda", "tf 1.0 on cuda"), ("version", "tf 2.0", "tf 2.0 on cpu")]
)
def test_a_framework_on_another_device_or_of_another_version_has_no_part_in_a_band(tmp_path, name, value, who):
    other = kept(tmp_path, "b", 4, tf=0.39)
    other[1][name] = value
    text = page({"a": kept(tmp_path, "a", 3, tf=0.38), "b": other})
    assert "The band of" not in text
    for one in ("tf 1.0 on cpu", who):
        assert f"- {one} was run with one seed alone, so it has no band." in text


def test_a_machine_that_tells_a_little_more_memory_is_the_same_machine(tmp_path):
    reports = {name: kept(tmp_path, name, seed, tf=0.38) for name, seed in (("a", 3), ("b", 4))}
    for memory, (head, *_) in enumerate(reports.values(), 1):
        head["machine"]["memory_bytes"] = memory
    assert "over the seeds 3, 4" in page(reports)


def test_what_the_runs_of_a_band_share_is_said(tmp_path):
    text = page({"a": kept(tmp_path, "a", 3, tf=0.38)})
    assert "Code `cccccccccccc`, commit `unknown`; machine: cores 2; versions: numpy 2.4.6." in text


def test_a_seed_that_comes_twice_is_refused_since_one_run_would_be_left_out(tmp_path):
    reports = {name: kept(tmp_path, name, 3, torch=ap, tf=ap) for name, ap in (("a", 0.38), ("b", 0.39))}
    with pytest.raises(SeedTwice, match=r"a and b are both of seed 3 with torch 1.0 on cpu; keep one of them"):
        page(reports)
    apart = {"a": kept(tmp_path, "c", 3, torch=0.38), "b": kept(tmp_path, "d", 3, tf=0.39)}
    assert "With seed 3, torch 1.0 on cpu and tf 1.0 on cpu are 1.00 points apart" in page(apart)


def test_the_command_refuses_folders_of_one_name_and_a_seed_that_comes_twice(tmp_path):
    files = []
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        kept(tmp_path / name, "run", 3, tf=0.38)
        files.append(tmp_path / name / "run" / "report.jsonl")
    result = CliRunner().invoke(main, ["repro", "page", *map(str, files)])
    assert (result.exit_code, "two reports lie in a folder named run" in " ".join(result.stderr.split())) == (2, True)
    (tmp_path / "y" / "run").rename(tmp_path / "y" / "other")
    files[1] = tmp_path / "y" / "other" / "report.jsonl"
    result = CliRunner().invoke(main, ["repro", "page", *map(str, files)])
    assert (result.exit_code, "run and other are both of seed 3" in result.stderr) == (1, True)


def test_what_no_report_is_of_is_said(tmp_path):
    text = page({"a": kept(tmp_path, "a", 3, tf=0.38)})
    missing = "No report that is kept is of: tier `full`, tier `instant`, anything on a GPU, layers cut by SVD."
    assert missing in text.split("\n\n")


def test_the_commands_of_tier_full_ask_for_what_the_text_says(tmp_path, parsed):
    text = page({"a": kept(tmp_path, "a", 3, tf=0.38)}).partition("## How tier full is run")[2]
    lines = re.sub(r" \\\n +", " ", text).splitlines()
    asked = [parsed(shlex.split(line)[1:]) for line in lines if line.startswith("    frcnn ")]
    assert [one.info_name for one in asked] == [
        f"frcnn {name}"
        for name in ("data voc07", "data check", "repro voc07", "report verify", "repro page", "train", "test")
    ]
    boxes = tuple(Path(f"voc_2007_{name}.mat") for name in ("trainval", "test"))
    whole, train, test = (asked[place].params for place in (2, 5, 6))
    assert (whole["tier"], whole["backends"], whole["proposals"]) == ("full", ("torch",), boxes)
    assert (train["proposals"], test["proposals"]) == (boxes[:1], boxes[1:])
    assert whole["ranks"] == test["ranks"] == read_paper()["svd"]["ranks"]
    assert whole["weights"] == train["weights"]
    assert test["checkpoint"] == train["out"] / "iteration_040000.safetensors"


def test_the_recipe_in_the_original_s_profile_is_the_paper_s(tmp_path):
    (line,) = (one for one in page({"a": kept(tmp_path, "a", 3, tf=0.38)}).splitlines() if one.startswith("    sed "))
    subprocess.run(
        line.replace("original.toml", str(tmp_path / "original.toml")),
        shell=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    original = read_recipe(tmp_path / "original.toml")
    assert original == dataclasses.replace(read_recipe("full", profile="caffe-2015"), source=original.source)


def test_what_somebody_wrote_beside_reports_is_shown_once_and_said_to_be_by_hand(tmp_path):
    reports = {name: kept(tmp_path, name, seed, tf=0.38) for name, seed in (("a", 3), ("b", 4), ("c", 5))}
    text = page(reports, remarks={"a": "The photographs are small.\n", "c": "The photographs are small."})
    assert "by hand:\n\nThe photographs are small.\n\n" in text
    assert text.count("The photographs are small.") == 1
    assert "by hand" not in page(reports)


def test_the_pictures_of_a_group_are_those_of_the_first_report_that_has_some(tmp_path):
    reports = {name: kept(tmp_path, name, seed, tf=0.38) for name, seed in (("a", 3), ("b", 4))}
    text = page(reports, {"b": "elsewhere/b"})
    assert "![the loss of each iteration](elsewhere/b/losses.png)" in text
    assert "(elsewhere/b/tf/test/detections.png)" in text


@pytest.mark.parametrize("pictures", [True, False])
def test_the_command_shows_pictures_and_remarks_that_lie_beside_a_report(tmp_path, pictures):
    kept(tmp_path, "a", 3, torch=0.38)
    if pictures:
        (tmp_path / "a" / "losses.png").write_bytes(b"")
        (tmp_path / "a" / "remarks.md").write_text("The photographs are small.")
    into = tmp_path / "page.md"
    outcome = CliRunner().invoke(main, ["repro", "page", str(tmp_path / "a" / "report.jsonl"), "--into", str(into)])
    assert outcome.exit_code == 0, outcome.output
    for shown in ("(a/torch/test/detections.png)", "The photographs are small."):
        assert (shown in into.read_text(encoding="utf-8")) == pictures


def test_a_report_that_was_altered_is_refused(tmp_path):
    kept(tmp_path, "a", 3, torch=0.38)
    file = tmp_path / "a" / "report.jsonl"
    file.write_text(file.read_text(encoding="utf-8").replace("0.38", "0.83"), encoding="utf-8")
    outcome = CliRunner().invoke(main, ["repro", "page", str(file)])
    assert outcome.exit_code == 1
    assert "was altered" in outcome.output


def test_the_kept_page_is_what_the_command_makes_of_the_kept_reports(tmp_path):
    root = Path(__file__).parents[2]
    reports = sorted(map(str, (root / "repro" / "results").glob("*/report.jsonl")))
    made = tmp_path / "reproduction.md"
    outcome = CliRunner().invoke(main, ["repro", "page", *reports, "--into", str(made)])
    assert outcome.exit_code == 0, outcome.output

    def without_paths(text):
        return re.sub(r"\(\S*results/", "(results/", text)

    kept = (root / "docs" / "reproduction.md").read_text(encoding="utf-8")
    assert without_paths(made.read_text(encoding="utf-8")) == without_paths(kept)
