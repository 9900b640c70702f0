"""A report: what one backend was found to do, in JSON lines that a paper can cite.

A header (who, what, where, which suite), one result a test in the order of the suite, a footer (counts, verdict, id).
The id is a hash of everything but times, so that a report can be named and a changed one shows.
"""

import hashlib
import importlib.metadata
import importlib.resources
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
from jsonschema.exceptions import best_match

import frcnn
from frcnn import spec
from frcnn.conformance.subject import ARGMAX
from frcnn.machine import commit, machine
from frcnn.whole_file import whole_file

FORMAT = 1
OUTCOMES = ("passed", "failed", "crashed", "missing", "skipped")
KILLS = "mutants.json"
HALF_TYPES = {"roi-pool.dtype", "roi-pool.accumulate"}  # what is asked in a half type names one of these
GRADIENT = "roi-pool.backward"
DIED = "the process that ran the backend died; the .log beside the report has what it said last"
STUCK = "a call did not end within {:g} s, and its process was ended; the .log beside the report has where it stood"
_TIMES = ("started", "finished", "seconds")


class InvalidReport(ValueError):
    """A report must be what its footer says it is."""


class Truncated(InvalidReport):
    """A report begins with a header and ends with a footer."""


class Malformed(InvalidReport):
    """Every line has the shape that report_schema.json gives it."""


class Incomplete(InvalidReport):
    """Every test that the header plans has exactly one result, and no other has."""


class Altered(InvalidReport):
    """The footer is what the lines before it amount to, and its id is their hash."""


class Unversioned(InvalidReport):
    """The backend's version names a release: "main" is a different program tomorrow."""


class OtherSpec(InvalidReport):
    """A report is read by an frcnn of the same spec, which knows what its clauses ask for."""


def header(run, described, plan, real, examined, seed, started) -> dict:
    """The first line.

    described: what the backend says of itself; real: what the photographs were, or why none; examined: what became of
    the suite's own mutants, or why nothing is known.
    """
    return {
        "kind": "header",
        "format": FORMAT,
        "frcnn": frcnn.__version__,
        "commit": commit(),
        "suite": suite_digest(),
        "spec": spec.VERSION,
        "backend": described,
        "device": run.device,
        "effort": run.effort,
        "examples": run.examples,
        "clauses": list(run.clauses),
        "seed": seed,
        "planned": len(plan),
        "real": real,
        "mutants": examined,
        "machine": machine(),
        "versions": {name: _version(name) for name in ("numpy", "hypothesis", "pytest", "ml-dtypes")},
        "started": started,
    }


def results(plan, lines) -> list[dict]:
    """One result a planned test, in the plan's order. A test that left no line was lost with its process: crashed."""
    by_test = {line["test"]: line for line in lines}
    lost = {"outcome": "crashed", "reason": DIED, "seconds": 0.0}
    defaults: dict = {"errors": [], "examples": 0, "worst_margin": None, "executed": None, "facts": {}}
    return [{"kind": "result", **test, **defaults, **by_test.get(test["test"], lost)} for test in plan]


def footer(head, body) -> dict:
    """The last line: counts, the verdict over required clauses, and the report's id."""
    return {
        "kind": "footer",
        "counts": {outcome: Counter(r["outcome"] for r in body).get(outcome, 0) for outcome in OUTCOMES},
        "examples": sum(r["examples"] for r in body),
        "clauses": clause_outcomes(body),
        "verdict": "passed" if conforms(head, body) else "failed",
        "id": report_id([head, *body]),
        "finished": now(),
    }


def clause_outcomes(body) -> dict[str, str]:
    """The outcome of every clause that a test names: the worst of its tests, `passed` only where one did pass.

    A test that is missing under profile caffe-2015, in a half type, for want of any gradient, or of what a clause asks
    that is optional, counts only where the clause has no other: a backend without that profile does not lack the
    clauses, one without the types lacks the clauses on them alone, one without a gradient those on it, one without an
    option the optional clause. Where no argmax was given, that clause was not asked.
    """
    gradient = any(r["outcome"] not in ("missing", "skipped") for r in body if GRADIENT in r["clauses"])
    outcomes: dict[str, set[str]] = {}
    for result in body:
        lacks = result["facts"].get("lacks")
        for clause in result["clauses"]:
            outcome = result["outcome"]
            in_half_types = clause not in HALF_TYPES and not HALF_TYPES.isdisjoint(result["clauses"])
            no_gradient = lacks == "roi_pool_backward" and not gradient
            no_option = not spec.clauses()[clause].optional and any(
                spec.clauses()[other].optional for other in result["clauses"]
            )
            in_caffe = result["profile"] == "caffe-2015"
            if outcome == "missing" and (in_half_types or no_gradient or no_option or in_caffe):
                outcome = "excused"
            if lacks == ARGMAX and clause == "roi-pool.argmax":
                outcome = "missing"
            outcomes.setdefault(clause, set()).add(outcome)
    order = ("crashed", "failed", "missing", "passed", "excused", "skipped")
    worst = {clause: next(o for o in order if o in found) for clause, found in sorted(outcomes.items())}
    return {clause: "missing" if outcome == "excused" else outcome for clause, outcome in worst.items()}


def lacks_caffe_2015(body) -> bool:
    """Whether every test under profile caffe-2015 was missing, though what they ask for is there."""
    outcomes = {result["outcome"] for result in body if result["profile"] == "caffe-2015"}
    return outcomes == {"missing"} and any(result["outcome"] == "passed" for result in body)


