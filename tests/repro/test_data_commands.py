"""`frcnn data` downloads, writes made-up images and checks a devkit."""

import pytest
from archive_server import FILES, unpacked
from click.testing import CliRunner

from frcnn.cli import main
from frcnn.repro import download


def run(*arguments):
    return CliRunner().invoke(main, ["data", *map(str, arguments)])


@pytest.fixture
def made(tmp_path):
    result = run("made-up", "--root", tmp_path, "--train", 3, "--val", 1)
    assert result.exit_code == 0, result.output
    assert result.output == f"{tmp_path / 'VOCMadeUp'}: 3 images in train, 1 in val\n"
    return tmp_path


def check(root, *arguments):
    return run("check", "--voc-root", root, "--year", "MadeUp", "--split", "train", *arguments)


def test_made_up_images_pass_the_check(made):
    result = check(made, "--check-images")
    assert result.exit_code == 0
    assert result.output.startswith("3 photographs, 0 skipped, ")
    assert "digest " in result.output


def test_a_bad_photograph_fails_the_check_or_is_reported(made):
    (made / "VOCMadeUp" / "Annotations" / "train_000002.xml").write_text("<annotation/>")
    result = check(made)
    assert (result.exit_code, "train_000002.xml has no <size>" in result.output) == (1, True)
    result = check(made, "--bad", "skip")
    assert result.exit_code == 0
    first, second = result.output.splitlines()[:2]
    assert first.startswith("skipped train_000002: ")
    assert second.startswith("2 photographs, 1 skipped, ")


def test_made_up_images_of_other_settings_are_a_wrong_request(made):
    result = run("made-up", "--root", made, "--train", 4, "--val", 1)
    assert (result.exit_code, "delete it or give another root" in result.output.replace("\n", " ")) == (2, True)


def test_the_command_fetches_every_archive_and_says_which_is_verified(server, tmp_path, monkeypatch):
    monkeypatch.setitem(download.ARCHIVES, "voc12", (server.archive(),))
    result = run("voc12", "--root", tmp_path)
    assert result.exit_code == 0, result.output
    assert f"VOCtrainval.tar: sha256 {server.archive().sha256}, as published" in result.output
    assert unpacked(tmp_path) == FILES

    monkeypatch.setitem(download.ARCHIVES, "voc12", (server.archive(known=False),))
    result = run("voc12", "--root", tmp_path / "other")
    assert "not verified: no checksum of it is known" in result.output


def test_without_network_and_data_the_command_says_in_three_lines_what_to_do_and_exits_2(server, tmp_path, monkeypatch):
    archive = server.archive()
    server.stop()
    monkeypatch.setitem(download.ARCHIVES, "voc07", (archive,))
    result = run("voc07", "--root", tmp_path)
    assert result.exit_code == 2
    what, remedy, without = result.stderr.splitlines()
    assert what.startswith(f"{archive.url} cannot be had (0 bytes are here): ")
    assert archive.url in remedy
    assert str(tmp_path / "archives") in remedy
    assert f"frcnn data made-up --root {tmp_path}" in without


def test_what_is_no_matter_of_the_network_exits_1(server, tmp_path, monkeypatch):
    monkeypatch.setitem(download.ARCHIVES, "voc07", (server.archive(content=b"another"),))
    result = run("voc07", "--root", tmp_path)
    assert (result.exit_code, "must have the sha256" in result.output) == (1, True)
