"""Compiles a framework's binding of the native kernels, when it is first used, into a cache.

Requirements, and their reasons:

- A wheel cannot hold these libraries: each must match the installed framework, the compiler's C++ library and the CPU
  (-march=native). All of them are part of the cache's key, so that none is ever served to another.
- A container may be built with a compiler and run without: where there is none, the newest library that another one has
  compiled of the same source, for the same framework and CPU, is taken.
- Eight processes that start at once compile once: a lock per library, and the rest wait for it.
- A library is there whole or not at all: it is written under another name, to the disk, and then renamed.
- A build that is killed leaves a folder; a later one removes those that are older than a day.
- -ffp-contract=off and no -ffast-math: clauses roi-pool.projection and roi-pool.grid count roundings.
"""

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from frcnn import cache
from frcnn.backends import UnavailableBackend

HEADERS = Path(__file__).parent
DAY = 24 * 60 * 60  # in seconds
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-O3", "-std=c++17", "-march=native", "-ffp-contract=off", "-pthread", "-fPIC", "-shared")


def shared_library(name: str, source: Path, *, flags: Sequence[str], framework: str) -> Path:
    """The path of the library compiled from `source`, from the cache or compiled now.

    name: of the library, such as "torch"; the file's name begins with it.
    source: the binding; the headers of this folder are on its include path and part of the key.
    flags: for the compiler, after the source, so that -l options find their users.
    framework: such as "torch 2.13.0"; a new version compiles anew.

    Raises UnavailableBackend where there is no compiler, nor a library that one has compiled for this CPU; where it
    fails, with its last lines and the command; or where the cache cannot be written.

    >>> shared_library("torch", Path("binding.cpp"), flags=["-ltorch"], framework="torch 2.13.0").name  # doctest: +SKIP
    'torch-0b1f6ae3c9d24f57a8e0-5d41c2aa.so'
    """
    folder, own = cache.folder("native"), f"{name}-{_key(source, flags, framework)}"
    try:
        compiler = find_compiler()
    except UnavailableBackend:
        compiled = list(folder.glob(f"{own}-*.so")) if features() else []
        if not compiled:
            raise
        return max(compiled, key=lambda library: library.stat().st_mtime)
    command = [*compiler, *FLAGS, f"-I{HEADERS}", str(source), *flags]
    library = folder / f"{own}-{_key_of_compiler(compiler)}.so"
    try:
        if library.exists():  # in a cache that may be for reading alone
            return library
        library.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(library.with_suffix(".lock")):
            if not library.exists():
                _compile(command, library, framework)
    except OSError as error:
        raise UnavailableBackend(
            f"the cache for compiled kernels, {library.parent}, cannot be used ({error}); "
            f"set FRCNN_CACHE_DIR to a folder that can be written"
        ) from error
    return library


def find_compiler() -> list[str]:
    """The C++ compiler as a command: $CXX, which may hold options, else the first of COMPILERS on the path."""
    try:
        asked = shlex.split(os.environ.get("CXX", ""))
    except ValueError as error:
        raise UnavailableBackend(f"$CXX is no command: {error}, in {os.environ['CXX']}") from error
    for command in [asked] if asked else [[compiler] for compiler in COMPILERS]:
        if shutil.which(command[0]):
            return command
    sought = f"$CXX, which is {shlex.join(asked)}" if asked else f"$CXX, {', '.join(COMPILERS)}"
    raise UnavailableBackend(
        f"the native kernels are compiled when first used, and no C++ compiler was found (looked for {sought}): "
        f"install one, such as Debian's package g++, or name one in the environment variable CXX"
    )


def features(info: Path = Path("/proc/cpuinfo")) -> str:
    """What the processor can do, as Linux lists it; nothing where it does not."""
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(("flags", "Features"))), "")


def _key(source: Path, flags: Sequence[str], framework: str) -> str:
    """What the library depends on, whatever compiles it, hashed."""
    digest = hashlib.sha256()
    for file in (source, *sorted(HEADERS.glob("*.h"))):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    for part in (*FLAGS, *flags, framework, platform.machine(), features()):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:20]


def _key_of_compiler(compiler: list[str]) -> str:
    """The compiler, and the processor as it sees it, hashed: its macros under -march=native name features."""
    macros = [*compiler, "-march=native", "-dM", "-E", "-x", "c++", os.devnull]
    parts = (*compiler, _answer([*compiler, "--version"]), _answer(macros))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]


def _answer(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _remove_what_killed_builds_left(cache: Path) -> None:
    for folder in cache.glob(f"{tempfile.gettempprefix()}*"):
        with contextlib.suppress(OSError):  # another process may be about the same
            if folder.is_dir() and time.time() - folder.stat().st_mtime > DAY:
                shutil.rmtree(folder)


def _compile(command: list[str], library: Path, framework: str) -> None:
    _remove_what_killed_builds_left(library.parent)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        unfinished = Path(folder) / library.name
        command = [*command, "-o", str(unfinished)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        if outcome.returncode:
            last_lines = (
                "\n".join(outcome.stderr.strip().splitlines()[-20:]) or f"none; it ended with {outcome.returncode}"
            )
            raise UnavailableBackend(
                f"the native kernels could not be compiled for {framework}; the compiler's last lines:\n{last_lines}\n"
                f"The command: {shlex.join(command)}"
            )
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())  # before its name, lest a power cut leave half a library under it
        os.replace(unfinished, library)
