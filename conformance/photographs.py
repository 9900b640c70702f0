"""Real input: conv5_3 maps of photographs at the paper's scale, with the boxes that selective search found there.

A PASCAL VOC devkit, VGG16's convolutions and a file of proposals go in; one .npz for each photograph comes out, kept in
a cache, since a map takes seconds. A map that is in the cache was made from the same photograph, boxes and weights by
the same code: its name says so.

R boxes; map H x W; a box is (x1, y1, x2, y2), inclusive corners in pixels.

Source: the paper, sections 4.1 and 5.2 (the scale); the original's lib/utils/blob.py and lib/fast_rcnn/test.py.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from frcnn import reference
from frcnn.conformance import vgg16
from frcnn.whole_file import whole_file

SHORTER_SIDE, LONGEST_SIDE = 600, 1000
# Blue, green, red: the mean that the published ImageNet weights were trained with. The original's own differs by 1.
PIXEL_MEAN = np.array([103.939, 116.779, 123.68], np.float32)
SPATIAL_SCALE = 1 / 16
PROPOSALS = "selective_search_fast.npz"


class RealDataError(ValueError):
    """A file of the real input that is missing or is not what it should be; the sentence names it."""


@dataclass(frozen=True, eq=False)
class RealMap:
    """One photograph as RoI pooling sees it, at spatial scale 1/16.

    image_id: its name in the devkit.
    features: float32 (1, 512, H, W), conv5_3.
    rois: float32 (R, 5), image index 0 and a box in pixels of the resized image, not rounded.
    image_scale: pixels of the resized image per pixel of the photograph.
    """

    image_id: str
    features: np.ndarray
    rois: np.ndarray
    image_scale: float


@dataclass(frozen=True, eq=False)
class _Photograph:
    """What a map is made from, and the file in the cache that it goes to."""

    image_id: str
    jpeg: Path
    boxes: np.ndarray
    cached: Path


def prepare(
    voc_root: Path,
    weights: Path,
    proposals: Path | None,
    *,
    count: int,
    cache: Path,
    progress: Callable[[str], None],
) -> list[Path]:
    """Have the maps of `count` photographs, spaced evenly over the devkit's val list, in the cache.

    voc_root: the VOCdevkit folder, which holds VOC2007 (or, failing that, another year).
    weights: VGG16's convolutions, see `vgg16.load_weights`.
    proposals: .npz with ids, offsets and boxes; None takes selective_search_fast.npz beside the VOCdevkit folder.
    cache: made if it does not exist.
    progress: called with one line for each photograph.

    Returns the files, in the list's order, for `load`. Everything but the photographs' own contents is checked before
    the first map is computed. Raises RealDataError naming the path and what was expected there.
    """
    year = year_folder(Path(voc_root))
    if proposals is None:
        proposals = Path(os.path.abspath(voc_root)).parent / PROPOSALS
    listed = val_list(year, count)
    image_ids = [listed[k] for k in evenly(len(listed), count)]
    boxes = proposed_boxes(Path(proposals), image_ids)
    recipe = _digest(existing(Path(weights), "a file of VGG16's convolutions")) + _digest_of_the_code()
    photographs = []
    for image_id in image_ids:
        jpeg = existing(year / "JPEGImages" / f"{image_id}.jpg", "a photograph that the devkit's val list names")
        found = boxes[image_id].astype(np.float64)
        key = hashlib.sha256((recipe + _digest(jpeg)).encode() + found.tobytes()).hexdigest()
        photographs.append(_Photograph(image_id, jpeg, found, Path(cache) / f"{image_id}-{key}.npz"))
    _compute_missing(photographs, Path(weights), progress)
    return [photograph.cached for photograph in photographs]


def load(path: Path) -> RealMap:
    """A map that `prepare` made. Raises RealDataError if the file is not one."""
    image_id, features, rois, scale = _arrays(Path(path), ("image_id", "features", "rois", "image_scale"))
    return RealMap(str(image_id), features, rois, float(scale))


def image_scale(height: int, width: int) -> float:
    """The paper's scale: the shorter side becomes 600 pixels, unless the longer one would then exceed 1000.

    >>> image_scale(375, 500), image_scale(200, 500)
    (1.6, 2.0)
    """
    return reference.image_scale((height, width), SHORTER_SIDE, LONGEST_SIDE)


def decoded(jpeg: Path) -> np.ndarray:
    """A photograph's pixels, uint8 (height, width, 3), blue first. Raises RealDataError.

    Annotations and proposals are in the pixels as stored, so a camera's note on orientation is not followed.
    """
    photograph = cv2.imread(str(jpeg), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if photograph is None:
        raise RealDataError(f"{jpeg} must be a photograph, but OpenCV cannot decode it")
    return photograph


def resized(photograph: np.ndarray) -> tuple[np.ndarray, float]:
    """VGG16's input, float32 (3, H, W), and the image scale, of a photograph uint8 (height, width, 3), blue first."""
    scale = image_scale(*photograph.shape[:2])
    centred = photograph.astype(np.float32) - PIXEL_MEAN  # before resizing, as the original
    image = cv2.resize(centred, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(image.transpose(2, 0, 1)), scale


def _compute_missing(photographs: Sequence[_Photograph], weights: Path, progress: Callable[[str], None]) -> None:
    arrays = None
    for k, photograph in enumerate(photographs, start=1):
        if photograph.cached.exists():
            outcome = "from the cache"
        else:
            start = time.perf_counter()
            arrays = arrays or _loaded_weights(weights)
            _store(photograph, arrays)
            outcome = f"conv5_3 in {time.perf_counter() - start:.1f} s"
        progress(f"photograph {k} of {len(photographs)}: {photograph.image_id}, {outcome}")


def _store(photograph: _Photograph, weights: dict[str, np.ndarray]) -> None:
    """Compute a map and store it; several processes may share the cache."""
    image, scale = resized(decoded(photograph.jpeg))
    boxes = photograph.boxes * scale
    rois = np.column_stack([np.zeros(len(boxes)), boxes]).astype(np.float32)
    features = vgg16.conv5_3(image, weights)[None]
    photograph.cached.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(photograph.cached) as file:  # 95 % of conv5_3 is zero: a tenth of the size
        np.savez_compressed(file, image_id=photograph.image_id, features=features, rois=rois, image_scale=scale)


def year_folder(voc_root: Path) -> Path:
    lists = sorted(voc_root.glob("VOC20[0-9][0-9]/ImageSets/Main/val.txt"))
    if not lists:
        raise RealDataError(f"{voc_root} must be a VOCdevkit folder with VOC2007/ImageSets/Main/val.txt, but has none")
    years = [path.parents[2] for path in lists]
    return next((year for year in years if year.name == "VOC2007"), years[0])


def val_list(year: Path, count: int) -> list[str]:
    path = year / "ImageSets" / "Main" / "val.txt"
    image_ids = path.read_text(encoding="ascii", errors="replace").split()
    if len(image_ids) < count:
        raise RealDataError(f"{path} must name at least the {count} photographs asked for, but names {len(image_ids)}")
    return image_ids


def evenly(length: int, count: int) -> list[int]:
    """`count` places in a list at equal distances from the first on, so that 5 of them are among 20 of them."""
    return [k * length // count for k in range(count)]


def proposed_boxes(path: Path, image_ids: Sequence[str]) -> dict[str, np.ndarray]:
    """Each image's boxes, zero-based inclusive pixels of the photograph, in the order of the file."""
    ids, offsets, boxes = _arrays(existing(path, "a file of selective-search boxes"), ("ids", "offsets", "boxes"))
    if offsets.shape != (len(ids) + 1,) or boxes.shape != (offsets[-1], 4):
        raise RealDataError(
            f"{path} must have one offset more than ids and boxes (offsets[-1], 4), "
            f"but has ids {ids.shape}, offsets {offsets.shape}, boxes {boxes.shape}"
        )
    place = {name.decode(): k for k, name in enumerate(ids.astype(bytes).tolist())}
    for image_id in image_ids:
        if image_id not in place:
            raise RealDataError(f"{path} has no boxes for photograph {image_id}, which the devkit's val list names")
    return {name: boxes[offsets[place[name]] : offsets[place[name] + 1]] for name in image_ids}


def _arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return [stored[name] for name in names]
    except vgg16.UNREADABLE as error:
        raise RealDataError(
            f"{path} must be an .npz file with {', '.join(names)}, but cannot be read: {error}"
        ) from None


def _loaded_weights(path: Path) -> dict[str, np.ndarray]:
    try:
        return vgg16.load_weights(path)
    except ValueError as error:
        raise RealDataError(str(error)) from None


def existing(path: Path, what: str) -> Path:
    if not path.is_file():
        raise RealDataError(f"{path} must be {what}, but there is no such file")
    return path


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest_of_the_code() -> str:
    return _digest(Path(__file__)) + _digest(Path(vgg16.__file__)) + cv2.__version__ + np.__version__
