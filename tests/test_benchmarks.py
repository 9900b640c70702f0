"""The benchmark's harness runs, and its numbers add up. How fast anything is, no test says."""

import json
import os
import re
import signal
import statistics
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from frcnn.benchmarks import detect, growth, loss, measure, nms, page, roi_pool, rounds, svd, train_step, worker
from frcnn.benchmarks.roi_pool import CASES, GROWTH, A, B, Case
from frcnn.benchmarks.table import as_markdown, share
from frcnn.benchmarks.worker import Worker, WorkerError, names
from frcnn.benchmarks.workers import serve
from frcnn.cli import main

TINY = Case("tiny", N=2, C=3, H=10, W=12, R=5, P=2)
MACHINE = {"benchmark": "RoI pooling", "started": "now", "commit": None, "machine": {"cores": 2}}


@pytest.fixture(scope="module")
def measured():
    """Copying and torch, in every mode of a call that is over at once."""
    pythons = dict.fromkeys(("copy", "frcnn-torch"), sys.executable)
    found = measure.measure(pythons, [TINY], roi_pool.MODES, 2, 1, Console(quiet=True))
    return MACHINE | {"threads": 1, "rounds": 2} | found


def test_every_mode_is_timed_as_often_as_asked_with_its_bytes_and_its_peak(measured):
    assert [row["mode"] for row in measured["rows"]] == list(roi_pool.MODES)
    maps, outputs = 2 * 3 * 10 * 12, 5 * 3 * 2 * 2
    for row, arrays in zip(measured["rows"], (1, 1, 2, 2, 2), strict=True):
        assert len(row["seconds"]) == 2
        assert all(seconds > 0 for seconds in row["seconds"])
        assert row["bytes"] == 4 * (maps + arrays * outputs)
        assert row["peak_bytes"] is None or row["peak_bytes"] > 0
        assert row["agrees"] == (None if row["mode"] == "backward" else 1)
        assert row["lacks"] is None
    assert set(measured["versions"]) == {"copy", "frcnn-torch"}
    assert measured["copy_bytes_a_second"] > 0


def test_the_table_says_bytes_a_second_and_their_share_of_a_copy(measured):
    rows = [
        measured["rows"][0] | {"library": name, "seconds": seconds} for name, seconds in (("a", [1, 3]), ("b", [4]))
    ]
    rows.append(rows[0] | {"library": "c", "seconds": None, "peak_bytes": None, "lacks": "it has none"})
    rows = [row | {"bytes": 8e9, "agrees": 0.5, "peak_bytes": 3e6} for row in rows]
    text = as_markdown(measured | {"rows": rows, "copy_bytes_a_second": 16e9})
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert cells[2:] == [
        ["a", "2e+03", "100 %", "1.00", "4.00", "25 %", "3", "50.00 %"],
        ["b", "4e+03", "-", "2.00", "2.00", "12 %", "3", "50.00 %"],
    ]
    assert "- c: it has none" in text


class Fake:
    """A worker whose call takes a second at first, then two: two calls each to count, two rounds each to warm up."""

    def __init__(self, name, asked, lacks=None, result=None):
        self.name, self.asked, self.lacks, self.result = name, asked, lacks, result

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def another(self):
        return Fake(self.name, [])

    def answer(self, to, rows=None):
        np.save(to, self.result if rows is None or self.result is None else self.result[rows])

    def prepare(self, case_file, mode):
        return self.lacks

    def time(self, calls):
        self.asked.append(self.name)
        return 1.0 if len(self.asked) <= 8 else 2.0

    def peak(self):
        return 7

    def release(self):
        pass


def in_rounds(asked, size):
    return [set(asked[first : first + size]) for first in range(0, len(asked), size)]


def test_no_library_follows_always_the_same_one():
    asked: list = []
    rounds.interleaved([Fake(name, asked) for name in "abc"], 58)
    before = {name: Counter(asked[i - 1] for i in range(7, len(asked)) if asked[i] == name) for name in "abc"}
    assert in_rounds(asked[6:], 3) == [set("abc")] * 60
    assert all(before[name][other] >= 10 for name in "abc" for other in set("abc") - {name})


