"""What `frcnn --help` says beside the code, since the code is not imported for it."""

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from frcnn.bench_commands import bench
from frcnn.cli import main
from frcnn.conformance.plugin import EXAMPLES, EXAMPLES_INTERPRETED
from frcnn.conformance.run import DEFAULT_BACKENDS

BENCHMARKS = sorted(bench.commands.keys() - {"page"})


def help_of(*command):
    """On one line, however wide the terminal is."""
    answer = CliRunner().invoke(main, [*command, "--help"])
    assert answer.exit_code == 0, answer.output
    return " ".join(answer.output.split())


def test_the_help_of_conformance_names_the_backends_that_it_takes_by_default():
    names = {device: ", ".join(backends) for device, backends in DEFAULT_BACKENDS.items()}
    assert f"[default: {names['cpu']}; with --device cuda: {names['cuda']}]" in help_of("conformance")


def test_the_help_of_conformance_says_how_many_examples_each_profile_draws():
    said = help_of("conformance")
    for counts in (EXAMPLES, EXAMPLES_INTERPRETED):
        assert ", ".join(f"{profile} {count}" for profile, count in counts.items()) in said


def test_the_help_of_conformance_does_without_the_suite_s_libraries(monkeypatch):
    monkeypatch.setitem(sys.modules, "frcnn.conformance.plugin", None)
    assert "How many examples are drawn for each property." in help_of("conformance")


def test_the_help_of_conformance_tells_its_profiles_from_the_operators():
    assert "The operators' own profiles, exact and caffe-2015, are both run." in help_of("conformance")


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_the_help_of_a_benchmark_names_its_own_cases_modes_and_libraries(benchmark):
    own = importlib.import_module(f"frcnn.benchmarks.{benchmark.replace('-', '_')}")
    said = help_of("bench", benchmark)
    for names in (own.CASES, own.MODES, own.HERE, own.ON_CUDA, own.PEERS):
        assert "; ".join(names) in said


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_a_benchmark_in_which_no_peer_takes_part_offers_none(benchmark):
    own = importlib.import_module(f"frcnn.benchmarks.{benchmark.replace('-', '_')}")
    assert ("--peer" in help_of("bench", benchmark)) == bool(own.PEERS)


def test_no_help_imports_a_framework():
    """Nor what the commands need beyond click and NumPy, but for the suite's own numbers in `conformance --help`."""
    script = f"""
import sys
from click.testing import CliRunner
from frcnn.cli import main
for command in {[*(("bench", name) for name in BENCHMARKS), ("test",), ("train",), ("repro", "voc07")]}:
    assert CliRunner().invoke(main, [*command, "--help"]).exit_code == 0
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {"torch", "tensorflow", "matplotlib", "cv2", "scipy", "rich", "pytest", "hypothesis"}.isdisjoint(loaded)


@pytest.mark.parametrize(
    "command",
    [("spec", "divergences"), ("report", "table"), ("report", "page"), ("repro", "page"), ("bench", "page")],
    ids=" ".join,
)
def test_into_says_where_the_page_goes_without_it(command):
    assert "[default: standard output]" in help_of(*command)


def commands(group=main, before=()):
    """Every command that does something, as the words after `frcnn`."""
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))
        else:
            yield (*before, name), command


@pytest.mark.parametrize(("words", "command"), [pytest.param(*one, id=" ".join(one[0])) for one in commands()])
def test_every_place_that_is_written_to_has_words(words, command):
    for option in command.params:
        if option.name in ("out", "into"):
            assert option.help, f"{' '.join(words)}: --{option.name} has no words"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where a cut report, a devkit of two images and boxes that are none lie."""
    monkeypatch.chdir(tmp_path)
    Path("cut.jsonl").write_text("{}\n")
    Path("none.npz").write_text("none")
    made = CliRunner().invoke(main, ["data", "made-up", "--root", "devkit", "--train", "1", "--val", "1"])
    assert made.exit_code == 0, made.output
    Path("picture.png").write_bytes(next(Path("devkit/VOCMadeUp/JPEGImages").glob("*")).read_bytes())


CHECK = "data check --voc-root devkit --year MadeUp --split"
BOXES = "--voc-root devkit --year MadeUp --class ball --class box --class cone --class cross --class ring"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("report verify cut.jsonl", 1),
        ("report verify absent.jsonl", 2),
        ("report table cut.jsonl", 1),
        ("report page cut.jsonl", 1),
        ("repro page cut.jsonl", 1),
        (f"{CHECK} train", 0),
        (f"{CHECK} absent", 1),
        (f"{CHECK} train --bad none", 2),
        (f"proposals recall {BOXES} --split val --proposals none.npz", 1),
        (f"proposals recall {BOXES} --split val --proposals none.npz --plot recall.pdf", 2),
        (f"proposals make {BOXES} --split absent --out boxes.npz", 1),
        ("test none.npz instant --voc-root devkit --out found", 1),
        ("test none.npz absent --voc-root devkit --out found", 2),
        ("detect picture.png --checkpoint none.npz", 1),
        ("detect absent.png --checkpoint none.npz", 2),
        ("spec divergences", 0),
        ("spec divergences --measure", 2),
        ("spec divergences --measure --voc-root absent", 2),
        ("spec divergences --effects absent.json", 2),
        ("spec divergences --effects cut.jsonl", 2),
        ("spec divergences --effects none.npz", 2),
        ("spec render --out absent/spec.html", 2),
        ("data made-up --root devkit --train 2 --val 1", 2),
        ("vectors check devkit", 1),
        ("vectors check absent", 2),
        ("bench page cut.jsonl", 1),
        ("bench nms --case absent", 2),
        ("bench nms --out ..", 2),
    ],
)
def test_a_command_exits_with_what_its_help_says(line, code):
    words = line.split()
    answer = CliRunner().invoke(main, words)
    assert answer.exit_code == code, answer.output
    if code:
        said = help_of(*(words[:1] if words[0] in ("test", "detect") else words[:2])).partition("Exits with ")[2]
        assert f"{code} " in said.partition("Options:")[0]
