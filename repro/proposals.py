"""Proposals: for each photograph the boxes in which Fast R-CNN looks for objects, read, written and checked.

R boxes of one photograph: float32 (R, 4), rows (x1, y1, x2, y2), zero-based inclusive pixels of the photograph as it is
stored, in the order in which the algorithm gave them. A box may come more than once, as in the original.

Source: rbgirshick/fast-rcnn, lib/datasets/pascal_voc.py:128-147 (the .mat files).
"""

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np

from frcnn.repro.npz import why
from frcnn.repro.voc import Split
from frcnn.whole_file import whole_file

Proposals = dict[str, np.ndarray]

_NPZ = ("ids", "offsets", "boxes")
_LARGEST = np.iinfo(np.uint16).max
_UNREADABLE = (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error)


class ProposalsError(ValueError):
    """Proposals that are missing or are not what they should be; the sentence names the file or the photograph."""


def read_npz(path: Path) -> Proposals:
    """Proposals by photograph, in the order of the file.

    path: .npz with `ids` (n,), bytes or text; `offsets` (n + 1,), whole numbers; `boxes` (total, 4), zero-based
        inclusive (x1, y1, x2, y2): the boxes of ids[k] are boxes[offsets[k]:offsets[k + 1]].

    Raises ProposalsError naming the file and what is wrong with it.

    >>> write_npz(path, {"000005": np.float32([[0, 0, 9, 4]])})  # doctest: +SKIP
    >>> read_npz(path)["000005"].tolist()  # doctest: +SKIP
    [[0.0, 0.0, 9.0, 4.0]]
    """
    path = Path(path)
    ids, offsets, boxes = stored_arrays(path, _NPZ)
    shapes = f"ids {ids.shape}, offsets {offsets.shape}, boxes {boxes.shape}"
    if ids.ndim != 1 or ids.dtype.kind not in "SU":
        raise ProposalsError(f"{path} must have a row of ids, bytes or text, but has {shapes}, ids of type {ids.dtype}")
    if offsets.shape != (len(ids) + 1,) or offsets.dtype.kind not in "iu":
        raise ProposalsError(f"{path} must have one offset more than ids, whole numbers, but has {shapes}")
    if offsets[0] != 0 or (offsets[1:] < offsets[:-1]).any() or boxes.shape != (offsets[-1], 4):
        raise ProposalsError(
            f"{path} must have offsets that rise from 0 to the number of rows of boxes, (offsets[-1], 4), "
            f"but has {shapes}, offsets from {offsets[0]} to {offsets[-1]}"
        )
    if boxes.dtype.kind not in "iuf":
        raise ProposalsError(f"{path} must have boxes that are numbers, but they are {boxes.dtype}")
    try:
        names = [name.decode() if isinstance(name, bytes) else name for name in ids.tolist()]
    except UnicodeDecodeError as error:
        raise ProposalsError(f"{path} must have ids in UTF-8, but has {error.object!r}") from None
    boxes = boxes.astype(np.float32)
    return _by_name(path, names, [boxes[a:b] for a, b in pairwise(offsets.tolist())])


def read_file(path: Path, lists: Sequence[Sequence[str]]) -> Proposals:
    """Those of a .mat or of an .npz: as read_mat and read_npz."""
    return read_mat(path, lists) if path.suffix == ".mat" else read_npz(path)


def read_mat(path: Path, lists: Sequence[Sequence[str]]) -> Proposals:
    """The proposals that the original published for download, a MATLAB file for each of the devkit's lists.

    path: .mat with the cell array `boxes`, a cell (R, 4) for each photograph, one-based (y1, x1, y2, x2), and mostly
        the cell array `images`, the photographs' names.
    lists: the photographs of each list that is asked for, in its order. A file without `images` is taken to be of the
        one that has as many photographs as the file has cells.

    Raises ProposalsError naming the file and what is wrong with it.
    """
    path = Path(path)
    boxes, images = _cells(path)
    if images is None:
        fitting = [ids for ids in lists if len(ids) == len(boxes)]
        if len(fitting) != 1:
            raise ProposalsError(
                f"{path} has no names of photographs (`images`), so that its {len(boxes)} cells of boxes must be those "
                f"of one list alone, in its order; those asked for have {', '.join(str(len(ids)) for ids in lists)} "
                "photographs"
            )
        images = list(fitting[0])
    if len(images) != len(boxes):
        raise ProposalsError(f"{path} must have as many `images` as `boxes`, but has {len(images)} and {len(boxes)}")
    return _by_name(path, images, [_from_matlab(path, name, cell) for name, cell in zip(images, boxes, strict=True)])


