"""A report is whole, unaltered and says who was tested; each way of not being so has its own error."""

import json

import pytest
from click.testing import CliRunner

from conformance_runs import run_suite
from frcnn.cli import main
from frcnn.conformance import report, summary


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """The lines of a good report."""
    monkey = pytest.MonkeyPatch()
    out = tmp_path_factory.mktemp("good")
    run_suite(out, "reference", clauses=("roi-pool.tie",))
    monkey.undo()
    return [json.loads(line) for line in (out / "reference.jsonl").read_text().splitlines()]


def reread(tmp_path, lines):
    file = tmp_path / "report.jsonl"
    report.write(file, lines)
    return report.read(file)


def test_a_report_reads_back_as_it_was_written(tmp_path, lines):
    head, body, foot = reread(tmp_path, lines)
    assert [head, *body, foot] == lines
    assert foot["verdict"] == "passed"


def test_a_report_without_footer_is_truncated(tmp_path, lines):
    with pytest.raises(report.Truncated):
        reread(tmp_path, lines[:-1])


def test_a_result_left_out_makes_a_report_incomplete(tmp_path, lines):
    with pytest.raises(report.Incomplete):
        reread(tmp_path, [lines[0], *lines[2:]])


def test_a_changed_outcome_makes_a_report_altered(tmp_path, lines):
    changed = [lines[0], {**lines[1], "outcome": "skipped"}, *lines[2:]]
    with pytest.raises(report.Altered):
        reread(tmp_path, changed)


@pytest.mark.parametrize("forged", [{"verdict": "failed"}, {"counts": {}}, {"examples": 10**6}, {"clauses": {}}])
def test_a_footer_that_its_lines_do_not_amount_to_makes_a_report_altered(tmp_path, lines, forged):
    if "counts" in forged:
        forged = {"counts": {**lines[-1]["counts"], "passed": 10**6}}
    with pytest.raises(report.Altered):
        reread(tmp_path, [*lines[:-1], {**lines[-1], **forged}])


def test_a_report_of_another_spec_is_not_judged_by_this_one(tmp_path, lines):
    head = {**lines[0], "spec": "0.1"}
    with pytest.raises(report.OtherSpec):
        reread(tmp_path, [head, *lines[1:-1], {**lines[-1], "id": report.report_id([head, *lines[1:-1]])}])


def test_what_is_no_text_or_no_objects_is_malformed(tmp_path):
    file = tmp_path / "report.jsonl"
    for content in (b"\xff\xfe", b"[]\n[]\n"):
        file.write_bytes(content)
        with pytest.raises(report.Malformed):
            report.read(file)


def test_a_verdict_on_some_clauses_says_on_which(tmp_path, lines):
    head, *body, foot = lines
    assert "Profile `quick` in roi-pool.tie alone" in summary.verdicts([(head, body, foot)])
    assert summary.closing_lines([(head, body, foot)], tmp_path)[1].startswith(
        "reference: passed in roi-pool.tie alone"
    )
    report.write(tmp_path / "report.jsonl", lines)
    answer = CliRunner().invoke(main, ["report", "verify", str(tmp_path / "report.jsonl")])
    assert "passed in roi-pool.tie alone" in answer.output


def test_what_stands_against_a_backend_is_said_at_the_end_of_a_run(tmp_path):
    clause = "roi-pool.backward"
    _, [(head, body, foot)] = run_suite(tmp_path, "faulty_backends:WithoutBackward", clauses=(clause,))
    assert foot["verdict"] == "failed"
    assert f"  {clause}: missing: roi_pool_backward" in summary.closing_lines([(head, body, foot)], tmp_path)


def test_the_end_of_a_run_says_why_a_clause_failed(tmp_path):
    _, reports = run_suite(tmp_path, "faulty_backends:LastOfEquals", clauses=("roi-pool.tie",))
    (line,) = [line for line in summary.closing_lines(reports, tmp_path) if line.startswith("  roi-pool.tie: ")]
    assert line.startswith("  roi-pool.tie: failed: argmax[0, 0, ")


def test_changed_times_leave_the_id_as_it_is(tmp_path, lines):
    reread(tmp_path, [{**lines[0], "started": "later"}, {**lines[1], "seconds": 99.0}, *lines[2:]])


def test_an_unknown_outcome_makes_a_report_malformed(tmp_path, lines):
    with pytest.raises(report.Malformed):
        reread(tmp_path, [lines[0], {**lines[1], "outcome": "fine"}, *lines[2:]])


def test_a_branch_is_no_version(tmp_path, lines):
    head = {**lines[0], "backend": {**lines[0]["backend"], "version": "main"}}
    with pytest.raises(report.Unversioned):
        reread(tmp_path, [head, *lines[1:-1], {**lines[-1], "id": report.report_id([head, *lines[1:-1]])}])


def test_every_planned_test_has_a_result_even_where_its_process_died(lines):
    plan = [{key: line[key] for key in ("test", "group", "clauses", "profile")} for line in lines[1:-1]]
    body = report.results(plan, lines[2:-1])
    assert body[0]["outcome"] == "crashed"
    assert report.footer({**lines[0]}, body)["verdict"] == "failed"


def test_a_report_names_the_commit_of_what_was_held_to_the_spec(tmp_path, monkeypatch):
    monkeypatch.setenv("FRCNN_COMMIT", "c0ffee-dirty")
    _, [made] = run_suite(tmp_path, "reference", clauses=("roi-pool.tie",))
    assert made[0]["commit"] == "c0ffee-dirty"
    assert "commit `c0ffee-dirty`" in (tmp_path / "index.md").read_text()


