"""The report of a reproduction: its id, its invariants, and how it reads."""

import json
import platform
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from frcnn import machine
from frcnn.cli import main
from frcnn.repro import report
from frcnn.repro.results import quoted, read_paper


def lines(**changes):
    """Header, two runs, and their results for two classes."""
    head = {
        "kind": "header",
        "format": 1,
        "frcnn": "0.1.0",
        "commit": None,
        "code": "c" * 64,
        "tier": "short",
        "tier_because": "The tier was asked for.",
        "source": "short.toml",
        "recipe": {"goal_map": 0.25, "seed": 3, "iterations": 7},
        "method": "11-point",
        "data": {"name": "voc07", "train": split("train"), "test": split("val")},
        "proposals": {"source": "boxes.npz", "boxes": 12, "sha256": "b" * 64},
        "weights": {"file": "w.npz", "sha256": "e" * 64, "given": ["conv1"], "drawn": ["fc6", "cls_score"]},
        "paper": quoted(read_paper()),
        "setting": {"precision": "float32"},
        "not_comparable": ["test set: val, the paper's test"],
        "conformance": [],
        "machine": {"cores": 2},
        "versions": {"numpy": "2.4.6"},
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": {"reading": 1.0},
    }
    body = []
    for backend, ap, reached in (("torch", 0.3, True), ("tf", 0.2, False)):
        table = {"classes": [row("aeroplane", ap, 0.745), row("ball", None, None)]}
        body += [run(backend, ap, reached), *report.results(backend, table, head["not_comparable"])]
    return [head | changes, *body]


def split(name):
    return {"year": "2007", "set": name, "photographs": 9, "objects": 20, "skipped": [], "digest": name * 9}


def row(name, ap, paper):
    return {"class": name, "objects": 4, "detections": 5, "11-point": ap, "area": ap, "paper": paper}


def run(backend, ap, reached, svd=None):
    return {
        "kind": "run",
        "backend": backend,
        "version": f"{backend} 1.0",
        "device": "cpu",
        "iterations": 7,
        "mean": {"11-point": ap, "area": ap},
        "goal_reached": reached,
        "checkpoint": f"{backend}/train/iteration_000007.safetensors",
        "sha256": "d" * 64,
        "losses": {"first": 2.0, "mean_of_last": 1.0, "last": 7},
        "mistakes": {},
        "svd": svd,
        "seconds": {"training": 3.5} | dict.fromkeys(report.AN_IMAGE, 0.25) | {"by SVD, a photograph": 0.5},
    }


