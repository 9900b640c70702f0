"""A reproduction's report: what was trained and tested, on what, and every figure beside the paper's.

JSON lines: a header (data, weights, recipe, versions, machine), one line a backend (`run`), one line a backend and
class (`result`), a footer (verdict, id). The id is a hash of everything but times, as a conformance report's is. The
same is written as Markdown and HTML, to be read.
"""

import hashlib
import html
import importlib.metadata
import importlib.resources
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

import frcnn
from frcnn.machine import commit, machine
from frcnn.reference.evaluation import METHODS
from frcnn.repro.results import per_cent
from frcnn.repro.testing import PARTS
from frcnn.whole_file import whole_file

FORMAT = 1
TIMES = ("started", "finished", "seconds")
LIBRARIES = ("numpy", "opencv-contrib-python-headless", "scipy", "safetensors")
AN_IMAGE = tuple(f"{part}, a photograph" for part in PARTS)
REACHED = {True: "reached", False: "missed", None: "-"}
# What every line has, by its kind. Older reports' headers lack the commit or the backends that were asked for.
FIELDS = {
    "header": "format frcnn code tier tier_because source recipe method data proposals weights setting paper "
    "not_comparable conformance started seconds machine versions",
    "run": "backend version device iterations mean goal_reached checkpoint sha256 mistakes svd seconds losses",
    "result": f"backend class objects {' '.join(METHODS)} paper not_comparable",
    "footer": "verdict missed id finished",
}


class InvalidReport(ValueError):
    """A report that is not what its footer says it is; the sentence names the file."""


