"""docs/performance.md, made of files of results: what is reached of the goals, every table, what did not pay."""

import json
import tomllib
from importlib import resources

from frcnn.benchmarks.rounds import Timing
from frcnn.benchmarks.table import as_markdown, share

HEAD = """# How fast it is

Made by `frcnn bench page` from `benchmarks/results/`, where every figure stands with the machine it is from. A ratio is
one of medians within one run, in which the libraries take turns, or the cases of one. What is reached of the goals is
judged on runs with two threads or a GPU alone, and of libraries whose answers are right.

In the tables, *spread* is how far the slowest round lay from the fastest, as a share of the median; *of the copy* is
the share of the bandwidth of copying 268 MB, measured once at the start of the run: arrays that fit the caches can
exceed it. *peak MB* is what a fresh process took to prepare the call and make it twice, beside the arrays it was given
(in results from before 2026-11-23: what one more call took, without what a library had kept of calls before).
*agrees* is the share of numbers that are equal to a millionth to the reference's, or where nothing is said of it to the
first library's."""

# What `frcnn bench` writes into every file of results; `device` and `growth` are in some.
PARTS = ("benchmark", "started", "commit", "machine", "threads", "rounds", "versions", "copy_bytes_a_second", "rows")

THREADS = 2  # that the goals on a CPU are for

BY_HAND = "Measured by hand with throw-away programs on two cores: no file of results holds these figures."


class InvalidResults(ValueError):
    """A file that `frcnn bench` did not write; the sentence names it and what it lacks."""


def read(file):
    """What `frcnn bench` wrote into a file. Raises InvalidResults."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refused)
    except ValueError as error:
        raise InvalidResults(f"{file} is no file of results of `frcnn bench`, which are JSON: {error}") from error
    if lacking := [part for part in PARTS if not isinstance(found, dict) or part not in found]:
        raise InvalidResults(f"{file} is no file of results of `frcnn bench`: it lacks {', '.join(lacking)}")
    return found


def _refused(word):
    raise ValueError(f"{word} is no number of JSON")


def page(results, pictures):
    """The page in Markdown.

    results: name of a file -> what `frcnn bench` wrote there; of growth only the exponents are shown.
    pictures: name of a file -> its plot, as a link.
    """
    parts = [HEAD, "## What is reached", *_reached(results)]
    if not any(_device(found) == "cuda" for found in results.values()):
        parts.append("No file of results is from a machine with a GPU, so nothing is said of the Triton kernels here.")
    for name, found in results.items():
        shown = found | {"rows": []} if "growth" in found else found
        parts.append(as_markdown(shown).replace("\n## ", "\n### ").replace("# ", f"## {name}: ", 1).rstrip())
        parts += [f"![how the time grows]({pictures[name]})"] if "growth" in found and name in pictures else []
    parts += ["## What was tried and is not there", BY_HAND, _tried()]
    return "\n\n".join(parts) + "\n"


def _reached(results):
    """A table for each file that has a figure of one of the goals."""
    goals = tomllib.loads((resources.files("frcnn.benchmarks") / "goals.toml").read_text(encoding="utf-8"))
    parts = []
    for name, found in results.items():
        timed = {
            (row["case"]["name"], row["mode"], row["library"]): row | {"median": Timing(row["seconds"]).median}
            for row in found["rows"]
            if row["seconds"]
        }
        lines = []
        in_turn = found.get("cases_in_turn", False)  # a ratio is of what took turns
        for kind, ratios in (("per_roi", _per_roi),) if in_turn else (("faster", _faster), ("of_copy", _of_copy)):
            for goal in goals[kind]:
                if goal["device"] == _device(found) and (_device(found) == "cuda" or found["threads"] == THREADS):
                    lines += ratios(goal, timed, found["copy_bytes_a_second"])
        if lines:
            head = "| what | case | library | measured | must | aim | |\n|:--|:--|:--|--:|--:|--:|:--|"
            parts.append(f"From `{name}`:\n\n" + "\n".join([head, *lines]))
    return parts or ["No file of results holds any of the figures."]


def _device(found):
    return found.get("device", "cpu")


def _faster(goal, timed, copy):
    for place, case in enumerate(goal["cases"]):
        peers = [row["median"] for library in goal["than"] if (row := timed.get((case, goal["mode"], library)))]
        for library in goal["libraries"]:
            own = timed.get((case, goal["mode"], library))
            if own and peers:
                yield _line(goal, place, own, min(peers) / own["median"], "{:.{}f} x")


def _per_roi(goal, timed, copy):
    many, few = goal["cases"]
    for library in goal["libraries"]:
        rows = [timed.get((case, goal["mode"], library)) for case in (many, few)]
        if all(rows):
            each, other = (row["median"] / row["case"]["R"] for row in rows)
            yield _line(goal, 0, rows[0], each / other, "{:.{}f}", least=False)


def _of_copy(goal, timed, copy):
    for place, case in enumerate(goal["cases"]):
        for library in goal["libraries"]:
            if row := timed.get((case, goal["mode"], library)):
                yield _line(goal, place, row, 100 * row["bytes"] / row["median"] / copy, "{:.{}f} %")


def _line(goal, place, row, measured, written, least=True):
    """A row of the table, of the case at this place of the goal's; least: whether must and aim are lower limits.

    A figure that would look like must or aim with two digits has as many as tell them apart.
    """
    limits = [goal[name][place] for name in ("must", "aim") if name in goal]
    digits = 2
    while digits < 5 and any(round(measured, digits) == limit != measured for limit in limits):
        digits += 1
    reached = sum(measured >= limit if least else measured <= limit for limit in limits)
    said = ("missed", "reached", "aim reached")[reached] if limits else ""
    if row["agrees"] not in (None, 1):
        said = f"agrees in {share(row['agrees'])} alone"
    shown = [f"{limit:g}" for limit in limits] or ["-", "-"]
    cells = goal["what"], row["case"]["name"], row["library"], written.format(measured, digits), *shown, said
    return "| " + " | ".join(cells) + " |"


def _tried():
    ideas = tomllib.loads((resources.files("frcnn.benchmarks") / "tried.toml").read_text(encoding="utf-8"))["idea"]
    return "\n".join(
        f"- **{one['name']}**, in place of {one['against']}: {one['outcome']}; {one['because']}." for one in ideas
    )