def lacking(body) -> list[str]:
    """The pages of which the backend has nothing at all: every test of every clause was missing."""
    by_page: dict[str, set[str]] = {}
    for clause, outcome in clause_outcomes(body).items():
        by_page.setdefault(spec.clauses()[clause].page, set()).add(outcome)
    return [page for page, outcomes in by_page.items() if outcomes == {"missing"}]


def conforms(head, body) -> bool:
    """Whether nothing stands against it, and one clause passed at least."""
    outcomes = clause_outcomes([result for result in body if result["profile"] != "caffe-2015"])
    return "passed" in outcomes.values() and not objections(head, body)


def objections(head, body) -> dict[str, str]:
    """The clauses that stand against conforming, with their outcomes: failed or crashed, or required and not passed.

    Required is every clause that was asked for by its id; without ids, every clause that is not optional of the pages
    of which the backend has anything. What else is missing does not matter, nor does the profile caffe-2015, but
    nothing that is there may fail.
    """
    found = {clause: o for clause, o in clause_outcomes(body).items() if o in ("failed", "crashed")}
    outcomes = clause_outcomes([result for result in body if result["profile"] != "caffe-2015"])
    absent = () if head["clauses"] else lacking(body)
    for clause in spec.clauses().values():
        required = clause.id in head["clauses"] if head["clauses"] else not clause.optional
        if required and clause.page not in absent and outcomes.get(clause.id) != "passed":
            found.setdefault(clause.id, outcomes.get(clause.id, "missing"))
    return found


def scope(head) -> str:
    """What a verdict is about where not all clauses were asked for: " in roi-pool.tie alone"."""
    return f" in {', '.join(head['clauses'])} alone" if head["clauses"] else ""


def report_id(lines) -> str:
    """sha256 over the lines without their times."""
    text = "\n".join(json.dumps({k: v for k, v in line.items() if k not in _TIMES}, sort_keys=True) for line in lines)
    return hashlib.sha256(text.encode()).hexdigest()


def write(path: Path, lines) -> None:
    """All lines at once or none: a report is never half there."""
    with whole_file(path) as file:
        file.write("".join(json.dumps(line) + "\n" for line in lines).encode())


def read(path: Path) -> tuple[dict, list[dict], dict]:
    """(header, results, footer) of a report that holds every invariant above. Raises InvalidReport, one kind each."""
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise Malformed(f"{path.name}: {error}") from error
    lines = []
    for number, text in enumerate(texts, 1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            raise Malformed(f"{path.name}:{number}: {'an empty line' if not text.strip() else error}") from error
    if not all(isinstance(line, dict) for line in lines):
        raise Malformed(f"{path.name}: each line must be an object")
    if len(lines) < 2 or lines[0].get("kind") != "header" or lines[-1].get("kind") != "footer":
        raise Truncated(f"{path.name} has no header or no footer")
    kinds = {kind["properties"]["kind"]["const"]: jsonschema.Draft202012Validator(kind) for kind in schema()["oneOf"]}
    for number, line in enumerate(lines, 1):
        if line.get("kind") not in kinds:
            raise Malformed(
                f"{path.name}:{number}: its kind must be one of {', '.join(kinds)}, got {line.get('kind')!r}"
            )
        if fault := best_match(kinds[line["kind"]].iter_errors(line)):
            raise Malformed(f"{path.name}:{number}: {fault.json_path}: {fault.message[:200]}")
    head, *body, foot = lines
    if not all(line["kind"] == "result" for line in body):
        raise Malformed(f"{path.name} has a header or a footer among its results: is it more than one report?")
    if len({r["test"] for r in body}) != len(body) or len(body) != head["planned"]:
        raise Incomplete(f"{path.name} has {len(body)} results for {head['planned']} planned tests")
    if not is_release(head["backend"]["version"]):
        raise Unversioned(f"{path.name}: {head['backend']['version']!r} is no version")
    if foot["id"] != report_id([head, *body]):
        raise Altered(f"{path.name}: its lines do not have the id {foot['id'][:12]}")
    if head["spec"] != spec.VERSION:
        raise OtherSpec(
            f"{path.name} is of spec {head['spec']}, whose clauses this frcnn, of {spec.VERSION}, cannot judge"
        )
    asked = {id for result in body for id in result["clauses"]}
    if unknown := sorted(asked - spec.clauses().keys()):
        raise OtherSpec(f"{path.name} names {unknown[0]}, which is no clause of this frcnn's spec")
    if not head["clauses"] and (unasked := sorted(spec.clauses().keys() - asked)):
        raise OtherSpec(f"{path.name} was not asked for {unasked[0]}, which is a clause of this frcnn's spec")
    summed_up = footer(head, body)
    if wrong := [name for name in summed_up if name != "finished" and summed_up[name] != foot[name]]:
        raise Altered(f"{path.name}: its lines do not amount to the {' and the '.join(wrong)} of its footer")
    return head, body, foot


def schema() -> dict:
    """What every line of a report must be."""
    return json.loads(importlib.resources.files("frcnn.conformance").joinpath("report_schema.json").read_text())


def is_release(version: str) -> bool:
    """Whether a version can be told from tomorrow's."""
    return any(character.isdigit() for character in version)


def suite_digest() -> str:
    """sha256 over the spec, the reference and the suite as installed: two reports with one digest asked the same."""
    digest = hashlib.sha256()
    for package in ("frcnn.spec", "frcnn.reference", "frcnn.conformance"):
        root = Path(str(importlib.resources.files(package)))
        for file in sorted(root.rglob("*")):
            if file.name == KILLS:  # names a suite by this digest, so cannot be part of it
                continue
            if file.suffix in (".md", ".py", ".toml", ".json") and "__pycache__" not in file.parts:
                digest.update(f"{package}/{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(name):
    return importlib.metadata.version(name)
