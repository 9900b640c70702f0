"""What the session `bench` of noxfile.py asks of the `frcnn` command, without the environments that it makes for it."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = str(next((ROOT / "benchmarks" / "results").glob("*.json")))


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Of the words after --: those that the session gives to `frcnn`, and the names of the peers that it installs."""

    def session(own=None, **options):
        return own or session

    nox = SimpleNamespace(options=SimpleNamespace(), session=session, Session=object)
    monkeypatch.setitem(sys.modules, "nox", nox)
    own = runpy.run_path(str(ROOT / "noxfile.py"))["bench"]

    def run(*posargs):
        ran = []
        asked = SimpleNamespace(
            posargs=list(posargs),
            install=lambda *words: None,
            create_tmp=lambda: tmp_path,
            run=lambda *words, **options: ran.append(words),
        )
        own(asked)
        (given,) = (words[1:] for words in ran if words[0] == "frcnn")
        return given, [Path(words[3]).name for words in ran if words[1:3] == ("-m", "venv")]

    return run


@pytest.mark.parametrize("words", [(), ("nms", "--mode", "all classes"), ("detect",)])
def test_every_benchmark_is_given_the_peers_that_were_installed(bench, parsed, words):
    given, installed = bench(*words)
    assert given[:2] == ("bench", words[0] if words else "roi-pool")
    assert [name for name, _ in parsed(given).params["peers"]] == installed != []


@pytest.mark.parametrize("words", [("page", RESULTS), ("page", RESULTS, "--into", "page.md")])
def test_the_page_is_given_no_peers_and_none_is_installed_for_it(bench, parsed, words):
    given, installed = bench(*words)
    assert (given, installed) == (("bench", *words), [])
    assert parsed(given).params["results"] == (Path(RESULTS),)


@pytest.mark.parametrize("words", [("--help",), ("roi-pool", "--help")])
def test_for_help_no_peer_is_installed(bench, parsed, words):
    assert bench(*words) == (("bench", *words), [])