def test_a_library_without_a_mode_says_why_and_has_no_figure(tmp_path):
    rows = measure.rows_of_case(
        TINY, "inference", [Fake("a", [], "it has none"), Fake("b", [])], tmp_path / "case.npz", 6
    )
    assert [(row["library"], row["lacks"]) for row in rows] == [("a", "it has none"), ("b", None)]
    assert rows[0]["seconds"] is None
    assert len(rows[1]["seconds"]) == 6


def test_calls_too_large_to_be_held_side_by_side_are_made_one_library_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "TOO_LARGE", 1)
    asked: list = []
    measure.rows_of_case(TINY, "inference", [Fake("a", asked), Fake("b", asked)], tmp_path / "case.npz", 3)
    assert "".join(asked) == "a" * 7 + "b" * 7


def test_cases_take_turns_where_a_ratio_between_them_is_wanted(tmp_path):
    asked: list = []
    workers = [Fake("small", asked), Fake("not there", asked, "it has none"), Fake("large", asked)]
    rows = measure.rows_of_library([TINY, B, A], "inference", workers, tmp_path / "case.npz", 3)
    assert in_rounds(asked[4:], 2) == [{"small", "large"}] * 5
    assert [(row["case"]["name"], row["lacks"]) for row in rows] == [("tiny", None), ("B", "it has none"), ("A", None)]
    assert [row["seconds"] for row in rows] == [[2.0] * 3, None, [2.0] * 3]


def test_the_command_says_that_cases_took_turns(tmp_path, monkeypatch):
    monkeypatch.setitem(CASES, "A", TINY)
    monkeypatch.setitem(CASES, "B", replace(TINY, name="tinier", R=2))
    words = ("bench", "roi-pool", "--mode", "inference", "--library", "frcnn-torch", "--rounds", "2", "--cases-in-turn")
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "found")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["cases_in_turn"]
    assert [(row["case"]["name"], len(row["seconds"])) for row in found["rows"]] == [("tiny", 2), ("tinier", 2)]
    assert "rounds: 2, in which the cases take turns" in result.stdout
    assert "rounds: 2, in which the libraries take turns" in as_markdown(found | {"cases_in_turn": False})


def test_a_call_that_the_machine_has_not_the_memory_for_is_left_out_and_says_so(monkeypatch):
    monkeypatch.setattr(measure, "machine", lambda: {"memory_bytes": measure.HELD * TINY.bytes("training")})
    assert measure.lacking_memory(TINY, "training") is None
    monkeypatch.setattr(measure, "machine", lambda: {"memory_bytes": measure.HELD * TINY.bytes("training") - 1})
    copy = {"copy": sys.executable, "frcnn-torch": sys.executable}
    rows = measure.measure(copy, [TINY], ["training"], 1, 1, Console(quiet=True))["rows"]
    assert [(row["library"], row["seconds"]) for row in rows] == [("frcnn-torch", None)]
    assert rows[0]["lacks"] == "it needs about 0 GB, and the machine has 0"


def test_a_worker_that_does_not_start_or_dies_is_named_with_its_last_words(tmp_path):
    with pytest.raises(WorkerError, match=r"worker openvino ended with status 1: ModuleNotFoundError.*openvino"):
        Worker("openvino", sys.executable, 1, tmp_path)
    with Worker("copy", sys.executable, 1, tmp_path) as copy, pytest.raises(WorkerError, match="worker copy ended"):
        copy.prepare(tmp_path / "absent.npz", "copy")


def test_a_peer_whose_python_is_not_there_ends_with_a_sentence(tmp_path):
    words = ("bench", "roi-pool", "--peer", "torchvision=nopython", "--out", str(tmp_path / "found"))
    result = CliRunner().invoke(main, [*words, "--library", "torchvision"])
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("Error: worker torchvision does not start: nopython is no Python")


