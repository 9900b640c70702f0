"""One call of an operator: its arguments, and how to write it down so that someone else can repeat it."""

from dataclasses import dataclass, replace

import ml_dtypes
import numpy as np

DTYPES = {
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
}


@dataclass(frozen=True, eq=False)
class Pooling:
    """A forward call. features (N, C, H, W), rois (R, 5) in image pixels, output_size (P_h, P_w)."""

    features: np.ndarray
    rois: np.ndarray
    output_size: tuple[int, int]
    spatial_scale: float = 1.0
    profile: str = "exact"
    validate: bool = True
    with_argmax: bool = True

    def __repr__(self):
        return (
            f"Pooling(features={_shape_of(self.features)}, rois={_rows_of(self.rois)}, "
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale!r}, profile={self.profile!r}"
            f"{'' if self.with_argmax else ', with_argmax=False'})"
        )

    def having(self, **changes):
        """The same call with some arguments changed."""
        return replace(self, **changes)

    def reproducer(self, loading):
        """Lines of Python that make this call again on a backend, loaded by this call, and on the reference."""
        options = f"profile={self.profile!r}, validate={self.validate}, with_argmax={self.with_argmax}"
        return "\n".join(
            (
                *_PREAMBLE,
                f"features = {literal(self.features)}",
                f"rois = {literal(self.rois)}",
                f"call = (features, rois, {self.output_size}, {self.spatial_scale!r})",
                f"print(repr({loading}.roi_pool(*call, {options})))",
                f"print(repr(load('reference').roi_pool(*call, {options})))",
            )
        )


@dataclass(frozen=True, eq=False)
class Unpooling:
    """A backward call. grad_output and argmax (R, C, P_h, P_w), rois (R, 5), features_shape (N, C, H, W)."""

    grad_output: np.ndarray
    argmax: np.ndarray
    rois: np.ndarray
    features_shape: tuple[int, int, int, int]
    spatial_scale: float = 1.0
    profile: str = "exact"
    deterministic: bool | None = None  # None: as the backend has it by default

    def __repr__(self):
        return (
            f"Unpooling(grad_output={_shape_of(self.grad_output)}, rois={_rows_of(self.rois)}, "
            f"features_shape={self.features_shape}, spatial_scale={self.spatial_scale!r}, profile={self.profile!r}"
            f"{'' if self.deterministic is None else f', deterministic={self.deterministic}'})"
        )

    def having(self, **changes):
        """The same call with some arguments changed."""
        return replace(self, **changes)

    def reproducer(self, loading):
        """Lines of Python that make this call again on a backend, loaded by this call, and on the reference."""
        options = f"profile={self.profile!r}"
        if self.deterministic is not None:
            options += f", deterministic={self.deterministic}"
        return "\n".join(
            (
                *_PREAMBLE,
                f"grad_output = {literal(self.grad_output)}",
                f"argmax = {literal(self.argmax)}",
                f"rois = {literal(self.rois)}",
                f"call = (grad_output, argmax, rois, {self.features_shape}, {self.spatial_scale!r})",
                f"print(repr({loading}.roi_pool_backward(*call, {options})))",
                f"print(repr(load('reference').roi_pool_backward(*call, {options})))",
            )
        )


@dataclass(frozen=True, eq=False)
class Call:
    """A call of any other operator: its name, positional and keyword arguments, as the reference takes them."""

    operator: str
    arguments: tuple
    options: dict

    def __repr__(self):
        said = [_shape_of(value) for value in self.arguments]
        said += [f"{name}={_shape_of(value)}" for name, value in self.options.items()]
        return f"{self.operator}({', '.join(said)})"

    def reproducer(self, loading):
        """Lines of Python that make this call again on a backend, loaded by this call, and on the reference."""
        options = ", ".join(f"{name!r}: {literal(value)}" for name, value in self.options.items())
        return "\n".join(
            (
                *_PREAMBLE,
                "import frcnn.reference",
                f"arguments = {literal(self.arguments)}",
                f"options = {{{options}}}",
                f"print(repr({loading}.{self.operator}(*arguments, **options)))",
                f"print(repr(frcnn.reference.{self.operator}(*arguments, **options)))",
            )
        )


