"""PASCAL VOC's published archives: fetched, held to their checksums and unpacked, each step whole or not at all.

pooch fetches and checks; what is its own here is a downloader that goes on where a cut connection stopped. Archives
are kept in ROOT/archives, and unpacked beside it to ROOT/VOCdevkit. One process at a time works on a root.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pooch
import requests

from frcnn.whole_file import whole_file

DEVKIT = "VOCdevkit"  # what every archive unpacks to
_STAGING = ".unpacking-"
RECORDS = ".unpacked"  # in the devkit: one file for each archive that is in it whole
TIMEOUT = (15, 60)  # seconds to connect, and between two pieces
PIECE = 1 << 18
PAUSE = 1.0  # seconds before a new connection
FRUITLESS = 3  # connections in a row that bring nothing, after which it is given up

Progress = Callable[[str, int, int | None], None]  # file, bytes here, bytes in all if known


class DownloadError(Exception):
    """An archive was not had or is not fit to be unpacked. The message names it and what to do."""


class Unreachable(DownloadError):
    """The server was not reached, or broke off and did not come back."""


class UnsafeArchive(DownloadError):
    """An archive would write outside the folder it is unpacked to. Nothing of it is unpacked."""


@dataclass(frozen=True)
class Archive:
    """A published archive.

    sha256: None where no checksum of it is known; it can then not be verified, which its record says.
    """

    url: str
    sha256: str | None

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


_HOST = "http://host.robots.ox.ac.uk/pascal/VOC"
# The checksums are those that torchvision and TensorFlow Datasets both hold these archives to.
ARCHIVES = {
    "voc07": (
        Archive(
            f"{_HOST}/voc2007/VOCtrainval_06-Nov-2007.tar",
            "7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
        ),
        Archive(
            f"{_HOST}/voc2007/VOCtest_06-Nov-2007.tar",
            "6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
        ),
        Archive(f"{_HOST}/voc2007/VOCdevkit_08-Jun-2007.tar", None),
    ),
    "voc12": (
        Archive(
            f"{_HOST}/voc2012/VOCtrainval_11-May-2012.tar",
            "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
        ),
    ),
}


@dataclass(frozen=True)
class Fetched:
    """An archive whose files are in the devkit. verified: whether its sha256 was held to a known one."""

    devkit: Path
    sha256: str
    verified: bool


def fetch(archive: Archive, root: Path, progress: Progress) -> Fetched:
    """Have an archive's files in root/VOCdevkit.

    progress: called with the file's name, the bytes that are here and, if the server tells, all that there are.

    An archive that was unpacked before is left alone; one that lies in root/archives is used, if its checksum is right,
    without the network. A download that was cut goes on where it stopped, if there is a checksum to hold the whole to.
    Where two archives have a file of one name, the later one's stays, as with tar.

    Raises Unreachable, UnsafeArchive, or DownloadError where the checksum is wrong, where the file is no archive, or
    where root/VOCdevkit was not made here.
    """
    root = Path(root)
    record = root / DEVKIT / RECORDS / f"{archive.file}.json"
    if record.exists():
        found = json.loads(record.read_text(encoding="ascii"))
    else:
        _refuse_foreign(root / DEVKIT)
        path = _downloaded(archive, root / "archives", progress)
        _unpack(path, root)
        found = {"url": archive.url, "sha256": pooch.file_hash(str(path)), "verified": archive.sha256 is not None}
        with whole_file(record) as file:
            file.write(json.dumps(found).encode() + b"\n")
    return Fetched(root / DEVKIT, found["sha256"], found["verified"])


def _downloaded(archive: Archive, folder: Path, progress: Progress) -> Path:
    path = folder / archive.file
    if path.exists() and archive.sha256 not in (None, found := pooch.file_hash(str(path))):
        raise DownloadError(
            f"{path} must have the sha256 {archive.sha256}, but has {found}; delete it, and it is fetched again"
        )
    part = folder / f"{archive.file}.part"
    if archive.sha256 is None:
        part.unlink(missing_ok=True)  # nothing would tell if the rest were another archive's

    def resuming(url: str, output: str, _: object) -> None:
        _fetch_rest(url, part, progress)
        os.replace(part, output)

    try:
        pooch.get_logger().setLevel("WARNING")
        known = f"sha256:{archive.sha256}" if archive.sha256 else None
        return Path(pooch.retrieve(archive.url, known, archive.file, folder, downloader=resuming))
    except ValueError as error:  # pooch has deleted the file
        raise DownloadError(
            f"{archive.url} must have the sha256 {archive.sha256}, but what came has not; it was deleted. Run this "
            "again, and if it comes out the same, the archive was changed where it is published or on the way"
        ) from error


def _fetch_rest(url: str, part: Path, progress: Progress) -> None:
    fruitless = 0
    while True:
        before = _size(part)
        try:
            _fetch_once(url, part, progress)
            return
        except requests.RequestException as error:
            fruitless = fruitless + 1 if _size(part) == before else 0
            if fruitless == FRUITLESS or isinstance(error, requests.HTTPError):
                raise Unreachable(
                    f"{url} cannot be had ({_size(part)} bytes are here): {_root_cause(error)}"
                ) from error
            time.sleep(PAUSE)


def _fetch_once(url: str, part: Path, progress: Progress) -> None:
    here = _size(part)
    headers = {"Accept-Encoding": "identity"}  # else what is counted is not what is stored
    if here:
        headers["Range"] = f"bytes={here}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        served = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", response.headers.get("Content-Range", ""))
        if response.status_code == 416 and served and served[2] == str(here):
            return  # it was cut after the last byte
        if response.status_code == 416:
            part.unlink()
            raise requests.ConnectionError(f"the server has no byte {here}; starting anew")
        response.raise_for_status()
        resumed = response.status_code == 206
        if resumed and (served is None or served[1] != str(here)):
            raise requests.ConnectionError(f"asked for what follows byte {here}, the server sent something else")
        here = here if resumed else 0  # a server that knows no ranges sends the whole
        length = response.headers.get("Content-Length")
        total = here + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            progress(part.stem, here, total)
            for piece in response.iter_content(PIECE):
                file.write(piece)
                here += len(piece)
                progress(part.stem, here, total)
        if total not in (None, here):  # requests itself notices from 2.32 on
            raise requests.ConnectionError(f"cut after {here} of {total} bytes")


def _refuse_foreign(devkit: Path) -> None:
    if devkit.exists() and not (devkit / RECORDS).is_dir():
        raise DownloadError(
            f"{devkit} was not unpacked by this command and is left alone: use it as it is, or give another root"
        )


def _unpack(path: Path, root: Path) -> None:
    for stale in root.glob(f"{_STAGING}*"):
        shutil.rmtree(stale)  # of a process that was killed
    with tempfile.TemporaryDirectory(dir=root, prefix=_STAGING) as staged:
        try:
            with tarfile.open(path, "r:") as archive:
                members = archive.getmembers()
                for member in members:
                    _refuse_unsafe(path, member, staged)
                archive.extractall(staged, members, filter="data")
        except tarfile.TarError as error:
            raise DownloadError(
                f"{path} cannot be read as a tar archive: {error}; delete it and run this again"
            ) from error
        (root / DEVKIT / RECORDS).mkdir(parents=True, exist_ok=True)
        for source in sorted(Path(staged).rglob("*")):  # a folder comes before what is in it
            target = root / source.relative_to(staged)
            if source.is_dir():
                target.mkdir(exist_ok=True)
            else:
                os.replace(source, target)


def _refuse_unsafe(path: Path, member: tarfile.TarInfo, staged: str) -> None:
    """Stricter than tarfile's own filter, which lets links pass: the published archives have none."""
    try:
        tarfile.data_filter(member, staged)
    except tarfile.FilterError as error:
        raise UnsafeArchive(f"{path} is refused whole, nothing of it was unpacked: {error}") from error
    if not (member.isfile() or member.isdir()):
        raise UnsafeArchive(f"{path} is refused whole, nothing of it was unpacked: {member.name!r} is a link or device")
    if PurePosixPath(member.name).parts[:1] not in ((), (DEVKIT,)):
        raise UnsafeArchive(
            f"{path} is refused whole, nothing of it was unpacked: {member.name!r} is not in the folder {DEVKIT}"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _root_cause(error: BaseException) -> BaseException:
    """Requests wraps urllib3's error, which wraps the system's; the innermost says it in a few words."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return error
