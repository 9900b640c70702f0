"""Compiling on first use: once, whole, and with one clear message where it cannot be done."""

import ctypes
import os
import subprocess
import sys
import time

import pytest

from frcnn import cache
from frcnn.backends import UnavailableBackend
from frcnn.backends.native import build

SOURCE = 'extern "C" int answer() { return 42; }\n'

# A compiler that leaves a line behind each time it makes a library.
COUNTING_COMPILER = """#!/bin/sh
case "$*" in *" -o "*) echo compiled >> "{log}" ;; esac
exec {compiler} "$@"
"""

USER = """
import ctypes, sys
from pathlib import Path
from frcnn.backends.native import build
library = build.shared_library("answer", Path(sys.argv[1]), flags=[], framework="none 1.0")
print(ctypes.CDLL(str(library)).answer())
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setenv("FRCNN_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "answer.cpp"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def compilations(tmp_path, source, monkeypatch):
    """A function that tells how often the compiler has made a library."""
    compiler, log = tmp_path / "counting", tmp_path / "log"
    compiler.write_text(COUNTING_COMPILER.format(log=log, compiler=" ".join(build.find_compiler())))
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def compile_answer(source, flags=(), framework="none 1.0"):
    return build.shared_library("answer", source, flags=flags, framework=framework)


def test_eight_processes_that_start_at_once_compile_once(source, compilations):
    command = [sys.executable, "-c", USER, str(source)]
    users = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    assert [user.communicate()[0].strip() for user in users] == ["42"] * 8
    assert compilations() == 1


def test_a_second_call_takes_the_cache(source, compilations):
    assert compile_answer(source) == compile_answer(source)
    assert compilations() == 1


def test_a_changed_source_flag_or_framework_compiles_anew(source, compilations):
    libraries = [compile_answer(source), compile_answer(source, ["-DX"]), compile_answer(source, framework="none 2.0")]
    source.write_text(SOURCE.replace("42", "43"))
    libraries.append(compile_answer(source))
    assert len(set(libraries)) == compilations() == 4
    assert [ctypes.CDLL(str(library)).answer() for library in libraries] == [42, 42, 42, 43]


def test_a_changed_header_compiles_anew(source, compilations, tmp_path, monkeypatch):
    before = compile_answer(source)
    headers = tmp_path / "headers"
    headers.mkdir()
    (headers / "roi_pool.h").write_text("// another one\n")
    monkeypatch.setattr(build, "HEADERS", headers)
    assert compile_answer(source) != before


def test_another_compiler_compiles_anew(source, monkeypatch):
    before = compile_answer(source)
    monkeypatch.setenv("CXX", " ".join([*build.find_compiler(), "-DX"]))
    assert compile_answer(source) != before


def test_no_compiler_on_the_path_is_one_clear_message(source, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        UnavailableBackend, match=r"looked for \$CXX, c\+\+, g\+\+, clang\+\+\): install one"
    ) as refusal:
        compile_answer(source)
    assert "\n" not in str(refusal.value)


@pytest.fixture
def uncompiled(monkeypatch):
    """Leaves the machine without a compiler."""

    def leave_without():
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("CXX", raising=False)

    return leave_without


def test_without_a_compiler_what_one_has_compiled_is_taken(source, uncompiled):
    library = compile_answer(source)
    uncompiled()
    assert compile_answer(source) == library


@pytest.mark.parametrize("other", ["source", "flags", "framework", "processor"])
def test_without_a_compiler_what_was_compiled_for_another_is_left_alone(source, uncompiled, monkeypatch, other):
    compile_answer(source)
    uncompiled()
    if other == "source":
        source.write_text(SOURCE.replace("42", "43"))
    if other == "processor":
        monkeypatch.setattr(build, "features", lambda: "mmx")
    changes = {"flags": {"flags": ["-DX"]}, "framework": {"framework": "none 2.0"}}.get(other, {})
    with pytest.raises(UnavailableBackend, match="no C\\+\\+ compiler was found"):
        compile_answer(source, **changes)


def test_where_nothing_tells_what_a_processor_can_do_a_compiler_is_needed(source, uncompiled, monkeypatch):
    monkeypatch.setattr(build, "features", lambda: "")
    compile_answer(source)
    uncompiled()
    with pytest.raises(UnavailableBackend, match="no C\\+\\+ compiler was found"):
        compile_answer(source)


def test_the_features_of_a_processor_are_those_that_linux_lists(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: fpu avx2\n")
    assert build.features(tmp_path / "cpuinfo") == "fpu avx2"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd\n")
    assert build.features(tmp_path / "cpuinfo") == "fp asimd"
    assert build.features(tmp_path / "none") == ""


def test_a_compiler_that_was_asked_for_and_is_not_there_is_not_replaced_by_another(source, monkeypatch):
    monkeypatch.setenv("CXX", "/nonexistent")
    with pytest.raises(UnavailableBackend, match=r"looked for \$CXX, which is /nonexistent\)"):
        compile_answer(source)


def test_a_failed_compilation_shows_the_compilers_last_lines_and_the_command(source):
    source.write_text("int broken( {\n")
    with pytest.raises(UnavailableBackend, match="could not be compiled for none") as refusal:
        compile_answer(source)
    assert "error:" in str(refusal.value)
    assert f"{source} -o " in str(refusal.value)


def test_a_failed_compilation_leaves_no_library_behind(source):
    source.write_text("int broken( {\n")
    with pytest.raises(UnavailableBackend):
        compile_answer(source)
    assert [path.suffix for path in cache.folder("native").iterdir()] in ([], [".lock"])


def test_what_a_killed_build_left_a_day_ago_is_removed_and_what_is_younger_or_no_folder_of_ours_stays(source):
    native = cache.folder("native")
    for name, days in (("tmpkilled", 2), ("tmpbusy", 0), ("other", 2)):
        (native / name).mkdir(parents=True)
        (native / name / "answer.so").write_text("half")
        os.utime(native / name, (time.time() - days * build.DAY,) * 2)
    library = compile_answer(source)
    assert {path.name for path in native.iterdir() if path.is_dir()} == {"tmpbusy", "other"}
    os.utime(native / "tmpbusy", (time.time() - 2 * build.DAY,) * 2)
    assert compile_answer(source) == library  # nothing is built, so nothing is removed
    assert (native / "tmpbusy").exists()


def test_a_library_in_a_cache_for_reading_alone_is_taken(source, monkeypatch):
    library = compile_answer(source)
    monkeypatch.setattr(build, "FileLock", None)  # root may write wherever it likes, so this stands for "not allowed"
    assert compile_answer(source) == library


def test_a_cache_that_cannot_be_looked_into_is_a_clear_message(source, monkeypatch):
    exists = build.Path.exists

    def refused(path):
        if path.suffix == ".so":
            raise PermissionError(13, "Permission denied", str(path))
        return exists(path)

    monkeypatch.setattr(build.Path, "exists", refused)
    with pytest.raises(UnavailableBackend, match="set FRCNN_CACHE_DIR to a folder that can be written"):
        compile_answer(source)


def test_a_compiler_that_is_no_command_is_a_clear_message(source, monkeypatch):
    monkeypatch.setenv("CXX", 'g++ "-O')
    with pytest.raises(UnavailableBackend, match=r'\$CXX is no command: No closing quotation, in g\+\+ "-O'):
        compile_answer(source)


def test_a_cache_that_cannot_be_written_is_a_clear_message(source, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FRCNN_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(UnavailableBackend, match="set FRCNN_CACHE_DIR to a folder that can be written"):
        compile_answer(source)
