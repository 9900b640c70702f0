"""docs/performance.md, made of files of results: what is reached of the goals, every table, what did not pay."""

import json
import tomllib
from importlib import resources

import numpy as np

from frcnn.benchmarks.table import as_markdown, share

HEAD = """# How fast it is

Made by `frcnn bench page` from `benchmarks/results/`, where every figure stands with the machine it is from. A ratio is
one of medians within one run, in which the libraries take turns, or the cases of one. What is reached of the goals is
judged on runs with two threads or a GPU alone, and of libraries whose answers are right. In brackets stands where the
ratio lies in 95 of 100 drawings, with repetition, of that run's rounds: *not beyond doubt* is a verdict whose limit is
in there. They know nothing of how another hour or another machine would differ.

In the tables, *spread* is how far the slowest round lay from the fastest, as a share of the median; *of the copy* is
the share of the bandwidth of copying 268 MB, measured once at the start of the run: arrays that fit the caches can
exceed it. *peak MB* is what a fresh process took to prepare the call and make it twice, beside the arrays it was given
(in results from before 2026-11-23: what one more call took, without what a library had kept of calls before).
*agrees* is the share of numbers that are equal to a millionth to the reference's, or where nothing is said of it to the
first library's."""

# What `frcnn bench` writes into every file of results; `device` and `growth` are in some.
PARTS = ("benchmark", "started", "commit", "machine", "threads", "rounds", "versions", "copy_bytes_a_second", "rows")

THREADS = 2  # that the goals on a CPU are for
DRAWINGS = 2000  # of as many rounds as there were, with repetition, for a ratio's interval

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
        timed = {(row["case"]["name"], row["mode"], row["library"]): row for row in found["rows"] if row["seconds"]}
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
        peers = [row["seconds"] for library in goal["than"] if (row := timed.get((case, goal["mode"], library)))]
        for library in goal["libraries"]:
            own = timed.get((case, goal["mode"], library))
            if own and peers:
                figure = Figure(lambda own, *peers: np.min(peers, axis=0) / own, [own["seconds"], *peers], "{} x")
                yield _line(goal, place, own, figure)


def _per_roi(goal, timed, copy):
    many, few = goal["cases"]
    for library in goal["libraries"]:
        rows = [timed.get((case, goal["mode"], library)) for case in (many, few)]
        if all(rows):
            each = [np.divide(row["seconds"], row["case"]["R"]) for row in rows]
            yield _line(goal, 0, rows[0], Figure(lambda many, few: many / few, each, "{}"), least=False)


def _of_copy(goal, timed, copy):
    for place, case in enumerate(goal["cases"]):
        for library in goal["libraries"]:
            if row := timed.get((case, goal["mode"], library)):
                copies = np.divide(row["seconds"], row["bytes"] / copy)  # a copy of as much takes 1
                yield _line(goal, place, row, Figure(lambda copies: 100 / copies, [copies], "{} %"))


class Figure:
    """A figure made of medians, and the interval in which it lies in 95 of 100 drawings of the rounds.

    of: the figure, of one median a timing. timings: the seconds of each round. written: "{} x", say.
    """

    def __init__(self, of, timings, written):
        self.written = written
        self.value = float(of(*map(np.median, timings)))
        random = np.random.default_rng(0)
        drawn = [np.median(random.choice(seconds, (DRAWINGS, len(seconds))), axis=1) for seconds in timings]
        self.low, self.high = np.quantile(of(*drawn), [0.025, 0.975]).tolist()
        self.doubtful = min(map(len, timings)) > 1

    def text(self, limits):
        """With as many digits as tell it apart from limits that it would look like with two."""
        digits = 2
        while digits < 5 and any(round(self.value, digits) == limit != self.value for limit in limits):
            digits += 1
        value, low, high = (f"{number:.{digits}f}" for number in (self.value, self.low, self.high))
        return self.written.format(value) + (f" ({low} to {high})" if self.doubtful else "")

    def verdict(self, limits, least):
        """What of must and aim is reached, and whether another run's medians might have said otherwise."""
        reached = sum(self.value >= limit if least else self.value <= limit for limit in limits)
        said = ("missed", "reached", "aim reached")[reached]
        judge = limits[max(reached - 1, 0)]
        return said + (", not beyond doubt" if self.doubtful and self.low < judge < self.high else "")


def _line(goal, place, row, figure, least=True):
    """A row of the table, of the case at this place of the goal's; least: whether must and aim are lower limits."""
    limits = [goal[name][place] for name in ("must", "aim") if name in goal]
    said = figure.verdict(limits, least) if limits else ""
    if row["agrees"] not in (None, 1):
        said = f"agrees in {share(row['agrees'])} alone"
    shown = [f"{limit:g}" for limit in limits] or ["-", "-"]
    cells = goal["what"], row["case"]["name"], row["library"], figure.text(limits), *shown, said
    return "| " + " | ".join(cells) + " |"


def _tried():
    ideas = tomllib.loads((resources.files("frcnn.benchmarks") / "tried.toml").read_text(encoding="utf-8"))["idea"]
    return "\n".join(
        f"- **{one['name']}**, in place of {one['against']}: {one['outcome']}; {one['because']}." for one in ideas
    )
