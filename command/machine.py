"""Where a run was made: the machine, without a name that would tell whose it is, and the commit."""

import os
import platform
import subprocess
import sys
from pathlib import Path

COMMIT = "FRCNN_COMMIT"  # set by nox, which installs a copy outside the checkout


def machine() -> dict:
    """Processor, cores, memory, system and Python, as a report has them."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
    }


def processor(info: Path = Path("/proc/cpuinfo")) -> str:
    """Its name, then family and model where they are told: a virtual machine's name may leave the generation out."""
    lines = info.read_text().splitlines() if info.exists() else []
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in reversed(lines))}
    generation = [f"{name.removeprefix('cpu ')} {told[name]}" for name in ("cpu family", "model") if name in told]
    return ", ".join([told.get("model name", "unknown"), *generation])


def processors() -> int:
    """How many this process may use: a container or `taskset` may give it fewer than the machine has."""
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()) or 1


def peak_memory() -> int | None:
    """Bytes that this process has held at most; None where the system does not tell."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def commit() -> str | None:
    """The commit of the checkout that this runs from, "-dirty" where it is changed; None where that is not known."""
    if given := os.environ.get(COMMIT):
        return given
    here = Path(__file__).resolve().parent
    if not (here.parent / ".git").exists():
        return None  # an installed copy may lie in somebody else's checkout
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