def test_libraries_that_are_named_are_all_that_take_part_and_peers_may_be_among_them(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(measure, "measure", lambda pythons, *_: asked.append(pythons) or sys.exit())
    words = ("bench", "roi-pool", "--peer", "torchvision=one", "--peer", "opencv=two", "--out", str(tmp_path / "found"))
    for named in ((), ("frcnn-tf",), ("opencv", "frcnn-torch")):
        CliRunner().invoke(main, [*words, *(word for name in named for word in ("--library", name))])
    assert [list(pythons) for pythons in asked] == [
        ["copy", "frcnn-torch", "frcnn-tf", "torchvision", "opencv"],
        ["copy", "frcnn-tf"],
        ["copy", "opencv", "frcnn-torch"],
    ]
    assert asked[2]["opencv"] == "two"
    refused = CliRunner().invoke(main, [*words, "--library", "mxnet"])
    assert refused.exit_code == 2
    assert "'mxnet' is none of frcnn-torch; frcnn-tf; torchvision; opencv" in refused.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "it lacks benchmark, started"),
        ("[]", "it lacks benchmark, started"),
        ('{"rows": []}', "it lacks benchmark, started"),
        ('{"rows": NaN}', "NaN is no number of JSON"),
        ("{}\n{}\n", "which are JSON"),
        ("\xff", "which are JSON"),
    ],
)
def test_a_file_that_holds_no_results_is_refused_by_name(tmp_path, text, said):
    (tmp_path / "x.jsonl").write_text(text, encoding="latin-1")
    result = CliRunner().invoke(main, ["bench", "page", str(tmp_path / "x.jsonl")])
    assert result.exit_code == 1
    assert f"Error: {tmp_path / 'x.jsonl'} is no file of results of `frcnn bench`" in result.stderr
    assert said in result.stderr


