"""What `frcnn --help` says beside the code, since the code is not imported for it."""

from click.testing import CliRunner

from frcnn.cli import main
from frcnn.conformance.run import DEFAULT_BACKENDS


def test_the_help_of_conformance_names_the_backends_that_it_takes_by_default():
    said = " ".join(CliRunner().invoke(main, ["conformance", "--help"]).output.split())
    names = {device: ", ".join(backends) for device, backends in DEFAULT_BACKENDS.items()}
    assert f"[default: {names['cpu']}; with --device cuda: {names['cuda']}]" in said
