"""A file is written whole or not at all."""

import os

import pytest

from frcnn.whole_file import whole_file


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_file_takes_the_old_one_s_place_with_the_mode_that_the_umask_leaves(tmp_path, umask):
    path = tmp_path / "report.jsonl"
    path.write_text("old")
    with whole_file(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == [path.name]


def _interrupted(file):
    file.write(b"half")
    raise KeyboardInterrupt


def test_what_ends_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "report.jsonl"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        _interrupted(file)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == [path.name]


def test_what_cannot_be_written_is_named_as_it_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as absent, whole_file(tmp_path / "absent" / "report.jsonl"):
        pass
    assert absent.value.filename == str(tmp_path / "absent" / "report.jsonl")
    with pytest.raises(OSError, match="No space left") as full, whole_file(tmp_path / "report.jsonl"):
        raise OSError(28, "No space left on device")
    assert str(full.value).endswith(f"{str(tmp_path / 'report.jsonl')!r}")
    assert os.listdir(tmp_path) == []