def header(**facts):
    """The first line: facts of the run (see run.py), and what it ran on."""
    return {
        "kind": "header",
        "format": FORMAT,
        "frcnn": frcnn.__version__,
        "commit": commit(),
        "code": code_digest(),
        **facts,
        "machine": machine(),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def results(backend, table, reasons):
    """One line a class of what results.as_json gave. reasons: why it is not comparable with the paper's, if any."""
    return [{"kind": "result", "backend": backend, **row, "not_comparable": reasons} for row in table["classes"]]


def footer(lines):
    """The last line. A run without a goal has passed when it has come to its end."""
    missed = [run["backend"] for run in runs_of(lines) if run["goal_reached"] is False]
    verdict = "failed" if missed else "passed"
    return {"kind": "footer", "verdict": verdict, "missed": missed, "id": report_id(lines), "finished": now()}


def report_id(lines):
    """sha256 over the lines without their times."""
    text = "\n".join(json.dumps({k: v for k, v in line.items() if k not in TIMES}, sort_keys=True) for line in lines)
    return hashlib.sha256(text.encode()).hexdigest()


def write(folder, lines):
    """report.jsonl, report.md and report.html. lines: header, runs and results; the footer is added and returned."""
    lines = [*lines, footer(lines)]
    text = as_markdown(lines)
    _write(folder / "report.jsonl", "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines))
    _write(folder / "report.md", text)
    _write(folder / "report.html", as_html(text))
    return lines[-1]


def read(path):
    """The lines of a report.jsonl, of which the last is the footer. Raises InvalidReport."""
    path = Path(path)
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InvalidReport(f"{path} is no report of a reproduction: {error}") from None
    if not all(isinstance(line, dict) for line in lines):
        raise InvalidReport(f"{path} is no report of a reproduction: each line must be an object")
    kinds = [line.get("kind") for line in lines]
    if len(lines) < 2 or (kinds[0], kinds[-1]) != ("header", "footer"):
        raise InvalidReport(f"{path} is cut short: it has no header or no footer")
    for number, line in enumerate(lines, 1):
        if line.get("kind") not in FIELDS:
            raise InvalidReport(f"{path}, line {number}, is of kind {line.get('kind')!r}, none of {', '.join(FIELDS)}")
        if lacking := [name for name in FIELDS[line["kind"]].split() if name not in line]:
            raise InvalidReport(f"{path}, line {number}, is no {line['kind']} of a reproduction: it lacks {lacking[0]}")
    if lines[0]["format"] != FORMAT:
        raise InvalidReport(f"{path} is of format {lines[0]['format']}, and this frcnn reads {FORMAT}")
    if lines[-1]["id"] != report_id(lines[:-1]):
        raise InvalidReport(f"{path} was altered: its lines do not have the id {str(lines[-1]['id'])[:12]}")
    summed_up = footer(lines[:-1])
    if wrong := [name for name in summed_up if name != "finished" and summed_up[name] != lines[-1][name]]:
        raise InvalidReport(
            f"{path} was altered: its lines do not amount to the {' and the '.join(wrong)} of its footer"
        )
    return lines


def runs_of(lines):
    """A report's lines of runs, one a backend."""
    return [line for line in lines if line["kind"] == "run"]


def seconds_a_photograph(run):
    """What testing one photograph took, all parts together."""
    return sum(run["seconds"][name] for name in AN_IMAGE)


def as_markdown(lines):
    """The report, to be read; figures in per cent, as in the paper."""
    head, foot = lines[0], lines[-1]
    runs = runs_of(lines)
    parts = [f"# Fast R-CNN on {head['data']['name']}, tier {head['tier']}: {foot['verdict']}"]
    parts.append(f"Report `{foot['id']}`, {head['started']} to {foot['finished']}. {head['tier_because']}")
    parts.append(_summary(head, runs))
    done = [run["backend"] for run in runs]
    if left := [backend for backend in head.get("backends", done) if backend not in done]:  # older reports lack it
        parts.append(f"Not yet run: {', '.join(left)}.")
    if len(runs) > 1:
        means = [run["mean"][head["method"]] for run in runs]
        if None not in means:
            apart = 100 * (max(means) - min(means))
            parts.append(f"The backends' means are {apart:.1f} points apart, from the same photographs and seed.")
    parts.append("## Class by class\n\n" + _classes(lines, head, runs))
    source = f"table {head['paper']['table']} of {head['paper']['source']}"
    if head["not_comparable"]:
        reasons = "\n".join(f"- {reason}" for reason in head["not_comparable"])
        parts.append(f"**Not comparable** with {source}:\n\n{reasons}")
    else:
        parts.append(f"The setting is that of {source}.")
    parts.append("## Costs\n\n" + _costs(head, runs))
    parts.append("## What it was made from\n\n" + _made_from(head, runs))
    parts.append("## Seconds\n\n" + _seconds(head, runs))
    parts.append("## Pictures\n\n" + _pictures(runs))
    return "\n\n".join(parts) + "\n"


def as_html(text):
    """A page of the Markdown; HTML in it stays text."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    title = html.escape(text.partition("\n")[0].lstrip("# "))
    style = "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    style += "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em}"
    style += "li,p,code{overflow-wrap:anywhere}img{max-width:100%}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head>\n<body>\n{body}</body></html>\n"
    )


def _summary(head, runs):
    goal, paper = head["recipe"]["goal_map"], head["paper"]
    band = " to ".join(per_cent(end) for end in paper["band"])
    unlike = "; not comparable" if head["not_comparable"] else ""
    the_paper = f"{per_cent(paper['mean'])} ({band} by seed{unlike})"
    rows = [
        [
            run["backend"],
            run["version"],
            run["device"],
            run["iterations"],
            *(per_cent(run["mean"][method]) for method in METHODS),
            per_cent(goal),
            REACHED[run["goal_reached"]],
            the_paper,
        ]
        for run in runs
    ]
    means = [f"mean AP, {method}" for method in METHODS]
    return _table(rows, ["backend", "version", "device", "iterations", *means, "goal", "", "the paper"], left=3)


def _classes(lines, head, runs):
    found = {(line["backend"], line["class"]): line for line in lines if line["kind"] == "result"}
    backends, method = [run["backend"] for run in runs], head["method"]
    rows = []
    for name in dict.fromkeys(name for _, name in found):
        own = [found[backend, name] for backend in backends]
        aps = [per_cent(line[method]) for line in own]
        rows.append([name, own[0]["objects"], *aps, per_cent(own[0]["paper"])])
    means = [f"**{per_cent(run['mean'][method])}**" for run in runs]
    rows.append(["**mean**", "", *means, f"**{per_cent(head['paper']['mean'])}**"])
    paper = "the paper" + (", not comparable" if head["not_comparable"] else "")
    return f"AP, {method}.\n\n" + _table(rows, ["class", "objects", *backends, paper], left=1)


def _costs(head, runs):
    """Speed, and what SVD takes and gives, above the paper's on the device that it had."""
    paper, method = head["paper"], head["method"]
    rows = []
    for run in runs:
        seconds, svd = run["seconds"], run["svd"]
        training, mean = seconds["training"], run["mean"][method]
        cut = svd and svd["mean"][method]
        rows.append(
            [
                f"{run['backend']}, {run['device']}, {head['setting']['precision']}",
                f"{training / 3600:.2f}",
                f"{run['iterations'] / training:.2f}",
                f"{seconds_a_photograph(run):.3f}",
                f"{seconds['by SVD, a photograph']:.3f}" if svd else "-",
                per_cent(cut),
                per_cent(None if None in (cut, mean) else mean - cut),
            ]
        )
    costs, svd = paper["costs"], paper["svd"]
    hours = costs["training_hours"]
    rows.append(
        [
            f"the paper, {costs['device']}, float32",
            f"{hours:.2f}",
            f"{paper['iterations'] / hours / 3600:.2f}",
            f"{costs['seconds_an_image']:.3f}",
            f"{svd['seconds_an_image']:.3f}",
            per_cent(svd["mean"]),
            per_cent(paper["mean"] - svd["mean"]),
        ]
    )
    headings = ["", "hours of training", "iterations a second", "seconds a photograph"]
    headings += ["by SVD", f"AP by SVD, {method}", "points lost"]
    kept = {layer: rank for run in runs if run["svd"] for layer, rank in run["svd"]["ranks"].items()}
    note = "Proposals are not counted. "
    if kept:
        note += "By SVD: " + _kept(kept) + f"; the paper's: {_kept(svd['ranks'])}."
    else:
        note += "Nothing was tested by SVD; `--svd` does."
    return f"{note}\n\n" + _table(rows, headings, left=1)


def _kept(ranks):
    return ", ".join(f"{layer} with {rank} singular values" for layer, rank in ranks.items())


def _made_from(head, runs):
    facts = []
    for part in ("train", "test"):
        split = head["data"][part]
        facts.append(
            f"{part} data: {split['year']} {split['set']}, {split['photographs']} photographs, "
            f"{split['objects']} objects, {len(split['skipped'])} skipped; digest `{split['digest']}`"
        )
    boxes = head["proposals"]
    facts.append(f"proposals: {boxes['source']}, {boxes['boxes']} boxes; sha256 of the boxes `{boxes['sha256']}`")
    weights = head["weights"]
    if weights["file"] is None:
        facts.append("weights: no file of pre-trained ones")
    else:
        facts.append(f"weights: {weights['file']}, sha256 `{weights['sha256']}`; {_listed(weights['given'])} are its")
    facts.append(f"initialised, not pre-trained: {_listed(weights['drawn'])}")
    facts.append(f"seed {head['recipe']['seed']}, {head['recipe']['iterations']} iterations, recipe {head['source']}")
    for run in runs:
        facts.append(f"{run['backend']}: checkpoint `{run['checkpoint']}`, sha256 `{run['sha256']}`")
        loss = run["losses"]
        last = f"{loss['mean_of_last']:.4f} in the mean of the last {loss['last']} iterations"
        facts.append(f"{run['backend']}: loss {loss['first']:.4f} at first, {last}")
    reports = [f"{one['backend']} ({one['version']}) {one['verdict']}, id `{one['id']}`" for one in head["conformance"]]
    facts.append("conformance reports: " + ("; ".join(reports) or "none was given"))
    facts.append(f"frcnn {head['frcnn']}, commit {head['commit'] or 'unknown'}, sha256 of the code `{head['code']}`")
    facts.append("versions: " + ", ".join(f"{name} {version}" for name, version in head["versions"].items()))
    facts.append("machine: " + ", ".join(f"{name} {value}" for name, value in head["machine"].items()))
    return "\n".join(f"- {fact}" for fact in facts)


def _seconds(head, runs):
    rows = [["all", name, f"{value:.1f}"] for name, value in head["seconds"].items()]
    rows += [[run["backend"], name, f"{value:.4g}"] for run in runs for name, value in run["seconds"].items()]
    return _table(rows, ["backend", "part", "seconds"], left=2)


def _pictures(runs):
    """Links to what run.py and test_folder.py have drawn."""
    links = ["![the loss of each iteration](losses.png)"]
    for run in runs:
        for name in ("detections", "mistakes", "curves"):
            links.append(f"![{run['backend']}: {name}]({run['backend']}/test/{name}.png)")
    return "\n\n".join(links)


def _table(rows, headings, left):
    from tabulate import tabulate

    columns = ["left"] * left + ["right"] * (len(headings) - left)
    return tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=columns)


def code_digest():
    """sha256 over what decides a figure, as installed: two reports with one digest ran the same code."""
    digest = hashlib.sha256()
    for package in ("frcnn.reference", "frcnn.backends", "frcnn.repro"):
        root = Path(str(importlib.resources.files(package)))
        for file in sorted(root.rglob("*")):
            if file.suffix in (".py", ".toml", ".h", ".cpp") and "__pycache__" not in file.parts:
                digest.update(f"{package}/{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def file_digest(path):
    """sha256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def boxes_digest(proposals):
    """sha256 over photographs' names and their boxes, in order."""
    digest = hashlib.sha256()
    for name, boxes in proposals.items():
        digest.update(f"{name}\0{len(boxes)}\0".encode() + np.ascontiguousarray(boxes, "<f4").tobytes())
    return digest.hexdigest()


def now():
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write(path, text):
    with whole_file(path) as file:
        file.write(text.encode())


def _listed(names):
    return ", ".join(names) or "none"
