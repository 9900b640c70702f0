"""Archives are fetched from a local server that cuts, lies and refuses; what comes is whole, safe and as published."""

import hashlib
import re
import tarfile

import pytest
from archive_server import FILES, PHOTOGRAPH, link, tar, unpacked

from frcnn.repro import download
from frcnn.repro.download import Archive, DownloadError, Unreachable, UnsafeArchive, fetch


def silent(*_):
    pass


def part(root):
    return root / "archives" / "VOCtrainval.tar.part"


def left_over(root):
    return [path.name for path in root.rglob("*") if path.suffix == ".part" or path.name.startswith(".unpacking-")]


def test_an_archive_is_fetched_and_unpacked(server, tmp_path):
    seen = []
    found = fetch(server.archive(), tmp_path, lambda *report: seen.append(report))
    assert unpacked(tmp_path) == FILES
    assert (found.devkit, found.verified) == (tmp_path / "VOCdevkit", True)
    assert found.sha256 == hashlib.sha256(server.content).hexdigest()
    assert seen[0] == ("VOCtrainval.tar", 0, len(server.content))
    assert seen[-1] == ("VOCtrainval.tar", len(server.content), len(server.content))
    assert not left_over(tmp_path)


def test_an_archive_that_is_there_is_not_fetched_again(server, tmp_path):
    archive = server.archive()
    first = fetch(archive, tmp_path, silent)
    server.stop()
    assert fetch(archive, tmp_path, silent) == first
    assert server.asked == [None]


def test_an_archive_brought_by_hand_needs_no_network(server, tmp_path):
    archive = server.archive()
    server.stop()
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives" / archive.file).write_bytes(server.content)
    fetch(archive, tmp_path, silent)
    assert (unpacked(tmp_path), server.asked) == (FILES, [])


def test_a_wrong_archive_brought_by_hand_is_refused_and_kept(server, tmp_path):
    (tmp_path / "archives").mkdir()
    brought = tmp_path / "archives" / "VOCtrainval.tar"
    brought.write_bytes(b"something else")
    with pytest.raises(DownloadError, match=r"VOCtrainval.tar must have the sha256 .* delete it"):
        fetch(server.archive(), tmp_path, silent)
    assert brought.read_bytes() == b"something else"


def test_a_cut_download_goes_on_by_itself(server, tmp_path):
    server.cuts = [30_000, 20_000]
    fetch(server.archive(), tmp_path, silent)
    assert server.asked == [None, "bytes=30000-", "bytes=50000-"]
    assert unpacked(tmp_path) == FILES


def test_a_cut_download_goes_on_in_a_later_run(server, tmp_path):
    server.cuts = [30_000] + [0] * download.FRUITLESS
    with pytest.raises(Unreachable, match=r"VOCtrainval.tar cannot be had \(30000 bytes are here\)"):
        fetch(server.archive(), tmp_path, silent)
    assert part(tmp_path).read_bytes() == server.content[:30_000]
    assert not (tmp_path / "VOCdevkit").exists()
    server.asked.clear()
    fetch(server.archive(), tmp_path, silent)
    assert server.asked == ["bytes=30000-"]
    assert unpacked(tmp_path) == FILES
    assert not left_over(tmp_path)


def test_a_run_killed_after_the_last_byte_fetches_none_again(server, tmp_path):
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(server.content)
    fetch(server.archive(), tmp_path, silent)
    assert (server.asked, unpacked(tmp_path)) == ([f"bytes={len(server.content)}-"], FILES)


def test_more_bytes_than_there_are_start_anew(server, tmp_path):
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(server.content + b"more")
    fetch(server.archive(), tmp_path, silent)
    assert server.asked == [f"bytes={len(server.content) + 4}-", None]
    assert unpacked(tmp_path) == FILES


def test_a_server_without_ranges_sends_the_whole_again(server, tmp_path):
    server.ranges, server.cuts, seen = False, [30_000], []
    fetch(server.archive(), tmp_path, lambda *report: seen.append(report[1:]))
    assert server.asked == [None, "bytes=30000-"]
    assert [(here, total) for here, total in seen if here == 0 or here == total] == [
        (0, len(server.content)),
        (0, len(server.content)),
        (len(server.content), len(server.content)),
    ]
    assert unpacked(tmp_path) == FILES


def test_a_range_that_begins_elsewhere_is_not_taken(server, tmp_path):
    server.cuts, server.astray = [30_000], 7
    with pytest.raises(Unreachable, match="asked for what follows byte 30000, the server sent something else"):
        fetch(server.archive(), tmp_path, silent)
    assert part(tmp_path).read_bytes() == server.content[:30_000]


def test_a_wrong_checksum_unpacks_nothing_and_leaves_nothing(server, tmp_path):
    with pytest.raises(DownloadError, match=r"must have the sha256 .* it was deleted"):
        fetch(server.archive(content=b"another"), tmp_path, silent)
    assert not (tmp_path / "VOCdevkit").exists()
    assert list((tmp_path / "archives").iterdir()) == []


