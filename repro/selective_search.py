"""Selective search, as OpenCV's contrib modules have it, over the photographs of a split, in parallel processes.

Boxes of each photograph are kept in a cache, a file each, named for the sha256 of the photograph's file, the settings
and OpenCV's version. A run that is stopped goes on where it was, and a photograph that two splits share is done once.

OpenCV orders boxes by a rank that it multiplies by the C library's rand(), which it never seeds
(opencv_contrib, modules/ximgproc/src/selectivesearchsegmentation.cpp): the set of boxes is always the same, their order
depends on what the process did before. Here rand() is seeded anew for every photograph, so the order is the same
whatever the number of processes and whether a run was stopped; it is the order that a fresh process gives.

Source: Uijlings et al., Selective search for object recognition, IJCV 104, 2013; the paper, section 2.3 and 4.1.
"""

import ctypes
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from frcnn import cache as caches
from frcnn.machine import processors
from frcnn.repro.proposals import Proposals, ProposalsError, check_boxes, stored_arrays, write_whole
from frcnn.repro.voc import Photograph, Split, read_image

if TYPE_CHECKING:
    from rich.console import Console

MODES = ("fast", "quality")
# OpenCV's own defaults, said here since they are part of a cached file's name.
BASE_K, INC_K, SIGMA = 150, 150, 0.8
RAND_SEED = 1  # what rand() has before any srand(), by the C standard


def selective_search(
    split: Split,
    mode: str = "fast",
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: "Console | None" = None,
) -> Proposals:
    """Boxes by selective search in every photograph of a split.

    mode: "fast", or "quality", which has more colour spaces and groupings: more boxes, in more time.
    workers: how many processes; None takes one for each processor.
    cache: a folder, made if need be; None takes the user's.
    progress: where a bar with the time left is drawn; None draws none.

    Returns the proposals in the split's order. A script that calls this needs the usual `if __name__ == "__main__":`,
    since the processes are spawned. Raises DevkitError naming a photograph that cannot be read, ProposalsError naming a
    damaged file of the cache, or OpenCV where it lacks the module; what was done until then stays in the cache.
    """
    if mode not in MODES:
        raise ProposalsError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if workers is not None and workers < 1:
        raise ProposalsError(f"workers must be at least 1, got {workers}")
    _check_opencv()
    cache = caches.folder("selective-search") if cache is None else Path(cache)
    kept = [cache / f"{_key(photograph.path, mode)}.npz" for photograph in split.photographs]
    missing = {file: photograph for file, photograph in zip(kept, split.photographs, strict=True) if not file.exists()}
    if missing:
        _fill(list(missing.items()), mode, min(workers or processors(), len(missing)), progress)
    found = {}
    for photograph, file in zip(split.photographs, kept, strict=True):
        boxes = _kept_boxes(file)
        check_boxes(str(photograph.path), boxes, photograph.width, photograph.height)
        found[photograph.id] = boxes
    return found


def boxes_of(image: np.ndarray, mode: str) -> np.ndarray:
    """Selective search in one image, uint8 (H, W, 3), blue first: int32 (R, 4), zero-based inclusive corners."""
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(image)
    switch = {"fast": search.switchToSelectiveSearchFast, "quality": search.switchToSelectiveSearchQuality}[mode]
    switch(BASE_K, INC_K, SIGMA)
    ctypes.CDLL(None).srand(RAND_SEED)
    boxes = np.reshape(search.process(), (-1, 4))  # x, y, width, height
    boxes[:, 2:] += boxes[:, :2] - 1
    return boxes


def _fill(missing: Sequence[tuple[Path, Photograph]], mode: str, workers: int, progress: "Console | None") -> None:
    """Compute what is not in the cache. Spawned, since a fork of a process that holds torch or tensorflow may hang."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar = Progress(
        TextColumn("selective search, {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=progress or Console(quiet=True),
        speed_estimate_period=600,  # photographs differ, and come in bursts of as many as there are processes
    )
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent)
    try:
        with bar:
            task = bar.add_task(f"{mode}, {workers} at a time", total=len(missing))
            for done in as_completed([pool.submit(_compute, photograph, mode, file) for file, photograph in missing]):
                done.result()
                bar.advance(task)
    except BrokenProcessPool as error:
        raise ProposalsError(
            f"a process of selective search ended by itself, perhaps for want of memory: {error} What is done is kept; "
            f"run it again, with fewer workers than {workers}"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """Else a process whose parent is killed waits for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _compute(photograph: Photograph, mode: str, file: Path) -> None:
    """In a process of its own: one photograph's boxes into the cache."""
    cv2.setNumThreads(1)  # there is a process for each processor
    image = read_image(photograph)
    write_whole(file, boxes=boxes_of(image, mode).astype(np.uint16))


def _kept_boxes(file: Path) -> np.ndarray:
    try:
        (boxes,) = stored_arrays(file, ["boxes"])
    except ProposalsError as error:
        raise ProposalsError(f"{error}; it is in the cache, so delete it and run this again") from None
    return boxes.astype(np.float32)


def _key(photograph: Path, mode: str) -> str:
    """The name of a cached file: everything that its boxes depend on."""
    image = hashlib.sha256(photograph.read_bytes()).hexdigest()
    made_from = {
        "image": image,
        "mode": mode,
        "settings": (BASE_K, INC_K, SIGMA),
        "rand": RAND_SEED,
        "opencv": cv2.__version__,
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()


def _check_opencv() -> None:
    if not hasattr(cv2, "ximgproc"):
        raise ProposalsError(
            f"selective search is in OpenCV's contrib modules, which OpenCV {cv2.__version__} at "
            f"{Path(cv2.__file__).parent} lacks: uninstall it and `pip install opencv-contrib-python-headless`"
        )
