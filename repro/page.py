"""docs/reproduction.md, made of reports: every run that is kept, and how far frameworks and seeds lie apart."""

import json

from frcnn.repro.recipe import recipe_names
from frcnn.repro.report import REACHED, runs_of, seconds_a_photograph
from frcnn.repro.results import per_cent

HEAD = """# What was trained and tested again

Made by `frcnn repro page` from `repro/results/`, where each report lies whole. Mean AP is in per cent, as in the paper,
and by the paper's 11 points unless another rule is named. The band is what the seed alone makes of it: the figures of
one framework on one device, in runs that share code, machine, libraries and all else but the seed."""

# What a report's header says that two runs share who differ in their seed alone.
SHARED = ("tier", "data", "weights", "setting", "proposals", "code", "versions")


class SeedTwice(ValueError):
    """Two reports are of one seed, and all else alike: one figure of them would be left out of the band."""


def page(reports, links=None, remarks=None):
    """The page in Markdown.

    reports: name -> lines of a report, as report.read gives them. links: name -> folder of its pictures, as a link,
    of those that have any; of a group the first that has is shown. remarks: name -> what somebody wrote beside the
    report, of those who did; of a group each is shown once.

    Raises SeedTwice naming two reports.
    """
    groups: dict[str, list[str]] = {}
    for name, lines in reports.items():
        groups.setdefault(_but_seed(lines[0]), []).append(name)
    parts = [HEAD]
    for names in groups.values():
        parts += _group({name: reports[name] for name in names}, links or {}, remarks or {})
    tiers = {lines[0]["tier"] for lines in reports.values()}
    devices = {run["device"] for lines in reports.values() for run in runs_of(lines)}
    missing = [f"tier `{tier}`" for tier in recipe_names() if tier not in tiers]
    missing += ["anything on a GPU"] if "cuda" not in devices else []
    cut = any(run["svd"] for lines in reports.values() for run in runs_of(lines))
    missing += [] if cut else ["layers cut by SVD"]
    if missing:
        parts.append(f"No report that is kept is of: {', '.join(missing)}.")
    return "\n\n".join(parts) + "\n"


def _but_seed(head):
    recipe = {name: value for name, value in head["recipe"].items() if name != "seed"}
    return json.dumps([recipe, _machine(head), *(head[name] for name in SHARED)], sort_keys=True)


def _machine(head):
    """The machine less its memory, which no figure depends on and which the same one tells differently."""
    return {name: value for name, value in head["machine"].items() if name != "memory_bytes"}


def _group(reports, links, remarks):
    """The parts of runs that share all but the seed."""
    head = next(iter(reports.values()))[0]
    train, test = head["data"]["train"], head["data"]["test"]
    sets = [f"{one['year']} {one['set']} ({one['photographs']} photographs)" for one in (train, test)]
    yield f"## Tier {head['tier']}: network {head['recipe']['network']}, trained on {sets[0]}, tested on {sets[1]}"
    yield _table(reports)
    machine, versions = (
        ", ".join(f"{name} {value}" for name, value in own.items()) for own in (_machine(head), head["versions"])
    )
    commits = dict.fromkeys(lines[0].get("commit") or "unknown" for lines in reports.values())
    yield f"Code `{head['code'][:12]}`, commit `{'`, `'.join(commits)}`; machine: {machine}; versions: {versions}."
    if said := list(dict.fromkeys(remarks[name].strip() for name in reports if name in remarks)):
        yield "Beside the figures is written, by hand:\n\n" + "\n\n".join(said)
    yield "\n".join(f"- {fact}" for fact in _facts(reports, head["method"]))
    paper = head["paper"]
    theirs = f"{per_cent(paper['mean'])} of table {paper['table']} of {paper['source']}"
    if head["not_comparable"]:
        reasons = "\n".join(f"- {reason}" for reason in head["not_comparable"])
        yield f"Not comparable with the {theirs}:\n\n{reasons}"
    else:
        yield f"The setting is that of the {theirs}."
    if shown := next((name for name in reports if name in links), None):
        yield f"![the loss of each iteration]({links[shown]}/losses.png)"
        for run in runs_of(reports[shown]):
            for kind in ("detections", "mistakes", "curves"):
                yield f"![{run['backend']}: {kind}]({links[shown]}/{run['backend']}/test/{kind}.png)"


def _table(reports):
    from tabulate import tabulate

    rows = []
    for name, (head, *lines) in reports.items():
        for run in runs_of(lines):
            seconds = run["seconds"]
            rows.append(
                [
                    name,
                    f"`{lines[-1]['id'][:12]}`",
                    head["recipe"]["seed"],
                    run["version"],
                    run["device"],
                    run["iterations"],
                    *(per_cent(run["mean"][method]) for method in ("11-point", "area")),
                    REACHED[run["goal_reached"]],
                    f"{seconds['training'] / 60:.1f}",
                    f"{seconds['testing, test'] / 60:.1f}",
                    f"{seconds_a_photograph(run):.3f}",
                ]
            )
    goal = next(iter(reports.values()))[0]["recipe"]["goal_map"]
    headings = ["run", "report", "seed", "framework", "device", "iterations", "mean AP, 11-point", "area"]
    headings += ["goal" if goal is None else f"goal {per_cent(goal)}"]
    headings += ["minutes of training", "of testing", "seconds a photograph"]
    aligned = ("left", "left", "right", "left", "left", *["right"] * 7)
    return tabulate(rows, headings, tablefmt="pipe", disable_numparse=True, colalign=aligned)


def _facts(reports, method):
    """Sentences on the band over seeds, and on what lies between the frameworks at one seed."""
    by_seed = _means(reports, method)
    widths = []
    for framework in dict.fromkeys(framework for means in by_seed.values() for framework in means):
        own = {seed: means[framework] for seed, means in by_seed.items() if framework in means}
        if len(own) > 1:
            least, most = min(own.values()), max(own.values())
            widths.append(100 * (most - least))
            seeds = ", ".join(map(str, sorted(own)))
            band = f"{per_cent(least)} to {per_cent(most)}, {widths[-1]:.2f} points"
            yield f"The band of {framework} over the seeds {seeds}: {band}."
        else:
            yield f"{framework} was run with one seed alone, so it has no band."
    for seed, means in sorted(by_seed.items()):
        if len(means) > 1:
            apart = 100 * (max(means.values()) - min(means.values()))
            said = f"With seed {seed}, {' and '.join(means)} are {apart:.2f} points apart"
            if widths:
                said += f", {'less' if apart < max(widths) else 'not less'} than the widest band"
            yield f"{said}."


def _means(reports, method):
    """Seed -> framework and device, in words -> mean AP, where there is one."""
    by_seed: dict[int, dict[str, float]] = {}
    found_in: dict[tuple, str] = {}
    for name, (head, *lines) in reports.items():
        seed = head["recipe"]["seed"]
        for run in runs_of(lines):
            framework = f"{run['version']} on {run['device']}"
            first = found_in.setdefault((seed, framework), name)
            if first != name:
                raise SeedTwice(f"{first} and {name} are both of seed {seed} with {framework}; keep one of them")
            if run["mean"][method] is not None:
                by_seed.setdefault(seed, {})[framework] = run["mean"][method]
    return by_seed
