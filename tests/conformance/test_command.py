"""`frcnn conformance`, asked for something that is not there: exit code 2, one clear sentence, nothing written."""

import importlib.metadata

import pytest
from click.testing import CliRunner

from frcnn import backends
from frcnn.cli import main
from frcnn.spec import clauses


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--backend", "torhc"], "no backend is called 'torhc'; registered: reference"),
        (["--backend", "nowhere.module:Backend"], "there is no module nowhere"),
        (["--backend", "faulty_backends:Nobody"], "has no Nobody"),
        (["--backend", "reference", "--clause", "roi-pool.rounding"], "no clause is called 'roi-pool.rounding'"),
        (["--backend", "reference", "--profile", "fast"], "'fast' is not one of"),
        (["--backend", "reference", "--device", "cuda"], "runs on cpu, not on cuda"),
        (["--backend", "reference", "--voc-root", "no/such/folder", "--weights", "w.npz"], "no/such/folder"),
        (["--backend", "next-to-nothing:"], "no backend is called"),
        (["--backend", ":Backend"], "Empty module name"),
        (
            ["--backend", "reference", "--backend", "faulty_backends:Namesake"],
            "the reports of two backends would both be reference.jsonl",
        ),
        (["--backend", "faulty_backends:NextRelease"], "'main' is no version of a release"),
        (["--backend", "faulty_backends:Nameless"], "its name must be a text, got None"),
        (["--backend", "faulty_backends:RunsByMagic"], "executed must be one of numpy, native, cuda, interpreter"),
        (["--backend", "faulty_backends:replaced"], "cannot be made by replaced(device='cpu')"),
        (["--backend", "faulty_backends:Aborts"], "was killed by signal 6"),
        (["--mutants", "--backend", "reference"], "leave --backend out"),
        (["--mutants", "--seed", "5"], "leave --seed out"),
        (["--mutants", "--profile", "certify"], "leave --profile out"),
        (["--mutants", "--call-limit", "5"], "leave --call-limit out"),
        (["--call-limit", "nan"], "nan is no number from 0 to 1e+06"),
        (["--call-limit", "inf"], "inf is not in the range"),
        (["--profile", "certify", "--seed", "5"], "leave --seed out"),
        (["--voc-root", "VOCdevkit"], "--weights is missing"),
        (["--weights", "w.npz"], "--voc-root is missing"),
        (["--proposals", "boxes.npz"], "--voc-root is missing"),
    ],
)
def test_a_wrong_request_ends_with_2_and_writes_nothing(tmp_path, arguments, sentence):
    out = tmp_path / "reports"
    answer = CliRunner().invoke(main, ["conformance", "--out", str(out), *arguments])
    assert answer.exit_code == 2, answer.output
    assert sentence in " ".join(answer.output.split())
    assert not out.exists()


def test_a_backend_of_somebody_else_s_whose_framework_is_not_there_is_not_called_an_extra_of_ours(monkeypatch):
    point = importlib.metadata.EntryPoint("theirs", "nowhere_else:Backend", backends.ENTRY_POINTS)
    monkeypatch.setattr(backends, "entry_points", lambda group: [point])
    with pytest.raises(
        backends.UnavailableBackend, match=r"^backend theirs needs nowhere_else, which is not installed$"
    ):
        backends.load("theirs")


def test_an_attribute_that_a_backend_s_module_lacks_is_not_taken_for_the_class(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("import numpy\nnumpy.nope\nclass Backend: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AttributeError, match="nope"):
        backends.load("broken_module:Backend")


def test_a_framework_that_is_not_installed_is_named_with_its_remedy(tmp_path, monkeypatch):
    (tmp_path / "tensorflow.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tensorflow'\", name='tensorflow')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    answer = CliRunner().invoke(main, ["conformance", "--backend", "tf", "--out", str(tmp_path / "reports")])
    assert answer.exit_code == 2, answer.output
    assert "pip install 'frcnn[tf]'" in " ".join(answer.output.split())
    assert not (tmp_path / "reports").exists()


def test_a_missing_compiler_is_said_once_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("FRCNN_CACHE_DIR", str(tmp_path / "cache"))
    answer = CliRunner().invoke(main, ["conformance", "--backend", "torch", "--out", str(tmp_path / "reports")])
    assert answer.exit_code == 2, answer.output
    assert answer.output.count("no C++ compiler was found (looked for $CXX, which is no-such-compiler)") == 1
    assert not (tmp_path / "reports").exists()


def test_every_clause_is_listed_with_its_sentence():
    lines = CliRunner().invoke(main, ["spec", "list"]).output.splitlines()
    assert len(lines) == len(clauses())
    assert (
        "roi-pool.argmax-optional: An implementation that leaves argmax out when it is not asked for gives"
        in "\n".join(lines)
    )


def test_the_index_names_the_backend_its_clauses_and_its_reasons(tmp_path):
    answer = CliRunner().invoke(
        main,
        [
            "conformance",
            "--backend",
            "reference",
            "--profile",
            "quick",
            "--clause",
            "roi-pool.max",
            "--out",
            str(tmp_path),
        ],
    )
    assert answer.exit_code == 0, answer.output
    page = (tmp_path / "index.md").read_text()
    assert "| roi-pool.max" in page
    assert "no real input: --voc-root was not given" in page
    assert "reference" in answer.output


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        (("a.module", "a.module"), "UnavailableBackend", "is registered as a.module, which names no class of it"),
        (("one.module:A", "other.module:B"), "UnavailableBackend", "registered as one.module:A and as other.module:B"),
        (("absent.module:A [extra]",), "UnavailableBackend", "backend theirs needs absent, which is not installed"),
    ],
)
def test_what_packages_register_wrongly_is_said(monkeypatch, values, kind, said):
    points = [importlib.metadata.EntryPoint("theirs", value, backends.ENTRY_POINTS) for value in values]
    monkeypatch.setattr(backends, "entry_points", lambda group: points)
    with pytest.raises(getattr(backends, kind), match=said):
        backends.load("theirs")


def test_a_class_whose_module_lacks_its_framework_is_not_said_to_lack_itself(monkeypatch, tmp_path):
    (tmp_path / "module_on_nothing.py").write_text("import no_such_framework")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(backends.UnavailableBackend, match="needs no_such_framework, which is not installed"):
        backends.load("module_on_nothing:Backend")
