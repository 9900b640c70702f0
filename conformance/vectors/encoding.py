"""How a value stands in a vector file: whole numbers, strings, lists as JSON has them; every float as its bits.

docs/vectors.md says the same for readers in other languages.
"""

import ml_dtypes
import numpy as np

# What may stand behind "dtype"; an element is as many hexadecimal digits as it has half-bytes, the highest first.
DTYPES = {
    name: np.dtype(getattr(ml_dtypes if name == "bfloat16" else np, "bool_" if name == "bool" else name))
    for name in ("bool", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64")
}


class NotEncodable(TypeError):
    """Neither an array of one of DTYPES, nor a number, a string, None, or a list of these."""


def encoded(value):
    """A value as what json.dumps takes. A float, and any NumPy scalar, is an array of shape []."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [encoded(part) for part in value]
    if isinstance(value, (float, np.ndarray, np.generic)):
        return encoded_array(np.asarray(value))
    raise NotEncodable(f"{value!r}")


def encoded_array(array):
    """An array of any shape: its type, shape, and the bits of its elements in row-major order."""
    if array.dtype.name not in DTYPES:
        raise NotEncodable(f"an array of {array.dtype}")
    if array.dtype.kind not in "iub":
        # A NaN's sign and payload are nobody's promise; with one NaN for all, two machines write the same bits.
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array)
    width = array.dtype.itemsize
    bits = np.ascontiguousarray(array).view(f"u{width}").astype(f">u{width}")
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": bits.tobytes().hex()}


def decoded(written):
    """The value that `encoded` wrote: lists become tuples, arrays of shape [] NumPy scalars."""
    if isinstance(written, list):
        return tuple(decoded(part) for part in written)
    return decoded_array(written) if isinstance(written, dict) else written


def decoded_array(written):
    """The array that `encoded_array` wrote. Raises ValueError where the data does not fill the shape."""
    dtype = DTYPES[written["dtype"]]
    bits = np.frombuffer(bytes.fromhex(written["data"]), f">u{dtype.itemsize}")
    return bits.astype(f"u{dtype.itemsize}").view(dtype).reshape(written["shape"])[()]