_PREAMBLE = (
    "import ml_dtypes",
    "import numpy as np",
    "from frcnn.backends import load",
    "from frcnn.conformance.cases import apart",
    "nan, inf, bfloat16 = np.nan, np.inf, ml_dtypes.bfloat16",
    "np.set_printoptions(floatmode='unique', threshold=10**5)",
)

_LONGEST_LITERAL = 4096


class _Unwritable(Exception):
    """An argument that nobody could paste; says why."""


def written(case, loading):
    """A call for a person, and the lines that make it again on a backend, loaded so, and on the reference."""
    try:
        return f"{case!r}\nTo repeat it:\n\n{case.reproducer(loading)}"
    except _Unwritable as error:
        return f"{case!r}\nNo lines repeat it, since {error}; the test makes the call again."


def literal(value):
    """A value as the Python that makes it; an array exact to the bit, but for NaN payloads."""
    if type(value) in (tuple, list):
        inner = "".join(f"{literal(one)}, " for one in value)
        return f"({inner})" if type(value) is tuple else f"[{inner}]"
    if isinstance(value, np.random.Generator):
        raise _Unwritable("the generator has moved on")
    if not isinstance(value, np.ndarray):
        return repr(value)
    if value.size > _LONGEST_LITERAL:
        raise _Unwritable(f"{_shape_of(value)} is too long to print")
    if not value.flags.c_contiguous:
        plain = literal(np.ascontiguousarray(value))
        if value.flags.f_contiguous:
            return f"np.asfortranarray({plain})"
        if lies_channels_last(value):
            return f"np.moveaxis({literal(np.ascontiguousarray(np.moveaxis(value, 1, -1)))}, -1, 1)"
        return f"apart({plain})" if value.strides[-1] < 0 else plain
    if value.dtype.name != "bfloat16" and value.dtype.kind not in "iubf":
        return f"np.array({value.tolist()!r}, {value.dtype.name!r}).reshape({value.shape})"
    wide = value if value.dtype.kind in "iub" else value.astype(np.float64)
    name = "bfloat16" if value.dtype.name == "bfloat16" else repr(value.dtype.name)
    return f"np.array({wide.tolist()}, {name}).reshape({value.shape})"


def _rows_of(rois):
    """A few RoIs number by number, many by their shape."""
    if not isinstance(rois, np.ndarray) or len(rois) > 20:
        return _shape_of(rois)
    return f"{rois.tolist()} {rois.dtype.name}"


def _shape_of(array):
    if not isinstance(array, np.ndarray):
        return repr(array)
    return f"{array.dtype.name}{list(array.shape)}{_order_of(array)}"


def _order_of(array):
    """How an array lies in memory, where that is not row by row."""
    if array.flags.c_contiguous:
        return ""
    if array.flags.f_contiguous:
        return ", columns first in memory"
    return ", channels last in memory" if lies_channels_last(array) else ", not in one piece in memory"


def channels_last(array):
    """The same (N, C, H, W) numbers in memory that holds them as (N, H, W, C)."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def apart(array):
    """The same numbers, of any rank but 0, in memory that holds them backwards, others between them, to read only."""
    wide = np.ones((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    view = wide[..., ::-2]
    view[...] = array
    view.flags.writeable = False
    return view


def lies_channels_last(array):
    """Whether an array's numbers lie as channels_last lays them and in no other order."""
    return array.ndim == 4 and not array.flags.c_contiguous and np.moveaxis(array, 1, -1).flags.c_contiguous


def pattern(name, shape, dtype=np.float32):
    """Features (N, C, H, W) that give a window away: "rising" numbers each map's cells, "falling" is its negative."""
    N, C, H, W = shape
    ramp = np.arange(H * W, dtype=np.float64).reshape(H, W)
    maps = {"rising": ramp, "falling": -ramp, "ones": np.ones((H, W))}
    return np.broadcast_to(maps[name], (N, C, H, W)).astype(dtype)
