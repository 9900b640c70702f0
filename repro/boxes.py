"""Which proposals a run takes: those of files, of the file that lies beside the devkit, or selective search's own."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frcnn.repro import report
from frcnn.repro.proposals import Proposals, ProposalsError, of_split, read_file
from frcnn.repro.selective_search import selective_search
from frcnn.repro.voc import Split

if TYPE_CHECKING:
    from rich.console import Console

MADE = "OpenCV's selective search"


def beside(root: Path, mode: str) -> Path | None:
    """selective_search_fast.npz, or _quality, beside the VOCdevkit folder `root`; None if it is not there."""
    file = Path(os.path.abspath(root)).parent / f"selective_search_{mode}.npz"
    return file if file.is_file() else None


def boxes_for(
    splits: Sequence[Split], mode: str, files: Sequence[Path] = (), progress: Console | None = None
) -> tuple[Proposals, str]:
    """Boxes of the splits' photographs, and in words where they are from.

    mode: of selective search. files: .npz or .mat, which together hold every photograph, each once; without any, what
    `beside` finds is taken, and boxes are made where it finds nothing. progress: where a bar is drawn.

    Raises ProposalsError naming the file or the photograph.
    """
    own = beside(splits[0].root, mode)
    files = files or ([own] if own else [])
    found: Proposals = {}
    if not files:
        for split in splits:
            found |= selective_search(split, mode, progress=progress)
        return found, f"{MADE}, {mode}"
    stored: Proposals = {}
    for file in files:
        more = read_file(file, [[photograph.id for photograph in split.photographs] for split in splits])
        if again := stored.keys() & more.keys():
            raise ProposalsError(f"{file} has boxes of photograph {min(again)}, as a file before it has; leave one out")
        stored |= more
    for split in splits:
        try:
            found |= of_split(split, stored)
        except ProposalsError as error:
            raise ProposalsError(f"{' and '.join(map(str, files))}: {error}") from error
    return found, " and ".join(f"{file.name}, sha256 {report.file_digest(file)}" for file in files)


def made_here(source: str) -> bool:
    """Whether boxes that are from where `boxes_for` says in these words were made, and are in no file yet."""
    return source.startswith(f"{MADE}, ")


def by_the_authors(source: str) -> bool:
    """Whether boxes that are from where `boxes_for` says in these words are the authors': of .mat files alone."""
    return set(re.findall(r"(\.\w+), sha256 ", source)) == {".mat"}