def test_an_answer_is_held_to_the_reference_where_it_is_known_and_to_the_first_library_where_not(tmp_path):
    truth = TINY.truth("training", TINY.arrays("training"))
    assert truth[0].tolist() == [0, 1, 2, 3, 4]
    right = truth[1]
    off = right.copy()
    off.flat[: off.size // 4] += 1
    workers = [
        Fake(name, [], result=result)
        for name, result in (("off", off), ("right", right), ("scalar", right.flat[0]), ("none", None))
    ]
    said = {"off": 0.75, "right": 1.0, "scalar": 0.0, "none": 0.0}

    def agreement_of(workers, truth):
        entries = [measure.Entry(TINY, "training", worker) for worker in workers]
        measure.hold_to(truth, entries, tmp_path)
        return {entry.worker.name: entry.agrees for entry in entries}

    assert agreement_of(workers[:2], truth) == {name: said[name] for name in ("off", "right")}
    assert agreement_of([workers[0]], truth) == {"off": 0.75}
    assert agreement_of(workers[1:], None) == {name: said[name] for name in ("right", "scalar", "none")}
    assert agreement_of(workers[:2], None) == {"off": 1.0, "right": 0.75}
    assert agreement_of([workers[0]], None) == {"off": None}


def test_of_many_rois_a_few_are_held_to_the_reference():
    case = replace(TINY, R=1000)
    rows, expected = case.truth("inference", case.arrays("inference"))
    assert (len(rows), rows[0], rows[-1]) == (roi_pool.CHECKED, 0, 999)
    assert expected.shape == (roi_pool.CHECKED, 3, 2, 2)


def test_a_share_is_a_hundred_per_cent_only_of_the_whole():
    assert [share(part) for part in (1, 1 - 1e-9, 0.5, 0)] == ["100 %", "99.99 %", "50.00 %", "0.00 %"]


def test_seconds_are_those_of_one_call_from_an_idle_device_to_an_idle_device(monkeypatch):
    now = [0.0]

    def passes(seconds):
        now[0] += seconds

    monkeypatch.setattr(serve.time, "perf_counter", lambda: now[0])
    assert serve.timed(lambda: passes(2), 4, lambda: passes(1)) == (4 * 2 + 1) / 4


def test_the_peak_counts_what_is_kept():
    memory, kept = serve.Memory(), []
    memory.begin()
    if memory.before is None:
        pytest.skip("this system does not say what a process holds")
    kept.append(np.ones(2**23))  # 67 MB; the kernel counts pages in batches
    assert 6e7 < memory.most() < 9e7
    kept.clear()
    assert 6e7 < memory.most() < 9e7


def test_bytes_are_those_of_the_arrays():
    assert nms.CASES["image"].bytes("nms") == 20 * 2000 * (4 + 1) * 4
    R, K = 128, 20
    assert loss.Case("x", R=R, K=K).bytes("loss") == loss_bytes(R, K)
    assert svd.Case("x", u=6, v=9, t=2).bytes("svd") == 4 * (6 * 9 + 6 * 2 + 2 * 9)


def loss_bytes(R, K):
    """Scores and deltas, read and written as gradients; labels of 8 bytes and four targets, read."""
    return R * (2 * 4 * 5 * (K + 1) + 8 + 4 * 4)


def test_the_copy_counts_what_it_reads_and_what_it_writes(monkeypatch):
    monkeypatch.setattr(measure, "Worker", lambda name, *_: Fake(name, []))
    monkeypatch.setattr(Fake, "versions", {}, raising=False)
    found = measure.measure({"copy": "", "a": ""}, [], ["inference"], 3, 1, Console(quiet=True))
    assert found["copy_bytes_a_second"] == 2 * 2**28 / 1.0


def test_a_worker_that_is_killed_between_two_requests_is_named(tmp_path):
    with Worker("copy", sys.executable, 1, tmp_path) as copy:
        os.kill(copy._process.pid, signal.SIGKILL)
        copy._process.wait()
        with pytest.raises(WorkerError, match="worker copy ended with status -9: it said nothing"):
            copy.time(1)


def test_a_worker_that_is_silent_is_ended_and_begins_anew_with_the_next_call(tmp_path, monkeypatch):
    file = tmp_path / "case.npz"
    measure.put(TINY, "inference", file)
    with Worker("frcnn-torch", sys.executable, 1, tmp_path) as torch:
        before = torch._process.pid
        os.kill(before, signal.SIGSTOP)
        monkeypatch.setattr(worker, "PATIENCE", 0.1)
        with pytest.raises(WorkerError, match=r"worker frcnn-torch gave no answer for 0\.1 s"):
            torch.time(1)
        assert not runs(before)
        monkeypatch.undo()
        assert torch.prepare(file, "inference") is None
        assert torch.time(1) > 0


@pytest.mark.parametrize("fails_in", ["prepare", "answer", "time", "another", "release"])
def test_a_library_that_fails_on_the_way_has_no_figure_and_the_others_keep_theirs(tmp_path, monkeypatch, fails_in):
    def fail(*_):
        raise WorkerError("it ended with status -11")

    result = TINY.truth("inference", TINY.arrays("inference"))[1]
    good, bad = (Fake(name, [], result=result) for name in ("good", "bad"))
    monkeypatch.setattr(bad, fails_in, fail)
    first, second = measure.rows_of_case(TINY, "inference", [bad, good], tmp_path / "case.npz", 3)
    assert (first["seconds"], first["lacks"], first["failed"]) == (None, "it ended with status -11", True)
    assert (len(second["seconds"]), second["agrees"], second["lacks"], second["failed"]) == (3, 1.0, None, False)
    (alone,) = measure.rows_of_library([TINY], "inference", [bad], tmp_path / "case.npz", 3)
    assert (alone["seconds"], alone["lacks"]) == (None, "it ended with status -11")


def test_the_command_writes_what_was_measured_names_what_failed_and_ends_with_1(tmp_path, monkeypatch):
    def fail(worker, *_):
        raise WorkerError(f"worker {worker.name} ended with status -11: it said nothing")

    monkeypatch.setitem(CASES, "A", TINY)
    monkeypatch.setattr(Worker, "answer", fail)
    words = ("bench", "roi-pool", "--case", "A", "--mode", "training", "--library", "frcnn-torch", "--rounds", "1")
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "found")])
    assert result.exit_code == 1
    said = "frcnn-torch (tiny, training): worker frcnn-torch ended with status -11: it said nothing"
    assert f"Error: not everything was measured:\n{said}\n" in result.stderr
    assert said.partition(": ")[2] in (tmp_path / "found.md").read_text()


