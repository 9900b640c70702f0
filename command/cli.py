"""The `frcnn` command. What a subcommand needs is imported when it runs, so that `frcnn --help` is instant."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import click

from frcnn import __version__
from frcnn.bench_commands import bench as bench_commands
from frcnn.data_commands import data as data_commands
from frcnn.extras import needs
from frcnn.late_help import LateHelp
from frcnn.number_range import NumberRange
from frcnn.page_help import link, put
from frcnn.proposal_commands import proposals as proposal_commands
from frcnn.report_commands import report as report_commands
from frcnn.repro_commands import repro as repro_commands
from frcnn.test_commands import detect as detect_command
from frcnn.test_commands import test as test_command
from frcnn.train_commands import train as train_command

_FILE = click.Path(path_type=Path)


def _given(names) -> list[str]:
    """Those of the running command's options, by their parameters' names, that are on its command line, as written."""
    context, on_the_line = click.get_current_context(), click.core.ParameterSource.COMMANDLINE
    parameters = [parameter for parameter in context.command.params if parameter.name in names]
    return [one.opts[0] for one in parameters if context.get_parameter_source(one.name) is on_the_line]


def _efforts() -> str:
    """What --profile decides; the numbers where the suite is installed."""
    says, unlike = (
        "How many examples are drawn for each property",
        "The operators' own profiles, exact and caffe-2015, are both run.",
    )
    try:
        from frcnn.conformance.plugin import EXAMPLES, EXAMPLES_INTERPRETED
    except ModuleNotFoundError:
        return f"{says}. {unlike}"
    drawn, interpreted = (
        ", ".join(f"{profile} {count}" for profile, count in counts.items())
        for counts in (EXAMPLES, EXAMPLES_INTERPRETED)
    )
    return f"{says}: {drawn}; by Triton's interpreter: {interpreted}. With certify none is drawn by chance. {unlike}"


@click.group()
@click.version_option(__version__, package_name="frcnn")
def main() -> None:
    """Fast R-CNN's operators with one exact meaning, the suite that holds others to it, and the paper again."""


@main.command()
@click.option(
    "--backend",
    "backends",
    multiple=True,
    metavar="NAME|MODULE:CLASS",
    help="More than once.  [default: reference, torch, torch-triton, tf; with --device cuda: torch, torch-triton]",
)
@click.option(
    "--profile",
    "effort",
    cls=LateHelp,
    tells=_efforts,
    type=click.Choice(["quick", "default", "certify"]),
    default="default",
    show_default=True,
)
@click.option(
    "--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True, help="What backends run on."
)
@click.option("--clause", "clauses", multiple=True, metavar="ID", help="Only the tests of this clause; more than once.")
@click.option("--voc-root", type=_FILE, help="A VOCdevkit folder: run the `real` group on its photographs.")
@click.option("--weights", type=_FILE, help="VGG16's ImageNet convolutions, .npz, for the `real` group.")
@click.option("--proposals", type=_FILE, help="Boxes, .npz.  [default: selective_search_fast.npz beside VOCdevkit]")
@click.option("--out", type=_FILE, default=Path("reports"), show_default=True, help="Folder for the reports.")
@click.option(
    "--mutants", is_flag=True, help="Examine the suite itself: each wrong backend on its shelf must be failed."
)
@click.option("--seed", type=click.IntRange(min=0), help="Hypothesis's seed, as a report names it.")
@click.option(
    "--call-limit",
    type=NumberRange(0, 10**6, min_open=True),
    metavar="SECONDS",
    default=300,
    show_default=True,
    help="A call that takes longer is ended with its process: outcome crashed.",
)
@needs("conformance")
def conformance(backends, mutants, **options) -> None:
    """Hold backends to the spec, clause by clause; write a report for each.

    Exits with 0 where every required clause passed for each backend (with --mutants: where the clause that each mutant
    violates failed it), 1 where not, 2 where the request was wrong or the suite was cut short, 130 after Ctrl-C.
    """
    from rich.console import Console

    from frcnn.backends import UnavailableBackend, UnknownBackend
    from frcnn.conformance.photographs import RealDataError
    from frcnn.conformance.run import DEFAULT_BACKENDS, Request, SuiteEnded, UnknownClause, run, run_mutants

    if mutants:
        unused = _given({"backends", *options} - {"mutants", "clauses", "out"})
        if unused:
            raise click.UsageError(f"--mutants examines the suite, by backends of its own: leave {unused[0]} out")
    if options["seed"] is not None and options["effort"] == "certify":
        raise click.UsageError("nothing is drawn by chance with --profile certify: leave --seed out")
    options["clauses"] = tuple(dict.fromkeys(options["clauses"]))
    photographs = {"--voc-root": options["voc_root"], "--weights": options["weights"]}
    if (options["proposals"] or any(photographs.values())) and not all(photographs.values()):
        lacking = next(option for option, given in photographs.items() if not given)
        raise click.UsageError(f"photographs are shown as the maps that VGG16 makes of them: {lacking} is missing")
    try:
        backends = backends or DEFAULT_BACKENDS[options["device"]]
        act = run_mutants if mutants else run
        conforming = act(Request(backends=backends, **options), Console())
    except (UnknownBackend, UnavailableBackend, UnknownClause, RealDataError, SuiteEnded) as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        click.echo("stopped; of the backend in hand there is no report", err=True)
        sys.exit(130)
    sys.exit(0 if conforming else 1)


