"""Named witnesses as data: small inputs with hand-made answers, from the .toml files beside this one.

Those of RoI pooling are here, those of every other operator in calls.py.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from frcnn.conformance.cases import DTYPES, Pooling, Unpooling, pattern


@dataclass(frozen=True)
class Witness:
    """A call and what it must give. expected: (output, argmax) forward, (grad_features,) backward."""

    id: str
    clauses: tuple[str, ...]
    why: str
    profiles: tuple[str, ...]
    data: dict
    backward: bool

    def call(self, dtype_name, profile):
        """The call in features of this type, in which a number may be infinite."""
        make = _unpooling if self.backward else _pooling
        with np.errstate(over="ignore"):
            return make(self.data, DTYPES[dtype_name], profile)

    def expected(self, dtype_name):
        """What the call must give in this type, float16 and bfloat16 rounded from what the file says."""
        dtype, data = DTYPES[dtype_name], self.data
        with np.errstate(over="ignore"):
            if not self.backward:
                call = self.call(dtype_name, self.profiles[0])
                shape = (len(call.rois), call.features.shape[1], *call.output_size)
                output = np.array(data["output"], np.float64).reshape(shape)
                return output.astype(dtype), np.array(data["argmax"], np.int64).reshape(shape)
            shape = tuple(data["features_shape"])
            grad_features = np.zeros(shape) if "at" in data else np.array(data["grad_features"], np.float64)
            for place in data.get("at", ()):
                grad_features.reshape(-1)[place["cell"]] = place["value"]
            return (grad_features.reshape(shape).astype(dtype),)


@cache
def witnesses() -> tuple[Witness, ...]:
    """All of them, in the order of the files."""
    found = []
    for file in sorted(Path(__file__).parent.glob("*.toml")):
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
        for kind in ("forward", "backward"):
            for data in tables.get(kind, ()):
                clauses, profiles = tuple(data["clauses"]), tuple(data["profiles"])
                found.append(Witness(data["id"], clauses, data["why"], profiles, data, kind == "backward"))
    return tuple(found)


def _pooling(data, dtype, profile):
    written = data["features"]
    if isinstance(written, dict):
        features = pattern(written["pattern"], written["shape"], dtype)
    else:
        features = np.array(written, np.float64).astype(dtype)
    return Pooling(
        features,
        _rois(data),
        tuple(data["output_size"]),
        data.get("spatial_scale", 1.0),
        profile,
        data.get("validate", True),
    )


def _unpooling(data, dtype, profile):
    repeat = data.get("repeat", 1)
    rois = np.tile(_rois(data), (repeat, 1))
    C = data["features_shape"][1]
    P = tuple(data.get("output_size") or np.shape(data["grad_output"])[2:])
    grad_output = np.tile(np.array(data["grad_output"], np.float64).reshape(-1, C, *P), (repeat, 1, 1, 1))
    argmax = np.tile(np.array(data["argmax"], np.int64).reshape(-1, C, *P), (repeat, 1, 1, 1))
    return Unpooling(grad_output.astype(dtype), argmax, rois, tuple(data["features_shape"]), profile=profile)


def _rois(data):
    return np.array(data["rois"], data.get("rois_type", "float32")).reshape(-1, 5)