def test_what_is_true_of_one_report_is_not_said_of_those_beside_it(lines):
    one, *body, foot = lines
    other = {
        **{**one, "backend": {**one["backend"], "name": "other"}, "commit": "c0ffee", "started": "2015-04-30"},
        **{"real": {"reason": "no real input: --weights was not given"}, "mutants": {"reason": "never examined"}},
    }
    assert "reference: " not in summary.verdicts([(one, body, foot)])
    said = summary.verdicts([(one, body, foot), (other, body, foot)])
    assert "- other: Profile `quick`" in said
    assert said.count("commit `c0ffee`") == 1
    assert said.count("2015-04-30") == 1
    assert "- reference: no real input: --voc-root was not given" in said
    assert "- other: no real input: --weights was not given" in said
    assert "- other: No kill matrix: never examined" in said


def test_the_verify_command_says_what_it_found(tmp_path, lines):
    file = tmp_path / "report.jsonl"
    report.write(file, lines)
    answer = CliRunner().invoke(main, ["report", "verify", str(file)])
    assert answer.exit_code == 0
    assert lines[-1]["id"] in answer.output
    file.write_text(file.read_text().replace('"passed"', '"skipped"', 1))
    assert CliRunner().invoke(main, ["report", "verify", str(file)]).exit_code == 1


def test_two_reports_in_one_file_are_none(tmp_path, lines):
    file = tmp_path / "two.jsonl"
    report.write(file, [*lines, *lines])
    with pytest.raises(report.Malformed, match="is it more than one report"):
        report.read(file)


def test_a_number_that_python_does_not_read_makes_a_report_malformed(tmp_path, lines):
    file = tmp_path / "report.jsonl"
    report.write(file, lines)
    file.write_text(file.read_text() + "1" * 5000)
    with pytest.raises(report.Malformed, match=rf":{len(lines) + 1}: "):
        report.read(file)


def test_a_backend_s_version_is_shown_as_it_is_written(lines):
    head, *body, foot = lines
    head = {**head, "backend": {**head["backend"], "version": "1.10"}}
    assert "| 1.10 " in summary.verdicts([(head, body, foot)])


def test_a_run_of_optional_clauses_alone_can_pass(tmp_path):
    conforms, reports = run_suite(tmp_path, "reference", clauses=("voc-evaluation.difficult",))
    assert conforms
    assert reports[0][2]["verdict"] == "passed"


def test_a_backend_without_the_other_profile_lacks_the_profile_and_no_clause(lines):
    head, *body, _ = lines
    without = [
        {**one, "outcome": "missing", "reason": "profile caffe-2015"} if one["profile"] == "caffe-2015" else one
        for one in body
    ]
    assert any(one["profile"] == "caffe-2015" for one in body)
    foot = report.footer(head, without)
    assert foot["verdict"] == "passed"
    assert set(foot["clauses"].values()) == {"passed"}
    said = summary.verdicts([(head, without, foot)])
    assert "- no profile caffe-2015" in said
    assert "no roi-pool" not in said


def test_what_makes_a_line_malformed_is_named_with_the_line(tmp_path, lines):
    machine = {name: value for name, value in lines[0]["machine"].items() if name != "processor"}
    with pytest.raises(report.Malformed, match=r":1: \$\.machine: 'processor' is a required property"):
        reread(tmp_path, [{**lines[0], "machine": machine}, *lines[1:]])
    file = tmp_path / "report.jsonl"
    report.write(file, lines)
    file.write_text(file.read_text() + "\n")
    with pytest.raises(report.Malformed, match=rf":{len(lines) + 1}: an empty line"):
        report.read(file)


def test_a_clause_that_this_spec_has_not_is_another_spec_s(tmp_path, lines):
    body = [{**lines[1], "clauses": ["roi-pool.retired"]}, *lines[2:-1]]
    foot = {**lines[-1], "id": report.report_id([lines[0], *body])}
    with pytest.raises(report.OtherSpec, match=r"names roi-pool\.retired"):
        reread(tmp_path, [lines[0], *body, foot])


def test_a_whole_run_by_a_suite_without_one_of_this_spec_s_clauses_is_another_spec_s(tmp_path, lines):
    head, *body, _ = lines
    whole = {**head, "clauses": []}
    with pytest.raises(report.OtherSpec, match=r"was not asked for average-precision\.area"):
        reread(tmp_path, [whole, *body, report.footer(whole, body)])


def test_a_page_that_was_asked_for_and_is_not_there_stands_against_the_backend(lines):
    head, *body, _ = lines
    absent = [{**one, "outcome": "missing"} for one in body]
    assert report.objections(head, absent) == dict.fromkeys(head["clauses"], "missing")


def test_two_reports_of_one_backend_are_told_apart_in_what_is_said_of_them(lines):
    one, *body, foot = lines
    other = {**one, "real": {"reason": "no real input: --weights was not given"}}
    said = summary.verdicts([(one, body, foot), (other, body, {**foot, "id": "f" * 64})])
    assert f"- reference {'f' * 12}: no real input: --weights was not given" in said


def test_a_table_for_a_page_without_marks_ends_with_a_sentence(tmp_path, lines):
    report.write(tmp_path / "report.jsonl", lines)
    (tmp_path / "page.md").write_text("# A page")
    answer = CliRunner().invoke(
        main, ["report", "table", str(tmp_path / "report.jsonl"), "--into", str(tmp_path / "page.md")]
    )
    assert answer.exit_code == 1
    assert "page.md: the page has no marks" in answer.stderr
