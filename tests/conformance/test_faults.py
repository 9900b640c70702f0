"""The suite fails a backend with one fault, by the clause that names it, and passes the same backend without it."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from conformance_runs import outcome_of, run_suite
from frcnn import spec
from frcnn.cli import main
from frcnn.conformance.report import objections
from frcnn.conformance.run import plan_of_the_suite

CLAUSES_OF_ROI_POOLING = tuple(clause.id for clause in spec.clauses().values() if clause.page == "roi-pool")
OF_THE_GRADIENT = {f"roi-pool.backward{name}" for name in ("", "-sum", "-linear", "-dropped")}
OF_THE_GRADIENT |= {"roi-pool.accumulate", "roi-pool.error-argmax"}

FAULTS = {
    "HalfToEven": "roi-pool.round",
    "Float32Edges": "roi-pool.grid",
    "LastOfEquals": "roi-pool.tie",
    "WithoutClipping": "roi-pool.clip",
    "DropsOverlaps": "roi-pool.backward-sum",
}


@pytest.mark.parametrize(("fault", "clause"), FAULTS.items())
def test_a_fault_is_failed_by_the_clause_that_names_it(tmp_path, fault, clause):
    conforms, reports = run_suite(tmp_path, f"faulty_backends:{fault}", clauses=(clause,))
    _, body, foot = reports[0]
    assert not conforms
    assert foot["verdict"] == "failed"
    assert foot["clauses"][clause] == "failed"
    assert any(r["group"] == "all witnesses" and r["outcome"] == "failed" and clause in r["clauses"] for r in body)
    # A person is told where and how to see it again.
    failure = next(result for result in body if result["outcome"] == "failed")
    assert "expected" in failure["reason"]
    assert "load(" in failure["reason"]


def test_the_backend_without_a_fault_passes_those_clauses(tmp_path):
    conforms, reports = run_suite(tmp_path, "faulty_backends:Right", clauses=tuple(FAULTS.values()))
    assert conforms
    assert outcome_of(reports[0]) == {"passed", "skipped"}
    assert {result["group"] for result in reports[0][1] if result["outcome"] == "skipped"} == {"roi pool real"}


def test_a_backend_that_ends_its_process_gets_the_outcome_crashed(tmp_path):
    conforms, reports = run_suite(
        tmp_path, "faulty_backends:DiesOnWrongIndex", clauses=("roi-pool.error-image-index", "roi-pool.tie")
    )
    _, body, foot = reports[0]
    assert not conforms
    assert foot["clauses"]["roi-pool.error-image-index"] == "crashed"
    assert foot["clauses"]["roi-pool.tie"] == "passed"
    assert len(body) == reports[0][0]["planned"]


def test_a_call_that_does_not_end_is_ended_and_the_suite_goes_on(tmp_path):
    backend, clauses = "faulty_backends:NeverEndsWithoutRois", ("roi-pool.no-rois", "roi-pool.tie")
    conforms, reports = run_suite(tmp_path, backend, clauses=clauses, call_limit=1.0)
    _, body, foot = reports[0]
    assert not conforms
    assert foot["clauses"] == {**foot["clauses"], "roi-pool.no-rois": "crashed", "roi-pool.tie": "passed"}
    crashed = [result for result in body if result["outcome"] == "crashed"]
    assert {result["reason"].partition(",")[0] for result in crashed} == {"a call did not end within 1 s"}
    log = (tmp_path / "never-ends-without-rois.log").read_text()
    assert all(f"{result['test']}\nTimeout" in log for result in crashed)
    assert "faulty_backends.py" in log


def test_a_run_that_is_cut_short_is_an_error_and_no_report(tmp_path):
    words = ("conformance", "--backend", "faulty_backends:Interrupts", "--clause", "roi-pool.max", "--profile", "quick")
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "interrupts: the suite ended early, with 2; " in " ".join(result.stderr.split())
    assert [file.name for file in tmp_path.iterdir()] == ["interrupts.log"]


def test_a_backend_may_print_when_its_process_ends(tmp_path):
    conforms, _ = run_suite(tmp_path, "faulty_backends:SaysGoodbye", clauses=("roi-pool.tie",))
    assert conforms


def test_a_test_is_missing_only_where_every_error_found_is(tmp_path):
    _, reports = run_suite(tmp_path, "faulty_backends:MissingInTwoWays", clauses=("roi-pool.max",))
    outcomes = {r["test"].rpartition("::")[2]: r for r in reports[0][1]}
    lacking = outcomes["test_hostile_rois_on_small_maps_pool_bit_for_bit[exact]"]
    assert lacking["outcome"] == "missing"
    failing = outcomes["test_hostile_rois_on_small_maps_pool_bit_for_bit[caffe-2015]"]
    assert failing["outcome"] == "failed"
    assert failing["reason"].startswith("the call ended, RuntimeError: no RoI\n")
    assert "\none RoI" in failing["reason"]


def test_a_backend_without_half_types_lacks_the_clauses_on_them_alone(tmp_path):
    conforms, reports = run_suite(tmp_path, "faulty_backends:WithoutHalfTypes", clauses=CLAUSES_OF_ROI_POOLING)
    assert not conforms
    lacking = {clause for clause, outcome in reports[0][2]["clauses"].items() if outcome != "passed"}
    assert lacking == {"roi-pool.dtype", "roi-pool.accumulate"}


def test_a_backend_for_inference_alone_is_held_to_all_that_its_outputs_show(tmp_path):
    conforms, reports = run_suite(tmp_path, "faulty_backends:ForInference", clauses=CLAUSES_OF_ROI_POOLING)
    assert not conforms
    lacking = {clause: outcome for clause, outcome in reports[0][2]["clauses"].items() if outcome != "passed"}
    assert lacking == dict.fromkeys(OF_THE_GRADIENT | {"roi-pool.argmax", "roi-pool.argmax-optional"}, "missing")


def test_without_an_argmax_a_wrong_output_is_shown_with_a_call_that_the_backend_takes(tmp_path):
    _, reports = run_suite(tmp_path, "faulty_backends:WrongForInference", clauses=("roi-pool.empty",))
    failures = [result for result in reports[0][1] if result["outcome"] == "failed"]
    assert failures
    assert all("with_argmax=False" in result["reason"] for result in failures)


def test_a_gradient_that_is_there_for_some_calls_is_missing_for_the_others(tmp_path):
    clauses = ("roi-pool.backward", "roi-pool.repeatable")
    _, reports = run_suite(tmp_path, "faulty_backends:WithoutDeterministicMode", clauses=clauses)
    assert reports[0][2]["clauses"]["roi-pool.repeatable"] == "missing"


def test_a_gradient_without_the_deterministic_mode_lacks_it_though_that_clause_is_asked_for_alone(tmp_path):
    clauses = ("roi-pool.repeatable",)
    conforms, reports = run_suite(tmp_path, "faulty_backends:WithoutDeterministicMode", clauses=clauses)
    assert not conforms
    assert reports[0][2]["clauses"]["roi-pool.repeatable"] == "missing"


def test_a_backend_without_caffe_2015_lacks_no_clause_that_asks_under_either_profile(tmp_path):
    asked = {clause for test in plan_of_the_suite() if test["profile"] == "caffe-2015" for clause in test["clauses"]}
    in_exact = {clause for test in plan_of_the_suite() if test["profile"] != "caffe-2015" for clause in test["clauses"]}
    assert asked <= in_exact
    clauses = ("box-clip.bounds", "nms-greedy.threshold", "log-loss.clamp", "spp-pool.level", "roi-sampling.tail")
    conforms, reports = run_suite(tmp_path, "faulty_backends:WithoutCaffe2015", clauses=clauses)
    assert {result["reason"] for result in reports[0][1] if result["outcome"] == "missing"} == {"profile caffe-2015"}
    assert conforms


def test_what_lacks_an_optional_clause_lacks_no_other_and_passes_where_it_was_not_asked_for(tmp_path):
    backend, clauses = "faulty_backends:WithoutUnchecked", ("roi-pool.dtype", "roi-pool.tie")
    conforms, _ = run_suite(tmp_path / "without", backend, clauses=clauses)
    assert conforms
    conforms, reports = run_suite(tmp_path / "with", backend, clauses=(*clauses, "roi-pool.unchecked"))
    assert not conforms
    assert objections(*reports[0][:2]) == {"roi-pool.unchecked": "missing"}


def test_what_pytest_is_told_for_other_projects_leaves_no_test_of_the_suite_out(tmp_path, monkeypatch):
    plan = plan_of_the_suite()
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k witness -x")
    assert plan_of_the_suite() == plan
    _, reports = run_suite(tmp_path, "faulty_backends:LastOfEquals", clauses=("roi-pool.tie",))
    assert len(reports[0][1]) == sum("roi-pool.tie" in test["clauses"] for test in plan)
    assert "crashed" not in outcome_of(reports[0])


def test_the_lines_that_repeat_a_failure_load_the_backend_on_its_device(tmp_path):
    clauses = ("nms-greedy.order",)
    _, reports = run_suite(tmp_path, "faulty_backends:WrongOnCuda", clauses=clauses, device="cuda")
    failures = [result for result in reports[0][1] if result["outcome"] == "failed"]
    assert failures
    assert all("load('faulty_backends:WrongOnCuda', 'cuda')" in result["reason"] for result in failures)


def test_what_a_backend_says_need_be_no_text(tmp_path):
    _, reports = run_suite(tmp_path, "faulty_backends:SaysWhatIsNoText", clauses=("nms-greedy.order",))
    assert all("cannot open \\udcff" in r["reason"] for r in reports[0][1] if r["outcome"] == "failed")
    assert "failed" in outcome_of(reports[0])


def test_the_example_of_a_backend_passes_what_it_has_as_the_page_says(tmp_path, monkeypatch):
    page = Path(__file__).parents[2] / "docs" / "backends.md"
    example = page.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
    (tmp_path / "my_backend.py").write_text(example, encoding="utf-8")
    framework = "__version__ = '1.0'\nfrom frcnn.reference import roi_pool\n"
    (tmp_path / "my_framework.py").write_text(framework, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    optional = {"roi-pool.unchecked", "roi-pool.dtype-float64"}  # which asks for the other too
    clauses = tuple(id for id in CLAUSES_OF_ROI_POOLING if id not in optional)
    _, reports = run_suite(tmp_path / "reports", "my_backend:MyBackend", clauses=clauses)
    assert outcome_of(reports[0]) == {"passed", "missing", "skipped"}
    assert set(objections(*reports[0][:2])) == OF_THE_GRADIENT


def test_a_failure_that_does_not_come_again_says_so(tmp_path):
    _, reports = run_suite(tmp_path, "faulty_backends:WrongEverySeventhTime", clauses=("roi-pool.max",))
    failures = {r["test"].rpartition("::")[2]: r["reason"] for r in reports[0][1] if r["outcome"] == "failed"}
    drawn = failures["test_hostile_rois_on_small_maps_pool_bit_for_bit[exact]"]
    assert drawn.startswith("The same call, made again, passed")
    assert "expected" in drawn


def test_a_backend_that_lacks_a_required_operator_does_not_conform(tmp_path):
    conforms, reports = run_suite(
        tmp_path, "faulty_backends:WithoutBackward", clauses=("roi-pool.backward", "roi-pool.tie")
    )
    assert not conforms
    assert reports[0][2]["clauses"]["roi-pool.backward"] == "missing"
    assert reports[0][2]["clauses"]["roi-pool.tie"] == "passed"
    assert any(result["reason"] == "roi_pool_backward" for result in reports[0][1] if result["outcome"] == "missing")
