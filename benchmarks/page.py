"""docs/performance.md, made of files of results: what is reached of the goals, every table, what did not pay."""

import tomllib
from importlib import resources

from frcnn.benchmarks.rounds import Timing
from frcnn.benchmarks.table import as_markdown

HEAD = """# How fast it is

Made by `frcnn bench page` from `benchmarks/results/`, where every figure stands with the machine it is from. A ratio is
one of medians within one run, in which the libraries take turns; a spread says how far its rounds lay apart."""


def page(results, pictures):
    """The page in Markdown.

    results: name of a file -> what `frcnn bench` wrote there. pictures: names of files of growth, as links.
    """
    parts = [HEAD, "## What is reached", *_reached(results)]
    if not any("gpu" in found["machine"] for found in results.values()):
        parts.append("No file of results is from a machine with a GPU, so nothing is said of the Triton kernels here.")
    parts += [f"![how the time grows]({picture})" for picture in pictures]
    for name, found in results.items():
        parts.append(as_markdown(found).replace("\n## ", "\n### ").replace("# ", f"## {name}: ", 1).rstrip())
    parts += ["## What was tried and is not there", _tried()]
    return "\n\n".join(parts) + "\n"


def _reached(results):
    """A table for each file that has a figure of one of the goals."""
    goals = tomllib.loads((resources.files("frcnn.benchmarks") / "goals.toml").read_text(encoding="utf-8"))
    parts = []
    for name, found in results.items():
        medians = {
            (row["case"]["name"], row["mode"], row["library"]): Timing(row["library"], row["seconds"]).median
            for row in found["rows"]
            if row["seconds"]
        }
        sizes = {row["case"]["name"]: row["case"] for row in found["rows"]}
        lines = [line for goal in goals["faster"] for line in _faster(goal, medians)]
        lines += [line for goal in goals["per_roi"] for line in _per_roi(goal, medians, sizes)]
        if lines:
            head = "| what | case | library | measured | must | aim | |\n|:--|:--|:--|--:|--:|--:|:--|"
            parts.append(f"From `{name}`:\n\n" + "\n".join([head, *lines]))
    return parts or ["No file of results holds any of the figures."]


def _faster(goal, medians):
    for place, case in enumerate(goal["cases"]):
        peers = [seconds for library in goal["than"] if (seconds := medians.get((case, goal["mode"], library)))]
        for library in goal["libraries"]:
            own = medians.get((case, goal["mode"], library))
            if own and peers:
                ratio, must, aim = min(peers) / own, goal["must"][place], goal["aim"][place]
                said = "missed" if ratio < must else "reached" if ratio < aim else "aim reached"
                yield f"| {goal['what']} | {case} | {library} | {ratio:.1f} x | {must} x | {aim} x | {said} |"


def _per_roi(goal, medians, sizes):
    many, few = goal["cases"]
    for library in goal["libraries"]:
        found = [medians.get((case, goal["mode"], library)) for case in (many, few)]
        if all(found):
            ratio = found[0] / sizes[many]["R"] / (found[1] / sizes[few]["R"])
            said = "missed" if ratio > goal["must"] else "reached" if ratio > goal["aim"] else "aim reached"
            yield (f"| {goal['what']} | {many} | {library} | {ratio:.2f} | {goal['must']} | {goal['aim']} | {said} |")


def _tried():
    ideas = tomllib.loads((resources.files("frcnn.benchmarks") / "tried.toml").read_text(encoding="utf-8"))["idea"]
    return "\n".join(
        f"- **{one['name']}**, in place of {one['against']}: {one['outcome']}; {one['because']}." for one in ideas
    )