def test_what_a_worker_says_that_is_no_answer_is_quoted_and_nothing_of_it_goes_on(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nsleep 1000 &\necho $! > " + str(tmp_path / "pid") + "\necho hello\nsleep 1000\n")
    python.chmod(0o755)
    with pytest.raises(WorkerError, match="worker copy said 'hello' where an answer was due"):
        Worker("copy", python, 1, tmp_path)
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10  # a process that was killed is still there for a moment
    while runs(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def runs(process):
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_libraries_take_turns_and_the_first_rounds_are_not_counted():
    asked: list = []
    first, second = rounds.interleaved([Fake("a", asked), Fake("b", asked)], 3)
    assert in_rounds(asked[4:], 2) == [{"a", "b"}] * 5
    assert first.seconds == second.seconds == [2.0] * 3
    assert (first.median, first.spread) == (2.0, 0.0)


def test_the_exponent_of_a_power_is_found():
    rows = [{"case": case.sizes(), "seconds": [3 * case.R**1.5]} for case in GROWTH["R"]]
    assert growth.fitted(rows, "R") == pytest.approx(1.5, abs=1e-9)
    assert growth.size_of(A.sizes(), "H W") == A.H * A.W
    assert growth.size_of(A.sizes(), "P") == A.P**2


def test_the_ends_of_a_curve_have_exponents_of_their_own():
    seconds = [1.0 if case.R <= 64 else case.R**2 for case in GROWTH["R"]]
    rows = [
        {"case": case.sizes(), "seconds": [time], "library": "a", "mode": "m"}
        for case, time in zip(GROWTH["R"], seconds, strict=True)
    ]
    (found,) = growth.exponents({"R": rows[::-1]})
    assert (found["first"], found["last"]) == (pytest.approx(0, abs=1e-9), pytest.approx(2))


def test_of_growth_the_page_shows_the_exponents_and_not_each_size():
    timed = [{"case": case.sizes(), "seconds": [1e-6 * case.R], "library": "a", "mode": "m"} for case in GROWTH["R"]]
    others = {"bytes": 1, "agrees": None, "peak_bytes": None, "lacks": None}
    found = growth.exponents({"R": [row | others for row in timed], "C": [timed[0] | others]})
    one = pytest.approx(1)
    exponents = {"exponent": one, "first": one, "last": one}
    assert found == [{"axis": "R", "library": "a", "mode": "m", "from": 16, "to": 45_000} | exponents]
    results = results_of() | {"rows": [row | others for row in timed], "growth": found}
    text = page.page({"run": results}, {})
    (line,) = (line for line in text.splitlines() if line.startswith("| RoIs"))
    assert [cell.strip() for cell in line.split("|")[1:-1]] == ["RoIs", "16", "45000", "a", "m", *3 * ["1.00"]]
    assert "R=16" not in text
    assert "R=16" in as_markdown(results)


def test_a_plot_of_growth_is_a_png_and_an_svg(tmp_path):
    rows = [
        {"case": case.sizes(), "seconds": [case.R / 1e6], "library": "a", "mode": "inference"} for case in GROWTH["R"]
    ]
    untimed = [row | {"library": "b", "seconds": None} for row in rows]
    growth.plot(tmp_path / "plot", {"R": rows + untimed, "C": []})
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert "</svg>" in (tmp_path / "plot.svg").read_text()


def test_rois_are_whole_within_their_images_and_as_large_as_said():
    for case in (A, TINY):
        rois = case.arrays("inference")["rois"]
        assert rois.shape == (case.R, 5)
        assert set(rois[:, 0]) <= set(range(case.N))
        sides = rois[:, 3:] - rois[:, 1:3] + 1
        assert (rois[:, 1:3] >= 0).all()
        assert (rois[:, 3:] <= [case.W * 16 - 1 + 1e-3, case.H * 16 - 1 + 1e-3]).all()
        assert (sides >= 15.99).all()
    assert (sides <= [192.01, 160.01]).all()
    assert "grad" in TINY.arrays("backward")


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch):
    monkeypatch.setitem(CASES, "A", TINY)
    words = ("bench", "roi-pool", "--case", "A", "--mode", "inference", "--library", "frcnn-torch", "--rounds", "1")
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "new" / "found")])
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "new" / "found.json").read_text())
    (row,) = found["rows"]
    assert row["case"] == TINY.sizes()
    assert f"wanted to run when it began: {found['load']:.2f}" in result.stdout
    assert f"{1e3 * statistics.median(row['seconds']):.3g}" in result.stdout
    assert (tmp_path / "new" / "found.md").read_text() in result.stdout


