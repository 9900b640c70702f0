"""A report says on what it was made."""

from frcnn.machine import processor

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
