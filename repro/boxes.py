"""Which proposals a run takes: those of a file, of the file that lies beside the devkit, or selective search's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from frcnn.repro import report
from frcnn.repro.proposals import Proposals, of_split, read_file
from frcnn.repro.selective_search import selective_search
from frcnn.repro.voc import Split

if TYPE_CHECKING:
    from rich.console import Console


def beside(root: Path, mode: str) -> Path | None:
    """selective_search_fast.npz, or _quality, beside the VOCdevkit folder `root`; None if it is not there."""
    file = Path(os.path.abspath(root)).parent / f"selective_search_{mode}.npz"
    return file if file.is_file() else None


def boxes_for(
    splits: Sequence[Split], mode: str, file: Path | None = None, progress: Console | None = None
) -> tuple[Proposals, str]:
    """Boxes of the splits' photographs, and in words where they are from.

    mode: of selective search. file: an .npz or .mat; None takes what `beside` finds, and makes boxes where it finds
    none. progress: where a bar is drawn.

    Raises ProposalsError naming the file or the photograph.
    """
    file = file or beside(splits[0].root, mode)
    found: Proposals = {}
    if file is None:
        for split in splits:
            found |= selective_search(split, mode, progress=progress)
        return found, f"OpenCV's selective search, {mode}"
    stored = read_file(file, [photograph.id for split in splits for photograph in split.photographs])
    for split in splits:
        found |= of_split(split, stored)
    return found, f"{file.name}, sha256 {report.file_digest(file)}"
