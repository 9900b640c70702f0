"""The gate: every clause stands in spec, reference, witness, test and mutant, and nothing cites one that is not."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from frcnn import spec
from frcnn.cli import main
from frcnn.conformance import divergences, document, gate
from frcnn.conformance.run import plan_of_the_suite
from frcnn.conformance.witnesses import witnesses
from frcnn.conformance.witnesses.calls import call_witnesses, refusals

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def plan():
    return plan_of_the_suite()


def test_an_id_begins_with_a_word_that_no_program_has():
    assert all("-" in clause.partition(".")[0] for clause in spec.clauses())


def test_every_page_is_read():
    assert {file.stem for file in (ROOT / "spec").glob("*.md")} == set(spec.PAGES)


def test_a_clause_has_its_sentence_source_and_witness():
    assert spec.clauses()
    for clause in spec.clauses().values():
        assert clause.text.startswith("**"), f"{clause.id}: the sentence that binds comes first, in bold"
        for part in ("Source:", "Left open:", "Witness:"):
            assert part in clause.text, f"{clause.id} has no {part}"


def test_the_gate_finds_no_blank_cell_and_no_wrong_citation(plan):
    verdict = gate.check(plan)
    assert verdict.blank == []
    assert verdict.wrong == ()


def test_a_clause_that_stands_nowhere_else_is_named_with_what_it_lacks(plan, monkeypatch):
    lonely = spec.Clause("roi-pool.lonely", "roi-pool", False, False, "**Nobody tests this.**")
    known = spec.clauses() | {lonely.id: lonely}
    monkeypatch.setattr(spec, "clauses", lambda: known)
    verdict = gate.check(plan)
    lacking = [f"roi-pool.lonely has no {column}" for column in ("reference", "witness", "test", "mutant")]
    assert verdict.blank == lacking


def test_a_citation_of_an_unknown_or_a_retired_clause_is_named_with_its_line(plan, monkeypatch):
    known = dict(spec.clauses())
    tie, grid = known.pop("roi-pool.tie"), known.pop("roi-pool.grid")
    monkeypatch.setattr(spec, "clauses", lambda: known)
    monkeypatch.setattr(spec, "retired", lambda: {grid.id: grid})
    wrong = gate.check(plan).wrong
    assert any(re.fullmatch(rf"reference/roi_pool\.py:\d+ cites {tie.id}, which is no clause", line) for line in wrong)
    assert any(re.fullmatch(rf"reference/roi_pool\.py:\d+ cites {grid.id}, which is retired", line) for line in wrong)
    assert f"a witness names {grid.id}, which is no clause in force" in wrong


def test_an_id_is_used_once(monkeypatch):
    spec._read.cache_clear()
    monkeypatch.setattr(spec, "PAGES", (*spec.PAGES, "nms"))
    with pytest.raises(ValueError, match=r"nms-greedy\.order stands in nms\.md already"):
        spec.clauses()
    spec._read.cache_clear()


def test_the_command_prints_a_row_for_each_clause_and_passes():
    answer = CliRunner().invoke(main, ["spec", "check"])
    assert answer.exit_code == 0, answer.output
    for clause in spec.clauses():
        assert f"\n{clause} " in answer.output
    assert f"{len(spec.clauses())} clauses, 0 blank cells, 0 wrong citations" in answer.output


def test_the_document_has_an_anchor_for_each_clause_and_no_dead_link(plan):
    text = document.render(gate.check(plan), "..")
    anchors = re.findall(r' id="([^"]+)"', text)
    assert len(anchors) == len(set(anchors))
    assert set(spec.clauses()) <= set(anchors)
    assert set(re.findall(r'href="#([^"]+)"', text)) <= set(anchors)
    assert f"version {spec.VERSION}" in text
    for target in set(re.findall(r'href="\.\./([^"#]+)', text)):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("out", ["spec.html", "made/spec.html"])
def test_the_document_links_to_the_checkout_in_which_it_is_asked_for(tmp_path, monkeypatch, out):
    (tmp_path / "made").mkdir()
    for folder in ("reference", "conformance"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    answer = CliRunner().invoke(main, ["spec", "render", "--out", out])
    assert answer.exit_code == 0, answer.output
    links = Links()
    links.feed(Path(out).read_text(encoding="utf-8"))
    files = [Path(out).parent / target.partition("#")[0] for target in links.targets if not target.startswith("#")]
    assert files
    assert [file for file in files if not file.exists()] == []


class Links(HTMLParser):
    """What a page links to, and whether a link lies within another."""

    def __init__(self):
        super().__init__()
        self.targets, self.nested, self._open = [], [], 0

    def handle_starttag(self, tag, attributes):
        if tag == "a":
            self.targets.append(dict(attributes)["href"])
            if self._open:
                self.nested.append(self.targets[-1])
            self._open += 1

    def handle_endtag(self, tag):
        self._open -= tag == "a"


def test_every_link_of_the_document_leads_into_itself_or_into_the_checkout_and_none_lies_within_another(plan):
    links = Links()
    links.feed(document.render(gate.check(plan), ".."))
    assert [target for target in links.targets if not target.startswith(("#", "../"))] == []
    assert links.nested == []


def test_the_document_s_register_links_each_entry_s_clauses(plan):
    register = document.render(gate.check(plan), "..").partition('<h1 id="divergences">')[2]
    for entry in divergences.load():
        for clause in entry.clauses:
            assert f'<a href="#{clause}"><code>{clause}</code></a>' in register


def all_witnesses():
    return [*witnesses(), *call_witnesses(), *refusals()]


def test_every_witness_is_named_once():
    ids = [witness.id for witness in all_witnesses()]
    assert len(ids) == len(set(ids))


def test_every_witness_that_the_page_names_is_there():
    named = set()
    for clause in spec.clauses().values():
        named |= set(re.findall(r"`([a-z][a-z0-9-]*[a-z0-9])`", clause.text.partition("Witness:")[2]))
    named -= {"exact", "caffe-2015"}
    ids = {w.id for w in (*witnesses(), *refusals())} | {w.id.rpartition("-")[0] for w in call_witnesses()}
    assert named - ids == set()