@pytest.mark.parametrize(
    ("benchmark", "case"),
    [
        (nms, nms.Case("few", R=30, K=3)),
        (loss, loss.Case("few", R=8, K=3)),
        (svd, svd.Case("small", u=6, v=9, t=2)),
        (train_step, train_step.Case("small", "I", "instant", H=64, W=80)),
        (detect, detect.Case("small", "I", "instant", H=60, W=80, R=20, t=5)),
    ],
    ids=["nms", "loss", "svd", "train_step", "detect"],
)
def test_the_other_operators_run_in_both_frameworks_and_answer_alike(benchmark, case):
    pythons = dict.fromkeys(("copy", *benchmark.HERE), sys.executable)
    rows = measure.measure(pythons, [case], benchmark.MODES, 1, 1, Console(quiet=True))["rows"]
    assert [row["library"] for row in rows] == len(benchmark.MODES) * list(benchmark.HERE)
    assert all(row["seconds"][0] > 0 and row["lacks"] is None for row in rows)
    if benchmark in (nms, loss, svd):
        exact = [row for row in rows if row["library"] != "torch-lowrank"]  # which is randomised
        assert {row["agrees"] for row in exact} == {1.0}


def results_of(**milliseconds):
    """A file of results of case A and the dense boxes, "library, mode" -> milliseconds."""
    rows = []
    for place, value in milliseconds.items():
        library, case, mode = place.split("/")
        sizes = CASES[case].sizes()
        row = {"case": sizes, "mode": mode, "library": library, "seconds": [value / 1e3], "bytes": 1, "agrees": None}
        rows.append(row | {"peak_bytes": None, "lacks": None})
    return MACHINE | {"threads": 2, "rounds": 1, "versions": {}, "copy_bytes_a_second": 1.0, "rows": rows}


def test_the_page_says_what_of_the_goals_is_reached_and_what_is_missed():
    found = results_of(
        **{"frcnn-torch/A/inference": 1, "frcnn-tf/A/inference": 2, "openvino/A/inference": 5},
        **{"frcnn-torch/A/backward": 1, "mxnet/A/backward": 1.5, "torchvision/A/backward": 7},
    )
    growing = results_of() | {"growth": []}
    text = page.page({"run": found, "growing": growing}, {"run": "run.png", "growing": "growing.png"})
    lines = [
        line.split("|")[2:-1] for line in text.splitlines() if line.startswith("| forward") or "| backward" in line
    ]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["A", "frcnn-torch", "5.00 x", "3", "5", "aim reached"],
        ["A", "frcnn-tf", "2.50 x", "3", "5", "missed"],
        ["A", "frcnn-torch", "1.50 x", "1", "2", "reached"],
    ]
    assert "![how the time grows](growing.png)" in text
    assert "run.png" not in text  # of a run before this one
    assert "nothing is said of the Triton kernels" in text
    assert "## What was tried and is not there\n\nMeasured by hand" in text


def test_the_page_judges_only_what_took_turns_with_two_threads_and_answered_right():
    figures = {"frcnn-torch/dense/inference": 20, "frcnn-torch/B/inference": 1, "openvino/B/inference": 4.999}
    found = results_of(**figures)

    def judged(found):
        lines = page.page({"run": found}, {}).splitlines()
        return [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines if line.startswith("| forward ")]

    assert judged(found) == [["B", "frcnn-torch", "4.999 x", "3", "5", "reached"]]
    assert judged(found | {"cases_in_turn": True}) == [["dense", "frcnn-torch", "0.89", "1", "0.5", "reached"]]
    assert judged(found | {"threads": 4}) == []
    wrong = found | {"rows": [row | {"agrees": 0.999999} for row in found["rows"]]}
    assert judged(wrong) == [["B", "frcnn-torch", "4.999 x", "3", "5", "agrees in 99.99 % alone"]]