def cells(text, first):
    """The rows of the Markdown's tables that begin with a word."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return [own for own in rows if own[0] == first]


def test_what_is_written_is_read_back_and_its_footer_names_who_missed_the_goal(tmp_path):
    footer = report.write(tmp_path, lines())
    assert (footer["verdict"], footer["missed"]) == ("failed", ["tf"])
    assert report.read(tmp_path / "report.jsonl") == [*lines(), footer]


def test_a_run_without_a_goal_has_passed():
    body = [line | {"goal_reached": None} if line["kind"] == "run" else line for line in lines()]
    assert report.footer(body)["verdict"] == "passed"


def test_the_id_is_that_of_the_figures_and_not_of_the_times():
    own = report.report_id(lines())
    assert report.report_id(lines(started="later", seconds={"reading": 2.0})) == own
    assert report.report_id(lines(commit="abc")) != own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace('"11-point": 0.3', '"11-point": 0.7'), "altered: its lines do not have the id"),
        (lambda text: "\n".join(text.splitlines()[:-1]), "cut short"),
        (lambda text: text[:-20], "is no report of a reproduction"),
        (lambda text: "[1]\n[2]\n", "is no report of a reproduction"),
        (
            lambda text: text.replace('"verdict": "failed"', '"verdict": "passed"'),
            "amount to the verdict of its footer",
        ),
        (lambda text: text.replace('"missed": ["tf"]', '"missed": []'), "amount to the missed of its footer"),
        (lambda text: text.replace('"seconds": {"reading"', '"minutes": {"reading"'), "line 1, .* it lacks seconds"),
        (lambda text: text.replace('"goal_reached": true, ', ""), "line 2, is no run .* it lacks goal_reached"),
        (lambda text: text.replace('"kind": "result"', '"kind": "guess"'), "line 3, is of kind 'guess'"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "is of format 2, and this frcnn reads 1"),
        (lambda text: '{"kind": "header"}\n{"kind": "footer"}\n', "line 1, .* it lacks format"),
    ],
)
def test_a_report_that_was_changed_is_refused_by_name(tmp_path, change, message):
    report.write(tmp_path, lines())
    file = tmp_path / "report.jsonl"
    file.write_text(change(file.read_text()))
    with pytest.raises(report.InvalidReport, match=f"report.jsonl.* {message}"):
        report.read(file)


def typed(*words):
    return CliRunner().invoke(main, ["report", *map(str, words)])


@pytest.mark.parametrize("kept", sorted((Path(__file__).parents[2] / "repro" / "results").rglob("report.jsonl")))
def test_a_report_that_is_kept_is_verified_by_the_command_that_verifies_the_suite_s(kept):
    head, *_, foot = report.read(kept)
    answer = typed("verify", kept)
    assert answer.exit_code == 0, answer.output
    for fact in (f"tier {head['tier']}, seed {head['recipe']['seed']}", foot["verdict"], f"id {foot['id']}"):
        assert fact in answer.output


def test_the_command_names_the_report_that_was_changed_and_every_framework_of_one_that_was_not(tmp_path):
    footer = report.write(tmp_path, lines())
    file = tmp_path / "report.jsonl"
    means = "torch (torch 1.0) mean AP 30.0, tf (tf 1.0) mean AP 20.0: failed"
    assert typed("verify", file).output == f"{file}: reproduction of tier short, seed 3, {means}, id {footer['id']}\n"
    file.write_text(file.read_text().replace('"11-point": 0.3', '"11-point": 0.7'))
    answer = typed("verify", file)
    assert (answer.exit_code, "altered" in answer.stderr) == (1, True), answer.output


@pytest.mark.parametrize("made", ["table", "page"])
def test_what_is_made_of_the_suite_s_reports_is_not_made_of_these_and_names_what_is(tmp_path, made):
    report.write(tmp_path, lines())
    answer = typed(made, tmp_path / "report.jsonl")
    assert (answer.exit_code, "`frcnn repro page`" in answer.stderr) == (1, True), answer.output


def test_the_suite_s_report_is_no_report_of_a_reproduction():
    with pytest.raises(report.InvalidReport, match="line 1, is no header of a reproduction"):
        report.read(Path(__file__).parents[2] / "docs" / "conformance" / "torch.jsonl")


def test_every_figure_stands_beside_the_other_framework_s_and_the_paper_s(tmp_path):
    report.write(tmp_path, lines())
    text = (tmp_path / "report.md").read_text()
    assert cells(text, "aeroplane") == [["aeroplane", "4", "30.0", "20.0", "74.5"]]
    assert cells(text, "ball") == [["ball", "4", "-", "-", "-"]]
    assert cells(text, "**mean**") == [["**mean**", "", "**30.0**", "**20.0**", "**66.9**"]]
    assert [row[-3:] for row in cells(text, "torch")[:1] + cells(text, "tf")[:1]] == [
        ["25.0", "reached", "66.9 (67.0 to 67.4 by seed; not comparable)"],
        ["25.0", "missed", "66.9 (67.0 to 67.4 by seed; not comparable)"],
    ]
    assert "The backends' means are 10.0 points apart" in text
    assert "- test set: val, the paper's test" in text
    for fact in ("`" + "e" * 64 + "`", "initialised, not pre-trained: fc6, cls_score", "seed 3, 7 iterations"):
        assert fact in text
    assert "conformance reports: none was given" in text


def test_costs_stand_above_the_paper_s_with_what_svd_takes_and_gives():
    own = lines()
    own[1] |= {"svd": {"ranks": {"fc6": 9}, "mean": {"11-point": 0.28, "area": 0.2}}}
    text = report.as_markdown([*own, report.footer(own)])
    assert cells(text, "torch, cpu, float32") == [
        ["torch, cpu, float32", "0.00", "2.00", "1.000", "0.500", "28.0", "2.0"]
    ]
    assert cells(text, "tf, cpu, float32") == [["tf, cpu, float32", "0.00", "2.00", "1.000", "-", "-", "-"]]
    paper = "the paper, one Nvidia K40, float32"
    assert cells(text, paper) == [[paper, "9.50", "1.17", "0.320", "0.220", "66.6", "0.3"]]
    assert "By SVD: fc6 with 9 singular values; the paper's: fc6 with 1024 singular values, fc7 with 256" in text


def test_a_setting_that_is_the_paper_s_is_said_to_be_and_conformance_reports_are_named():
    one = {"backend": "torch", "version": "torch 2.13.0", "verdict": "passed", "id": "f" * 64}
    whole = lines(not_comparable=[], conformance=[one])
    text = report.as_markdown([*whole, report.footer(whole)])
    assert "The setting is that of table 1 of arXiv:1504.08083v2." in text
    assert "comparable" not in text
    assert "conformance reports: torch (torch 2.13.0) passed, id `" + "f" * 64 + "`" in text


def test_the_page_has_the_same_tables_and_a_name_with_html_in_it_stays_text():
    class Tags(HTMLParser):
        def __init__(self):
            super().__init__()
            self.found = []

        def handle_starttag(self, tag, attributes):
            self.found.append(tag)

    evil = lines(proposals={"source": "<script>alert(1)</script>.npz", "boxes": 1, "sha256": "0"})
    page, tags = report.as_html(report.as_markdown([*evil, report.footer(evil)])), Tags()
    tags.feed(page)
    assert tags.found.count("table") == 4
    assert "script" not in tags.found
    assert "&lt;script&gt;" in page


def test_boxes_have_another_digest_when_one_moves_to_another_photograph():
    import numpy as np

    one, two = np.float32([[0, 0, 1, 1]]), np.float32([[0, 0, 2, 2]])
    both = np.concatenate([one, two])
    digests = [
        report.boxes_digest(boxes) for boxes in ({"a": one, "b": two}, {"a": two, "b": one}, {"a": both, "b": both[:0]})
    ]
    assert len(set(digests)) == 3


def test_the_commit_is_what_nox_says_it_is(monkeypatch):
    monkeypatch.setenv(machine.COMMIT, "abc-dirty")
    assert report.commit() == "abc-dirty"


def test_a_header_is_json_and_does_not_say_where_it_was_made():
    text = json.dumps(report.header(tier="short"))
    assert str(Path(report.__file__).parent) not in text
    assert platform.node() not in text