def test_the_rest_of_another_archive_is_caught_by_the_checksum_and_the_next_run_is_right(server, tmp_path):
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(b"x" * 500)
    with pytest.raises(DownloadError, match="must have the sha256"):
        fetch(server.archive(), tmp_path, silent)
    fetch(server.archive(), tmp_path, silent)
    assert unpacked(tmp_path) == FILES


def test_an_archive_without_known_checksum_says_so_and_never_resumes(server, tmp_path):
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(b"x" * 500)
    found = fetch(server.archive(known=False), tmp_path, silent)
    assert (found.verified, found.sha256) == (False, hashlib.sha256(server.content).hexdigest())
    assert server.asked == [None]


@pytest.mark.parametrize("status", [404, 503])
def test_a_servers_error_is_named(server, tmp_path, status):
    server.status = status
    with pytest.raises(Unreachable, match=str(status)):
        fetch(server.archive(), tmp_path, silent)


@pytest.mark.parametrize(
    "content",
    [
        tar(FILES | {"../outside.txt": b"x"}),
        tar(FILES | {"VOCdevkit/../../outside.txt": b"x"}),
        tar(FILES | {"/outside.txt": b"x"}),
        tar(FILES | {"archives/outside.txt": b"x"}),
        tar(FILES, link("VOCdevkit/outside.txt", "../../outside.txt")),
        tar(FILES, link("VOCdevkit/inside.txt", "VOC2007")),
        tar(FILES, link("VOCdevkit/inside.txt", PHOTOGRAPH, tarfile.LNKTYPE)),
        tar(FILES, link("VOCdevkit/pipe", "", tarfile.FIFOTYPE)),
    ],
)
def test_an_archive_that_reaches_outside_or_links_is_refused_whole(server, tmp_path, content):
    server.content = content
    root = tmp_path / "root"
    with pytest.raises(
        UnsafeArchive, match=r"VOCtrainval.tar is refused whole, nothing of it was unpacked: .*(side|pipe)"
    ):
        fetch(server.archive(), root, silent)
    assert [path.name for path in root.rglob("*")] == ["archives", "VOCtrainval.tar"]
    assert list(tmp_path.iterdir()) == [root]


@pytest.mark.parametrize("content", [b"<html>moved</html>" * 100, tar()[:90_000]])
def test_a_file_that_is_no_whole_archive_is_an_error(server, tmp_path, content):
    server.content = content
    with pytest.raises(DownloadError, match=r"VOCtrainval.tar cannot be read as a tar archive"):
        fetch(server.archive(), tmp_path, silent)
    assert not (tmp_path / "VOCdevkit").exists()


def test_a_devkit_from_elsewhere_is_left_alone(server, tmp_path):
    (tmp_path / PHOTOGRAPH).parent.mkdir(parents=True)
    (tmp_path / PHOTOGRAPH).write_bytes(b"mine")
    with pytest.raises(DownloadError, match="was not unpacked by this command"):
        fetch(server.archive(), tmp_path, silent)
    assert unpacked(tmp_path) == {PHOTOGRAPH: b"mine"}
    assert server.asked == []


def test_a_run_killed_while_unpacking_is_made_good_by_the_next(server, tmp_path, monkeypatch):
    replace, moved = download.os.replace, []

    def killed_at_the_second(source, target):
        if ".unpacking-" in str(source):
            if moved:
                raise KeyboardInterrupt
            moved.append(target)
        replace(source, target)

    (tmp_path / ".unpacking-stale").mkdir()
    monkeypatch.setattr(download.os, "replace", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        fetch(server.archive(), tmp_path, silent)
    assert 0 < len(unpacked(tmp_path)) < len(FILES)
    monkeypatch.setattr(download.os, "replace", replace)
    fetch(server.archive(), tmp_path, silent)
    assert unpacked(tmp_path) == FILES
    assert not left_over(tmp_path)


def test_two_archives_share_a_devkit(server, tmp_path):
    fetch(server.archive(), tmp_path, silent)
    other = {"VOCdevkit/VOC2007/JPEGImages/000002.jpg": b"2"}
    server.content = tar(other)
    url = server.archive().url.replace("trainval", "test")
    fetch(Archive(url, hashlib.sha256(server.content).hexdigest()), tmp_path, silent)
    assert unpacked(tmp_path) == FILES | other


def test_the_published_archives_are_of_one_host_and_all_but_the_devkits_code_have_a_checksum():
    archives = [archive for several in download.ARCHIVES.values() for archive in several]
    assert all(archive.url.startswith("http://host.robots.ox.ac.uk/pascal/VOC/voc20") for archive in archives)
    assert [archive.file for archive in archives if archive.sha256 is None] == ["VOCdevkit_08-Jun-2007.tar"]
    assert all(re.fullmatch("[0-9a-f]{64}", archive.sha256) for archive in archives if archive.sha256)