def test_a_figure_has_the_interval_that_its_rounds_leave_and_a_verdict_says_where_its_limit_is_within():
    def figure(own, peer):
        return page.Figure(lambda own, peer: peer / own, [own, peer], "{} x")

    steady = figure([1.0] * 11, [4.0] * 11)
    assert (steady.value, steady.low, steady.high) == (4.0, 4.0, 4.0)
    assert steady.text([3, 5]) == "4.00 x (4.00 to 4.00)"
    assert [steady.verdict([must, 2 * must], least=True) for must in (2, 3, 5)] == ["aim reached", "reached", "missed"]
    assert [steady.verdict([must, must / 2], least=False) for must in (3, 5, 8)] == ["missed", "reached", "aim reached"]
    loose = figure([1.0] * 11, [3.0, 5.0] * 5 + [4.0])
    assert (loose.low, loose.value, loose.high) == (3.0, 4.0, 5.0)
    said = [loose.verdict([must, 9], least=True) for must in (2.9, 3.5, 4.5, 5.1)]
    assert said == ["reached", "reached, not beyond doubt", "missed, not beyond doubt", "missed"]
    assert loose.verdict([2, 3.5], least=True) == "aim reached, not beyond doubt"
    once = figure([1.0], [4.0])
    assert (once.text([]), once.verdict([4, 9], least=True)) == ("4.00 x", "reached")


def test_a_goal_that_asks_for_nothing_is_shown_without_a_verdict():
    figures = {"frcnn-torch/A/inference, contiguous": 1, "openvino/A/inference, contiguous": 2.5}
    text = page.page({"run": results_of(**figures)}, {})
    (line,) = (line for line in text.splitlines() if "channels first on both sides, against OpenVINO" in line)
    assert [cell.strip() for cell in line.split("|")[2:-1]] == ["A", "frcnn-torch", "2.50 x", "-", "-", ""]


def test_results_of_one_name_are_not_dropped(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "found.json").write_text(json.dumps(results_of()))
    result = CliRunner().invoke(main, ["bench", "page", *(str(tmp_path / f / "found.json") for f in ("a", "b"))])
    assert (result.exit_code, "two files are named found" in result.stderr) == (2, True)


def test_a_name_with_a_dot_keeps_what_is_behind_it(tmp_path, monkeypatch):
    monkeypatch.setitem(CASES, "A", TINY)
    words = ("bench", "roi-pool", "--case", "A", "--mode", "inference", "--library", "frcnn-torch", "--rounds", "1")
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "torch-2.13")])
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["torch-2.13.json", "torch-2.13.md"]


def test_on_a_gpu_its_own_goals_count_and_the_page_no_longer_says_that_there_is_none():
    found = results_of(**{"frcnn-torch/B/inference": 1, "torchvision/B/inference": 4}) | {"device": "cuda"}
    found |= {"rows": [row | {"bytes": 700} for row in found["rows"]], "copy_bytes_a_second": 1e6}
    text = page.page({"run": found}, {})
    lines = [line.split("|")[3:-1] for line in text.splitlines() if "| B |" in line]
    assert [[cell.strip() for cell in line] for line in lines] == [
        ["frcnn-torch", "4.00 x", "3", "6", "reached"],
        ["frcnn-torch", "70.00 %", "60", "80", "reached"],
    ]
    assert "nothing is said of the Triton kernels" not in text


def test_the_kept_page_is_what_the_command_makes_of_the_kept_results(tmp_path):
    root = Path(__file__).parent.parent
    results = sorted(map(str, (root / "benchmarks" / "results").glob("*.json")))
    kept = root / "docs" / "performance.md"
    made = tmp_path / "docs" / "performance.md"
    made.parent.mkdir()
    result = CliRunner().invoke(main, ["bench", "page", *results, "--into", str(made)])
    assert result.exit_code == 0, result.output

    def without_paths(text):
        return re.sub(r"\(\S*results/", "(results/", text)

    assert without_paths(made.read_text()) == without_paths(kept.read_text())


def test_what_there_is_not_is_refused_by_name():
    for words, said in (
        (("--case", "Z"), "'Z' is none of A; B; dense"),
        (("--mode", "fast"), "'fast' is none of inference; inference, contiguous; training"),
        (("--peer", "caffe=python"), "'caffe=python' must be one of copy, frcnn-tf"),
        (("--growth", "--cases-in-turn"), "--growth has cases of its own"),
        (("--growth", "--case", "A"), "--growth has cases of its own"),
        (("--peer", "opencv=a", "--peer", "opencv=b"), "two Pythons are given for opencv"),
        (("--out", "/dev/null/x"), "--out: "),
        (("--out", "."), "--out must end in a name"),
    ):
        result = CliRunner().invoke(main, ["bench", "roi-pool", *words])
        assert result.exit_code == 2
        assert said in result.stderr
    assert {"openvino", "torchvision", "mxnet"} <= set(names())
