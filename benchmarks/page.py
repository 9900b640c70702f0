"""docs/performance.md, made of files of results: what is reached of the goals, every table, what did not pay."""

import json
import tomllib
from importlib import resources

from frcnn.benchmarks.rounds import Timing
from frcnn.benchmarks.table import as_markdown

HEAD = """# How fast it is

Made by `frcnn bench page` from `benchmarks/results/`, where every figure stands with the machine it is from. A ratio is
one of medians within one run, in which the libraries take turns, or the cases of one; a spread says how far its rounds
lay apart."""

# What `frcnn bench` writes into every file of results; `device` and `growth` are in some.
PARTS = ("benchmark", "started", "commit", "machine", "threads", "rounds", "versions", "copy_bytes_a_second", "rows")

BY_HAND = "Measured by hand with throw-away programs on two cores: no file of results holds these figures."


class InvalidResults(ValueError):
    """A file that `frcnn bench` did not write; the sentence names it and what it lacks."""


def read(file):
    """What `frcnn bench` wrote into a file. Raises InvalidResults."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidResults(f"{file} is no file of results of `frcnn bench`, which are JSON: {error}") from error
    if lacking := [part for part in PARTS if not isinstance(found, dict) or part not in found]:
        raise InvalidResults(f"{file} is no file of results of `frcnn bench`: it lacks {', '.join(lacking)}")
    return found


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
        parts += [f"![how the time grows]({pictures[name]})"] if name in pictures else []
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
        for kind, ratios in (("faster", _faster), ("per_roi", _per_roi), ("of_copy", _of_copy)):
            for goal in goals[kind]:
                if goal["device"] == _device(found):
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
                ratio = min(peers) / own["median"]
                yield _line(goal, case, library, ratio, goal["must"][place], goal["aim"][place], "{:.2f} x")


def _per_roi(goal, timed, copy):
    many, few = goal["cases"]
    for library in goal["libraries"]:
        rows = [timed.get((case, goal["mode"], library)) for case in (many, few)]
        if all(rows):
            each, other = (row["median"] / row["case"]["R"] for row in rows)
            yield _line(goal, many, library, each / other, goal["must"], goal["aim"], "{:.2f}", least=False)


def _of_copy(goal, timed, copy):
    for place, case in enumerate(goal["cases"]):
        for library in goal["libraries"]:
            if row := timed.get((case, goal["mode"], library)):
                share = 100 * row["bytes"] / row["median"] / copy
                yield _line(goal, case, library, share, goal["must"][place], goal["aim"][place], "{:.1f} %")


def _line(goal, case, library, measured, must, aim, written, least=True):
    """A row of the table; least: whether must and aim are to be reached from below."""
    sign = 1 if least else -1
    said = "missed" if sign * measured < sign * must else "reached" if sign * measured < sign * aim else "aim reached"
    cells = goal["what"], case, library, written.format(measured), f"{must:g}", f"{aim:g}", said
    return "| " + " | ".join(cells) + " |"


def _tried():
    ideas = tomllib.loads((resources.files("frcnn.benchmarks") / "tried.toml").read_text(encoding="utf-8"))["idea"]
    return "\n".join(
        f"- **{one['name']}**, in place of {one['against']}: {one['outcome']}; {one['because']}." for one in ideas
    )