@main.group()
def spec() -> None:
    """Read the spec."""


@spec.command()
@needs("conformance")
def check() -> None:
    """Show where each clause stands: spec, reference, witness, test, mutant.

    Exits with 1 where a cell is blank, or where something cites a clause that is unknown, retired or used twice.
    """
    from tabulate import tabulate

    from frcnn.conformance import gate
    from frcnn.conformance.run import plan_of_the_suite

    verdict = gate.check(plan_of_the_suite())
    click.echo(tabulate(gate.table(verdict), headers="keys"))
    wrong = [*verdict.blank, *verdict.wrong]
    click.echo("")
    for line in wrong:
        click.echo(line)
    click.echo(f"{len(verdict.rows)} clauses, {len(verdict.blank)} blank cells, {len(verdict.wrong)} wrong citations")
    sys.exit(1 if wrong else 0)


@spec.command()
@click.option("--out", type=_FILE, default=Path("spec.html"), show_default=True, help="The file to write.")
@click.option(
    "--sources", help="Where the checkout lies: a URL, or a path from OUT's folder.  [default: the current folder]"
)
@needs("conformance")
def render(out, sources) -> None:
    """Write the whole spec as one HTML page, each clause linked to its reference, witnesses, tests and mutants.

    Exits with 2 where OUT cannot be written.
    """
    from frcnn.conformance import document, gate
    from frcnn.conformance.run import plan_of_the_suite

    sources = link(Path(), out) if sources is None else sources.rstrip("/")
    out.write_text(document.render(gate.check(plan_of_the_suite()), sources), encoding="utf-8")
    click.echo(f"{out}")


@spec.command("list")
def list_clauses() -> None:
    """Every clause: its id, and the sentence that binds."""
    from frcnn.spec import clauses

    for clause in clauses().values():
        click.echo(f"{clause.id}{' (optional)' if clause.optional else ''}: {clause.sentence}")


@spec.command()
@click.option("--measure", is_flag=True, help="Measure the effects on photographs and proposals anew, and keep them.")
@click.option("--voc-root", type=_FILE, help="A VOCdevkit folder, to measure on.")
@click.option("--proposals", type=_FILE, help="Boxes, .npz.  [default: selective_search_fast.npz beside VOCdevkit]")
@click.option("--images", type=click.IntRange(min=1), default=200, show_default=True, help="How many photographs.")
@click.option("--effects", type=_FILE, help="Where effects are kept.  [default: divergence_effects.json of the suite]")
@click.option("--into", type=_FILE, help="Write the page here.  [default: standard output]")
@needs("conformance")
def divergences(measure, voc_root, proposals, images, effects, into) -> None:
    """The divergence register: where paper, original code and successors part, and what that comes to.

    Exits with 2 where the request was wrong, or photographs, proposals or kept effects cannot be used.
    """
    from frcnn.conformance import divergences as register
    from frcnn.conformance.photographs import RealDataError

    effects = effects or register.EFFECTS
    if measure and voc_root is None:
        raise click.UsageError("--measure needs --voc-root, a VOCdevkit folder")
    if not measure and (unused := _given({"voc_root", "proposals", "images"})):
        raise click.UsageError(f"{unused[0]} says what to measure on: give --measure, or leave it out")
    try:
        if measure:
            found = register.measured(voc_root, proposals, images, partial(click.echo, err=True))
            register.write_effects(found, effects)
        try:
            kept = register.read_effects(effects)
        except (json.JSONDecodeError, UnicodeDecodeError, LookupError, TypeError) as error:
            raise click.UsageError(f"{effects} holds no effects that --measure wrote") from error
        page = register.render(register.load(), kept)
    except (RealDataError, register.InvalidRegister, register.StaleEffects) as error:
        raise click.UsageError(str(error)) from error
    put(page, into)


@main.group()
def vectors() -> None:
    """Test vectors: the suite's calls and answers as JSON, for any language."""


@vectors.command("write")
@click.option("--out", type=_FILE, default=Path("vectors"), show_default=True, help="Folder for the files.")
@needs("conformance")
def write_vectors(out) -> None:
    """Write a file an operator, and a manifest with their sha256.

    Exits with 2 where OUT cannot be written.
    """
    from frcnn.conformance.vectors import write

    files = write(out)["files"]
    click.echo(f"{out}: {len(files)} operators, {sum(file['cases'] for file in files.values())} cases")


@vectors.command("check")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@needs("conformance")
def check_vectors(folder) -> None:
    """Check that FOLDER holds whole, unaltered vectors and that the reference answers as they say.

    Exits with 1 and names the first difference where not, 2 where the request was wrong.
    """
    from frcnn.conformance.subject import Nonconforming
    from frcnn.conformance.vectors import InvalidVectors, check

    try:
        manifest = check(folder)
    except (InvalidVectors, Nonconforming) as error:
        raise click.ClickException(str(error)) from error
    cases = sum(file["cases"] for file in manifest["files"].values())
    click.echo(f"{folder}: the reference answers all {cases} cases of spec {manifest['spec']} as they say")


main.add_command(report_commands)
main.add_command(data_commands)
main.add_command(proposal_commands)
main.add_command(repro_commands)
main.add_command(bench_commands)
main.add_command(train_command)
main.add_command(test_command)
main.add_command(detect_command)