def write_npz(path: Path, proposals: Mapping[str, np.ndarray]) -> None:
    """Write what `read_npz` reads: ids sorted, boxes as uint16. The file is there whole or not at all.

    Raises ProposalsError naming the photograph whose boxes are not whole numbers of 0 to 65535.
    """
    ids = sorted(proposals)
    for name in ids:
        boxes = np.asarray(proposals[name])
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ProposalsError(f"boxes of photograph {name} must have shape (R, 4), but have {boxes.shape}")
        bad = np.flatnonzero(~((boxes >= 0) & (boxes <= _LARGEST) & (boxes == np.floor(boxes))).all(axis=1))
        if bad.size:
            raise ProposalsError(
                f"box {bad[0]} of photograph {name} is {_row(boxes[bad[0]])}; a file of proposals holds whole numbers "
                f"from 0 to {_LARGEST}"
            )
    rows = [np.asarray(proposals[name], np.uint16) for name in ids]
    write_whole(
        Path(path),
        ids=np.array([name.encode() for name in ids], bytes),
        offsets=np.cumsum([0, *map(len, rows)], dtype=np.int64),
        boxes=np.concatenate([np.empty((0, 4), np.uint16), *rows]),
    )


def of_split(split: Split, proposals: Mapping[str, np.ndarray]) -> Proposals:
    """The proposals of a split's photographs, in its order, each checked to lie within its photograph.

    proposals: may hold other photographs too, which are left out unchecked.

    A photograph may have no box (shape (0, 4)), but it must be there. Raises ProposalsError naming the photograph.
    """
    chosen = {}
    for photograph in split.photographs:
        if photograph.id not in proposals:
            raise ProposalsError(
                f"photograph {photograph.id} of {split.year} {split.name} has no proposals among those of "
                f"{len(proposals)} photographs; `frcnn proposals make` makes them"
            )
        chosen[photograph.id] = boxes = np.asarray(proposals[photograph.id], np.float32)
        check_boxes(f"photograph {photograph.id}", boxes, photograph.width, photograph.height)
    return chosen


def check_boxes(where: str, boxes: np.ndarray, width: int, height: int) -> None:
    """Raise ProposalsError, beginning with `where`, unless every box holds a pixel and only pixels of the image."""
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ProposalsError(f"{where}: boxes must have shape (R, 4), but have {boxes.shape}")
    x1, y1, x2, y2 = boxes.T
    good = (0 <= x1) & (x1 <= x2) & (x2 <= width - 1) & (0 <= y1) & (y1 <= y2) & (y2 <= height - 1)  # not of a NaN
    if not good.all():
        first = int(np.argmin(good))
        raise ProposalsError(
            f"{where}: box {first} is {_row(boxes[first])}, but must have 0 <= x1 <= x2 <= {width - 1} and "
            f"0 <= y1 <= y2 <= {height - 1}, since the photograph is {width} x {height}"
        )


def write_whole(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz whole or not at all, whoever else writes it at the same time; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def stored_arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays of an .npz by name. Raises ProposalsError if the file is not one with all of them."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return [stored[name] for name in names]
    except (*_UNREADABLE, TypeError) as error:  # TypeError: a bare array, .npy, is nothing to open
        raise ProposalsError(
            f"{path} must be an .npz with {', '.join(names)}, but cannot be read: {why(error)}"
        ) from None


def _by_name(path: Path, names: Sequence[str], boxes: Sequence[np.ndarray]) -> Proposals:
    found = dict(zip(names, boxes, strict=True))
    if len(found) != len(names):
        again = next(name for k, name in enumerate(names) if name in names[:k])
        raise ProposalsError(f"{path} must name each photograph once, but names {again} again")
    return found


def _cells(path: Path) -> tuple[list, list[str] | None]:
    """The cells of `boxes`, and the names of `images` without folder and ending, where there are any."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        with open(path, "rb") as file:  # or a file that is not there is said in scipy's words
            stored = loadmat(file, variable_names=["boxes", "images"])
    except NotImplementedError:
        raise ProposalsError(f"{path} is a MATLAB 7.3 file; save it with `save(..., '-v7')`") from None
    except (*_UNREADABLE, TypeError, MatReadError) as error:
        raise ProposalsError(f"{path} must be a MATLAB file, but cannot be read: {why(error)}") from None
    if "boxes" not in stored or stored["boxes"].dtype != object:
        raise ProposalsError(f"{path} must have a cell array `boxes`; is it a file of proposals?")
    boxes = list(stored["boxes"].ravel())
    if "images" not in stored:
        return boxes, None
    return boxes, [_name(path, cell) for cell in stored["images"].ravel()]


def _name(path: Path, cell) -> str:
    text = np.asarray(cell).ravel()
    if text.size != 1 or text.dtype.kind != "U":
        raise ProposalsError(f"{path} must have a name in each cell of `images`, but one holds {text.tolist()}")
    return PurePosixPath(text[0]).stem  # some files have a folder or an ending


def _from_matlab(path: Path, name: str, cell) -> np.ndarray:
    boxes = np.asarray(cell)
    if boxes.size == 0:
        return np.empty((0, 4), np.float32)  # MATLAB's [] is 0 x 0
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype.kind not in "iuf":
        raise ProposalsError(f"{path}: boxes of {name} must be numbers (R, 4), but are {boxes.dtype} {boxes.shape}")
    # Widened first: a wrong 0 of an unsigned type would otherwise become a large number, and not be seen.
    return (boxes[:, [1, 0, 3, 2]].astype(np.float64) - 1).astype(np.float32)


def _row(box: np.ndarray) -> str:
    return f"({', '.join(f'{value:g}' for value in box.tolist())})"
