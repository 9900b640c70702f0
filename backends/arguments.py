"""What the operators refuse of plain Python arguments, and the constants of the spec: said once for all backends.

No framework is imported here, and nothing looks at a tensor. The reference says the same in its own files.
"""

import math
import operator

import numpy as np

PROFILES = ("exact", "caffe-2015")
LARGEST_COORDINATE = 2.0**24  # beyond it float32 no longer holds every whole number
FLOAT32_INFINITY = 2.0**128 - 2.0**103  # the least that float32 rounds to infinity, half a step above its largest
MOST_ROIS = 2**31 - 1
LARGEST_SIZE = 2**63 - 1  # that a framework can be told
EPSILON = 1e-14  # what the original adds to a width in place of a pixel, and to a count of targets
LARGEST_TARGET = 2.0**128
LEAST_SPREAD = 2.0**-500
MOST_CLASSES = 65536


def check_profile(profile):
    """Clauses roi-pool.error-profile, box-error.profile, nms-greedy.error-profile."""
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}, got {profile!r}")


def as_image_sides(name, value):
    """Clause box-error.image-size: `value`, (H, W) or one side in a tuple, as whole numbers."""
    try:
        sides = tuple(as_index(side) for side in value)
    except TypeError:
        raise TypeError(f"{name} must hold whole numbers, got {value!r}") from None
    if name == "image_size" and len(sides) != 2:
        raise ValueError(f"image_size must be (H, W), got {value!r}")
    if not all(1 <= side <= LARGEST_COORDINATE for side in sides):
        raise ValueError(f"{name} must lie in 1..2^24, got {value!r}")
    return sides


def as_features_shape(value):
    """Clause roi-pool.error-rank: (N, C, H, W) of the features whose gradient is wanted."""
    try:
        shape = tuple(as_index(size) for size in value)
    except TypeError:
        raise TypeError(f"features_shape must be 4 whole numbers, got {value!r}") from None
    if len(shape) != 4 or min(shape) < 0:
        raise ValueError(f"features_shape must be 4 whole numbers of at least 0, got {value!r}")
    return shape


def as_levels(value):
    """Clause spp-pool.error-levels."""
    try:
        levels = tuple(as_index(level) for level in value)
    except TypeError:
        raise TypeError(f"levels must be whole numbers, got {value!r}") from None
    if not levels or min(levels) < 1 or max(levels) > LARGEST_SIZE:
        raise ValueError(f"levels must be one or more whole numbers in 1..2^63 - 1, got {value!r}")
    return levels


def as_threshold(value):
    """Clause nms-greedy.error-threshold."""
    threshold = as_number("iou_threshold", value)
    if not 0 <= threshold <= 1:
        raise ValueError(f"iou_threshold must lie in 0..1, got {value!r}")
    return threshold


def as_index(value):
    """A whole number as an int; TypeError for what is none, truth values among them: spec/roi-pool.md."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    return operator.index(value)


def as_whole(name, value, least, most=math.inf):
    """Clauses sgd-step.error-schedule, roi-sampling.error-numbers, svd-layers.error-rank, detect-steps.error-limits."""
    try:
        number = as_index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if not least <= number <= most:
        limits = f"of at least {least}" if most == math.inf else f"in {least}..{most}"
        raise ValueError(f"{name} must be a whole number {limits}, got {value!r}")
    return number


def as_share(name, value):
    """Clauses roi-sampling.error-numbers, roi-sampling.error-thresholds: a number in 0..1."""
    number = as_number(name, value)
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must lie in 0..1, got {value!r}")
    return number


def as_thresholds(lo, hi, fg):
    """Clause roi-sampling.error-thresholds: three shares, none above the next."""
    numbers = [
        as_share(name, value)
        for name, value in (("bg_threshold_lo", lo), ("bg_threshold_hi", hi), ("fg_threshold", fg))
    ]
    if not numbers[0] <= numbers[1] <= numbers[2]:
        raise ValueError(f"bg_threshold_lo <= bg_threshold_hi <= fg_threshold must hold, got {numbers}")
    return numbers


def as_scales(value):
    """Clause detect-scale.error-scales: (S,) float64."""
    try:
        scales = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # a framework's tensor that is not there to be read
        raise TypeError(f"scales must be a row of numbers, got {value!r}") from None
    if scales.ndim != 1 or not len(scales):
        raise ValueError(f"scales must have shape (S,) and hold one at least, got {scales.shape}")
    if scales.dtype.kind not in "fiu":
        raise TypeError(f"scales must hold numbers, got {scales.dtype}")
    scales = scales.astype(np.float64)
    good = (scales > 0) & (scales <= LARGEST_COORDINATE)
    if not good.all():
        row = np.argmin(good)
        raise ValueError(f"scales[{row}] must be positive and at most 2^24, got {scales[row]:g}")
    return scales


def as_number(name, value):
    """`value` as a float; text, which float() would read, and truth values are no numbers: spec/roi-pool.md."""
    try:
        if isinstance(value, (str, bytes, bool, np.bool_)):
            raise TypeError
        return float(value)
    except OverflowError:  # a whole number of any length
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError, AttributeError):  # the last by a graph's tf.Variable
        raise TypeError(f"{name} must be a number, got {value!r}") from None


def as_finite(name, value, type_name):
    """`value` as a float: at least 0, and finite once rounded to float32 or float64. torch.compile traces this.

    Clauses sgd-step.error-number, multi-task-loss.error-lambda.
    """
    number = as_number(name, value)
    if not 0 <= number < (FLOAT32_INFINITY if type_name == "float32" else math.inf):
        raise ValueError(f"{name} must be at least 0 and finite in {type_name}, got {value!r}")
    return number


def as_rounded(name, value, kind):
    """as_finite, rounded to the NumPy type `kind`."""
    number = as_finite(name, value, kind.__name__)
    with np.errstate(under="ignore"):
        return kind(number)


def as_momentum(value, kind):
    """Clauses sgd-step.rates, sgd-step.error-number."""
    momentum = as_rounded("momentum", value, kind)
    if not momentum < 1:
        raise ValueError(f"momentum must lie in [0, 1) in {kind.__name__}, got {value!r}")
    return momentum


def as_product(name, value, factor_name, factor, kind):
    """Clauses sgd-step.rates, sgd-step.error-number: a solver's number times a blob's own factor, in `kind`."""
    with np.errstate(over="ignore", under="ignore"):
        product = as_rounded(name, value, kind) * as_rounded(factor_name, factor, kind)
    if not math.isfinite(product):
        raise ValueError(f"{name} times {factor_name} must be finite in {kind.__name__}, got {value!r} * {factor!r}")
    return product


def learning_rate(iteration, base, gamma, step):
    """base * gamma^floor(iteration / step): the rate of update `iteration`, counted from 0.

    Raises ValueError or TypeError naming the argument. Clauses: sgd-step.schedule, sgd-step.error-schedule.
    """
    iteration, step = as_whole("iteration", iteration, 0, 2**53), as_whole("step", step, 1, 2**53)
    base, gamma = as_finite("base", base, "float64"), as_finite("gamma", gamma, "float64")
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma must lie in (0, 1], got {gamma!r}")
    return base * gamma ** (iteration // step)
