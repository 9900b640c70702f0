"""No step out of bounds and no undefined behaviour, whatever RoIs and argmax hold."""

import subprocess
from pathlib import Path

import pytest

from frcnn.backends.native import build

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
    program = sanitized(Path(__file__).with_name("bounds.cpp"))
    outcome = subprocess.run([program], capture_output=True, text=True, check=False)
    assert outcome.stdout == "in bounds\n", outcome.stderr
