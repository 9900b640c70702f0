"""A report says on what it was made."""

import os

import pytest

from frcnn.machine import processor, processors

TWO_CORES = """\
processor\t: 0
cpu family\t: 26
model\t\t: 2
model name\t: AMD EPYC

processor\t: 1
cpu family\t: 27
model\t\t: 3
model name\t: another
"""


def test_a_processor_is_named_with_family_and_model_as_the_first_core_tells_them(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text(TWO_CORES)
    assert processor(info) == "AMD EPYC, family 26, model 2"


def test_a_processor_that_tells_no_family_has_its_name_alone(tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: ARMv8\n")
    assert processor(info) == "ARMv8"
    assert processor(tmp_path / "absent") == "unknown"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_processors_are_those_that_the_process_may_use():
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(own)})
    try:
        assert processors() == 1
    finally:
        os.sched_setaffinity(0, own)
    assert processors() == len(own)
