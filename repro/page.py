"""docs/reproduction.md, made of reports: every run kept, how far seeds and frameworks part, how to run tier full."""

import json

from frcnn.repro.recipe import read_recipe, recipe_names
from frcnn.repro.report import REACHED, runs_of, seconds_a_photograph
from frcnn.repro.results import per_cent, read_paper
from frcnn.repro.run_facts import ORIGINAL_PROFILE, PUBLISHED
from frcnn.repro.training import ESTIMATE_AFTER

HEAD = """# What was trained and tested again

Made by `frcnn repro page` from `repro/results/`, where each report lies whole. Mean AP is in per cent, as in the paper,
and by the paper's 11 points unless another rule is named. The band is what the seed alone makes of it: the figures of
one framework on one device, in runs that share code, machine, libraries and all else but the seed."""

FULL = """## How tier full is run

The paper's recipe: network {network}, {iterations} iterations on the {trained} photographs of 2007 {train_set}, tested
on the {tested} of {test_set}. It is for torch and a GPU, since TensorFlow's operators run on the CPU alone; what a step
takes there is in `docs/performance.md`, in the cases named {network}. Three commands end with a report:

    frcnn data voc07 --root data
    frcnn data check --voc-root data/VOCdevkit --split {train_set} --check-images
    frcnn repro voc07 --tier full --backend torch --seed {seed} --out full-seed-{seed} \\
        {files} {svd}

Two things must be brought, which no command downloads. The weights, VGG16 with its fully connected layers: its
authors' `VGG_ILSVRC_16_layers.caffemodel`, or torchvision's `vgg16-397923af.pth`. And the boxes of the paper's authors,
`voc_2007_trainval.mat` and `voc_2007_test.mat`, which `data/scripts/fetch_selective_search_data.sh` of
rbgirshick/fast-rcnn fetches; without `--proposals` selective search makes boxes of every photograph first, and the
report says that they are not the paper's.

How long: after {estimate} iterations the run says what the rest of the training will take. The paper's took {hours:g}
hours on {device}, and then {seconds:g} s for each photograph of the test. Ctrl-C writes a checkpoint; the same line
with `--resume` goes on from there.

What to compare: `full-seed-{seed}/report.md` has the mean AP beside the paper's {mean} (its author's later runs,
seeded: {low} to {high}), each class's beside its own, what cutting layers by SVD costs beside the paper's {drop}
points, and the list of what is not as in the paper, which is then one line: the recipe is of profile `{profile}`, and
the original code is `{original}`.
A seed says little alone; of reports of several this page is made, the band among them:

    frcnn report verify full-seed-{seed}/report.jsonl
    frcnn repro page full-seed-{seed}/report.jsonl full-seed-{next}/report.jsonl --into reproduction.md

In the original's profile too, step by step, from a recipe of one's own:

    sed 's/^profile = .*/profile = "{original}"/' repro/recipes/full.toml > original.toml
    frcnn train original.toml --device cuda --out original \\
        {train_files}
    frcnn test original/iteration_{iterations:06d}.safetensors original.toml --device cuda --out original/test \\
        {test_files} {svd}

`original/test/results.md` is the table beside the paper's then, and says that the setting is the paper's."""

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
    parts.append(_how_full_is_run())
    return "\n\n".join(parts) + "\n"


def _how_full_is_run():
    """FULL, its figures those of the recipe and of the paper."""
    recipe, paper, photographs = read_recipe("full"), read_paper(), PUBLISHED["2007"]
    root, weights = "--voc-root data/VOCdevkit", "--weights VGG_ILSVRC_16_layers.caffemodel"
    boxes = {name: f"--proposals voc_2007_{name}.mat" for name in (recipe.train_set, recipe.test_set)}
    low, high = map(per_cent, paper["band"])
    return FULL.format(
        network=recipe.network,
        iterations=recipe.iterations,
        trained=photographs[recipe.train_set],
        tested=photographs[recipe.test_set],
        train_set=recipe.train_set,
        test_set=recipe.test_set,
        files=f"{root} {weights} \\\n        {' '.join(boxes.values())}",
        train_files=" ".join([root, weights, boxes[recipe.train_set]]),
        test_files=f"{root} {boxes[recipe.test_set]}",
        svd=" ".join(f"--svd {layer}={rank}" for layer, rank in paper["svd"]["ranks"].items()),
        seed=recipe.seed,
        next=recipe.seed + 1,
        estimate=ESTIMATE_AFTER,
        hours=paper["costs"]["training_hours"],
        device=paper["costs"]["device"],
        seconds=paper["costs"]["seconds_an_image"],
        mean=per_cent(paper["mean"]),
        low=low,
        high=high,
        drop=per_cent(paper["mean"] - paper["svd"]["mean"]),
        profile=recipe.profile,
        original=ORIGINAL_PROFILE,
    )


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
