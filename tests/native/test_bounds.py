"""No step out of bounds and no undefined behaviour, whatever RoIs and argmax hold; one meaning on every way."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from frcnn.backends.native import build

SOURCE = Path(__file__).with_name("bounds.cpp")
WAYS = Path(__file__).with_name("ways.cpp")
ROWS = Path(__file__).with_name("rows.cpp")
FORKS = Path(__file__).with_name("forks.cpp")
SANITIZERS = "-fsanitize=address,undefined"


@pytest.fixture
def sanitized(tmp_path):
    """A function that compiles a C++ file with the sanitizers and gives the program's path."""

    def compiled(source):
        program = tmp_path / source.stem
        options = ["-std=c++17", "-O1", "-march=native", "-ffp-contract=off", SANITIZERS, "-fno-sanitize-recover=all"]
        command = [*build.find_compiler(), *options, f"-I{build.HEADERS}", str(source), "-o", str(program)]
        subprocess.run(command, check=True, capture_output=True)
        return program

    empty = tmp_path / "empty.cpp"
    empty.write_text("int main() {}\n")
    try:
        subprocess.run([compiled(empty)], check=True, capture_output=True)
    except (subprocess.CalledProcessError, OSError) as error:
        pytest.skip(f"the compiler has no working {SANITIZERS}: {error}")
    return compiled


def test_hostile_rois_and_garbled_argmax_stay_in_bounds(sanitized):
    program = sanitized(SOURCE)
    outcome = subprocess.run([program], capture_output=True, text=True, check=False)
    assert outcome.stdout.startswith("in bounds "), outcome.stderr


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """What the program says, compiled as the backends are."""
    return answer(tmp_path_factory.mktemp("native"), build.find_compiler(), "-march=native")


@pytest.mark.parametrize("architecture", ["x86-64", "haswell", "skylake-avx512", "arm64"])
def test_narrower_vectors_and_other_processors_pool_the_same_bits(architecture, native, tmp_path):
    if architecture == "arm64":
        compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64-static")
        if not compiler or not emulator:
            pytest.skip("needs the packages g++-aarch64-linux-gnu and qemu-user-static")
        found = answer(tmp_path, [compiler], "-static", emulator=[emulator])
    else:
        needed = {"x86-64": "sse2", "haswell": "avx2", "skylake-avx512": "avx512dq"}[architecture]
        if platform.machine() != "x86_64" or needed not in Path("/proc/cpuinfo").read_text().split():
            pytest.skip(f"this processor has no {needed}")
        found = answer(tmp_path, build.find_compiler(), f"-march={architecture}")
    assert found.startswith("in bounds ")
    assert found == native


@pytest.mark.parametrize("compiler", ["clang++", "g++"])
def test_clang_and_gcc_make_kernels_that_pool_the_same_bits(compiler, native, tmp_path):
    if not shutil.which(compiler):
        pytest.skip(f"needs {compiler}")
    assert answer(tmp_path, [compiler], "-march=native") == native


def test_pooling_from_tables_gives_the_bits_of_pooling_window_by_window(tmp_path):
    found = answer(tmp_path, build.find_compiler(), "-march=native", source=WAYS)
    assert found == "the same bits 960 times\n"


def test_a_cell_s_row_is_told_rightly_in_float32_and_float64_on_every_map_that_each_is_for(tmp_path):
    assert answer(tmp_path, build.find_compiler(), "-march=native", source=ROWS) == "every row is right\n"


@pytest.mark.skipif(sys.platform != "linux", reason="memory is kept on Linux only")
def test_a_child_forked_beside_threads_that_take_and_give_back_memory_takes_some_too(tmp_path):
    assert answer(tmp_path, build.find_compiler(), "-pthread", source=FORKS) == "every child had memory\n"


def answer(folder, compiler, *options, emulator=(), source=SOURCE):
    program = folder / source.stem
    strict = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*compiler, *strict, *options, f"-I{build.HEADERS}", str(source), "-o", str(program)], check=True)
    outcome = subprocess.run([*emulator, program], capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    return outcome.stdout
