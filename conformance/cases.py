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
            f"Pooling(features={_shape_of(self.features)}, rois={self.rois.tolist()} {self.rois.dtype.name}, "
            f"output_size={self.output_size}, spatial_scale={self.spatial_scale!r}, profile={self.profile!r}"
            f"{'' if self.with_argmax else ', with_argmax=False'})"
        )

    def having(self, **changes):
        """The same call with some arguments changed."""
        return replace(self, **changes)

    def reproducer(self, backend_name):
        """Lines of Python that make this call again on the named backend and on the reference."""
        options = f"profile={self.profile!r}, validate={self.validate}, with_argmax={self.with_argmax}"
        return "\n".join(
            (
                *_PREAMBLE,
                f"features = {literal(self.features)}",
                f"rois = {literal(self.rois)}",
                f"call = (features, rois, {self.output_size}, {self.spatial_scale!r})",
                f"print(load({backend_name!r}).roi_pool(*call, {options}))",
                f"print(load('reference').roi_pool(*call, {options}))",
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

    def __repr__(self):
        return (
            f"Unpooling(grad_output={_shape_of(self.grad_output)}, rois={self.rois.tolist()} {self.rois.dtype.name}, "
            f"features_shape={self.features_shape}, spatial_scale={self.spatial_scale!r}, profile={self.profile!r})"
        )

    def reproducer(self, backend_name):
        """Lines of Python that make this call again on the named backend and on the reference."""
        return "\n".join(
            (
                *_PREAMBLE,
                f"grad_output = {literal(self.grad_output)}",
                f"argmax = {literal(self.argmax)}",
                f"rois = {literal(self.rois)}",
                f"call = (grad_output, argmax, rois, {self.features_shape}, {self.spatial_scale!r})",
                f"print(load({backend_name!r}).roi_pool_backward(*call, profile={self.profile!r}))",
                f"print(load('reference').roi_pool_backward(*call, profile={self.profile!r}))",
            )
        )


@dataclass(frozen=True, eq=False)
class Call:
    """A call of any other operator: its name, positional and keyword arguments, as the reference takes them."""

    operator: str
    arguments: tuple
    options: dict

    def __repr__(self):
        said = [_shape_of(value) if isinstance(value, np.ndarray) else repr(value) for value in self.arguments]
        said += [
            f"{name}={_shape_of(value) if isinstance(value, np.ndarray) else repr(value)}"
            for name, value in self.options.items()
        ]
        return f"{self.operator}({', '.join(said)})"

    def reproducer(self, backend_name):
        """Lines of Python that make this call again on the named backend and on the reference."""
        said = [literal(value) if isinstance(value, np.ndarray) else repr(value) for value in self.arguments]
        options = {n: literal(v) if isinstance(v, np.ndarray) else repr(v) for n, v in self.options.items()}
        return "\n".join(
            (
                *_PREAMBLE,
                "import frcnn.reference",
                f"arguments = ({''.join(f'{value}, ' for value in said)})",
                f"options = {{{', '.join(f'{name!r}: {value}' for name, value in options.items())}}}",
                f"print(load({backend_name!r}).{self.operator}(*arguments, **options))",
                f"print(frcnn.reference.{self.operator}(*arguments, **options))",
            )
        )


_PREAMBLE = (
    "import ml_dtypes",
    "import numpy as np",
    "from frcnn.backends import load",
    "nan, inf, bfloat16 = np.nan, np.inf, ml_dtypes.bfloat16",
    "float16, float32, float64, int64 = np.float16, np.float32, np.float64, np.int64",
)

_LONGEST_LITERAL = 4096


def literal(array):
    """An array as the Python that makes it, exact to the bit but for NaN payloads; a long one as its description."""
    if array.size > _LONGEST_LITERAL:
        return f"...  # {_shape_of(array)}: too long to print"
    if lies_channels_last(array):
        return f"np.moveaxis({literal(np.ascontiguousarray(np.moveaxis(array, 1, -1)))}, -1, 1)"
    wide = array if array.dtype.kind in "iub" else array.astype(np.float64)
    return f"np.array({wide.tolist()}, {array.dtype.name}).reshape({array.shape})"


def _shape_of(array):
    return f"{array.dtype.name}{list(array.shape)}{', channels last in memory' if lies_channels_last(array) else ''}"


def channels_last(array):
    """The same (N, C, H, W) numbers in memory that holds them as (N, H, W, C)."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1)


def lies_channels_last(array):
    """Whether an array's numbers lie as channels_last lays them and in no other order."""
    return array.ndim == 4 and not array.flags.c_contiguous and np.moveaxis(array, 1, -1).flags.c_contiguous


def pattern(name, shape, dtype=np.float32):
    """Features (N, C, H, W) that give a window away: "rising" numbers each map's cells, "falling" is its negative."""
    N, C, H, W = shape
    ramp = np.arange(H * W, dtype=np.float64).reshape(H, W)
    maps = {"rising": ramp, "falling": -ramp, "ones": np.ones((H, W))}
    return np.broadcast_to(maps[name], (N, C, H, W)).astype(dtype)
