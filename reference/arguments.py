"""What the reference refuses, and the sentence it refuses it with.

Every message names the argument, the value and what would be right. The checks stand apart from the operators so that
an operator's file holds its meaning and nothing else.

Clauses: roi-pool.error-rank, roi-pool.error-type, roi-pool.error-profile, roi-pool.error-output-size,
roi-pool.error-scale, roi-pool.error-image-index, roi-pool.error-coordinate, roi-pool.error-argmax, roi-pool.unchecked
"""

import math
import numbers
import operator

import numpy as np

PROFILES = ("exact", "caffe-2015")

# Beyond 2^24 float32 no longer holds every whole number, so a pixel there has no exact place.
LARGEST_COORDINATE = 2.0**24

MOST = 2**31 - 1  # of what is counted: images, RoIs, numbers along one side

_FLOATS = ("float16", "bfloat16", "float32", "float64")


def check_profile(profile):
    """Clause roi-pool.error-profile."""
    if not isinstance(profile, str) or profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")


def as_array(name, value):
    """`value` as an array; lists of unequal lengths are none."""
    try:
        return np.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be an array, or what makes one: {error}") from None


def as_number(name, value):
    """`value` as a float, where it is what spec/roi-pool.md calls a number: real, Python's or NumPy's."""
    array = as_array(name, value)
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)  # also what NumPy has no type for
    if array.ndim or not (array.dtype.kind in "iuf" or real):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:  # a whole number of any length
        return math.inf if value > 0 else -math.inf


def as_rounded(name, value, kind):
    """`value` rounded to the floating-point type `kind`: at least 0, and finite there. Each page says of what."""
    number = as_number(name, value)
    with np.errstate(over="ignore", under="ignore"):
        rounded = kind(number)
    if not (number >= 0 and np.isfinite(rounded)):  # -1e-50 is below 0, whatever it is rounded to
        raise ValueError(f"{name} must be at least 0 and finite in {kind.__name__}, got {value!r}")
    return rounded


def as_float_array(name, value, shape):
    """`value` as an array of one of the four floating-point types and of the rank and sizes that `shape` spells.

    `shape` is a tuple such as ("R", 5): a string stands for any size. Clauses roi-pool.error-rank,
    roi-pool.error-type, roi-pool.dtype, roi-pool.dtype-float64.
    """
    array = as_array(name, value)
    spelled = "(" + ", ".join(map(str, shape)) + ")"
    if array.ndim != len(shape) or any(isinstance(s, int) and s != n for s, n in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{name} must have shape {spelled}, got {array.shape}")
    if array.dtype.name not in _FLOATS:
        raise TypeError(f"{name} must have one of the types {', '.join(_FLOATS)}, got {array.dtype}")
    return array


def as_index(value):
    """A whole number as an int; TypeError for what is none, truth values among them: spec/roi-pool.md."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    return operator.index(value)


def as_whole(name, value, least, most):
    """`value` as a whole number in least .. most. Each page's clause on its numbers says which."""
    try:
        number = as_index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if not least <= number <= most:
        raise ValueError(f"{name} must be a whole number in {least}..{most:.0f}, got {value!r}")
    return number


def as_sizes(name, value, length, least):
    """`value` as a tuple of `length` whole numbers, none below `least`. Clause roi-pool.error-output-size."""
    try:
        sizes = tuple(as_index(size) for size in value)
    except TypeError:
        raise TypeError(f"{name} must be {length} whole numbers, got {value!r}") from None
    if len(sizes) != length or min(sizes) < least:
        raise ValueError(f"{name} must be {length} whole numbers of at least {least}, got {value!r}")
    return sizes


def as_output_size(value):
    """`value` as (P_h, P_w); one number stands for both. Clause roi-pool.error-output-size."""
    return as_sizes("output_size", (value, value) if as_array("output_size", value).ndim == 0 else value, 2, 1)


def as_scale(value, kind):
    """`value` rounded to the floating-point type `kind`, positive and finite there. Clause roi-pool.error-scale."""
    with np.errstate(over="ignore", under="ignore"):
        scale = kind(as_number("spatial_scale", value))
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"spatial_scale must be positive and finite in {kind.__name__}, got {value!r}")
    return scale


def usable_rois(name, rois, scale, images, validate):
    """Which rows of `rois` (R, 5), already widened, may be pooled: a mask (R,).

    With `validate` the first row that may not raises ValueError, as clauses roi-pool.error-image-index and
    roi-pool.error-coordinate say; without it the row is only marked, for clause roi-pool.unchecked.
    """
    if not isinstance(validate, (bool, np.bool_)):
        raise TypeError(f"validate must be True or False, got {validate!r}")
    index, corners = rois[:, 0], rois[:, 1:]
    with np.errstate(invalid="ignore", over="ignore"):
        good_index = (index >= 0) & (index < images) & (index == np.floor(index))
        good_corner = np.abs(corners) <= LARGEST_COORDINATE
        good_place = np.abs(corners * scale) <= LARGEST_COORDINATE
    usable = good_index & (good_corner & good_place).all(axis=1)
    if validate and not usable.all():
        row = int(np.argmin(usable))
        if not good_index[row]:
            raise ValueError(
                f"{name}[{row}] has image index {index[row]:g}, but features holds {images} images"
                + (f" (0..{images - 1})" if images else "")
            )
        column = int(np.argmin(good_corner[row] & good_place[row]))
        value = corners[row, column]
        raise ValueError(
            f"{name}[{row}] has {('x1', 'y1', 'x2', 'y2')[column]} = {value:g}, {value * scale:g} on the map; "
            f"coordinates must be finite and at most 2^24 in size, before and after spatial_scale"
        )
    return usable
