"""Where there is more than one way to pool, every one gives the same bits."""

import subprocess
from pathlib import Path

from frcnn.backends.native import build

SOURCE = Path(__file__).with_name("ways.cpp")


def test_pooling_from_tables_gives_the_bits_of_pooling_window_by_window(tmp_path):
    program = tmp_path / "ways"
    options = ["-std=c++17", "-O2", "-march=native", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
    command = [*build.find_compiler(), *options, f"-I{build.HEADERS}", str(SOURCE), "-o", str(program)]
    subprocess.run(command, check=True)
    outcome = subprocess.run([program], capture_output=True, text=True, check=False)
    assert outcome.stdout == "the same bits 960 times\n", outcome.stdout
