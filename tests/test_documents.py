"""What the documents show is what a command prints."""

import doctest
import importlib
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from frcnn.cli import main
from frcnn.conformance import summary
from frcnn.conformance.report import read

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]


def kept_reports():
    """The files of the reports kept in the repository."""
    return [str(file) for file in (ROOT / "docs" / "conformance").glob("*.jsonl")]


def test_the_readme_s_table_is_that_of_the_reports_kept(tmp_path):
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    copy = tmp_path / "README.md"
    copy.write_text(page, encoding="utf-8")
    answer = CliRunner().invoke(main, ["report", "table", "--into", str(copy), *kept_reports()])
    assert answer.exit_code == 0, answer.output
    assert copy.read_text(encoding="utf-8") == page


def test_the_page_on_the_reports_kept_is_made_of_them(tmp_path):
    answer = CliRunner().invoke(main, ["report", "page", "--into", str(tmp_path / "index.md"), *kept_reports()])
    assert answer.exit_code == 0, answer.output
    kept = ROOT / "docs" / "conformance" / "index.md"
    assert (tmp_path / "index.md").read_text(encoding="utf-8") == kept.read_text(encoding="utf-8")


def test_the_page_on_peers_is_made_of_their_reports_and_is_brief(tmp_path):
    folder = ROOT / "docs" / "conformance"
    peers, made = map(str, (folder / "peers").glob("*.jsonl")), tmp_path / "peers.md"
    answer = CliRunner().invoke(main, ["report", "page", "--brief", "--into", str(made), *peers])
    assert answer.exit_code == 0, answer.output
    assert made.read_text(encoding="utf-8") == (folder / "peers.md").read_text(encoding="utf-8")
    headings = [line for line in made.read_text(encoding="utf-8").splitlines() if line.startswith("## ")]
    assert headings == ["## By group", "## By clause"]


def test_the_reports_kept_are_of_real_photographs_too_and_all_conform():
    for head, _, foot in map(read, map(Path, kept_reports())):
        assert foot["verdict"] == "passed"
        assert head["real"]["photographs"] >= 20


@pytest.mark.parametrize("module", ["frcnn.reference.roi_pool", "frcnn.conformance.photographs"])
def test_the_examples_of_a_docstring_are_true(module):
    module = importlib.import_module(module)
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert not outcome.failed


@pytest.mark.parametrize("page", [*PAGES, "spec/roi-pool.md"])
def test_every_link_to_a_file_leads_to_one(page):
    file = ROOT / page
    for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text(encoding="utf-8")):
        assert (file.parent / target).exists(), f"{page} links to {target}"


# What the sessions of noxfile.py give their words to.
SESSIONS = {"conformance": "conformance", "peers": "conformance", "repro-voc07": "repro voc07", "bench": "bench"}


def commands_of(page):
    """The lines of a page that are to be typed, as words behind `frcnn`; the sessions' too, where they take words."""
    text = re.sub(r" \\\n +", " ", (ROOT / page).read_text(encoding="utf-8"))
    for line in re.findall(r"^    (.*)$", text, re.MULTILINE):
        words = shlex.split(line, comments=True)
        if words[:1] == ["frcnn"]:
            yield words[1:]
        elif words[:2] == ["nox", "-s"] and "--" in words:
            yield [*SESSIONS[words[2]].split(), *words[words.index("--") + 1 :]]


@pytest.mark.parametrize(
    ("page", "words"), [pytest.param(page, words, id=" ".join(words)) for page in PAGES for words in commands_of(page)]
)
def test_every_command_that_a_page_gives_is_one_that_there_is(page, words, parsed):
    parsed(words)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_a_page_names_is_one_that_there_is(page):
    for named in re.findall(r"`frcnn ([^`\n]+)`", (ROOT / page).read_text(encoding="utf-8")):
        command = main
        for word in named.split():
            if not isinstance(command, click.Group):
                break
            command = command.commands[word]


def test_what_a_citation_asks_to_be_filled_in_is_in_a_report():
    head, _, foot = read(ROOT / "docs" / "conformance" / "torch.jsonl")
    text = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
    example = text.partition("```bibtex\n")[2].partition("```")[0]
    filled = {name: head[name.lower()] for name in ("FRCNN", "COMMIT", "EFFORT", "SPEC", "SUITE")}
    filled |= {"BACKEND": head["backend"]["name"], "VERSION": head["backend"]["version"], "YEAR": head["started"][:4]}
    filled |= {"VERDICT": foot["verdict"], "ID": foot["id"], "PLACE": "a place"}
    assert set(re.findall(r"\b[A-Z]{2,}\b", example.replace("CNN}", "}"))) == set(filled)
    assert all(re.search(rf"\b{name}\b", text.partition(example)[2]) for name in filled)
    assert example.count("{") == example.count("}")


def test_the_lines_that_install_name_extras_that_there_are():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for page in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        named = re.findall(r"'([.\w]+)\[([\w,]+)\]'", text)
        assert named
        for package, some in named:
            assert package == ".", f"{page}: no index has {package}: a checkout is installed"
            assert set(some.split(",")) <= set(extras), f"{page} names {some}"


def test_a_page_without_marks_is_left_alone():
    with pytest.raises(ValueError, match="marks"):
        summary.replaced("# A page", "table")
