"""Test vectors: the suite's own calls and answers as JSON, for implementations that Python cannot reach.

`write` runs the suite on the reference with a recorder and writes a file an operator and a manifest; `check` reads them
again and holds the reference to them. docs/vectors.md is the format's description.
"""

import hashlib
import json
import subprocess
import tempfile
from importlib import metadata
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np

from frcnn import backends, reference, spec
from frcnn.conformance.cases import Call, pattern
from frcnn.conformance.plugin import Run
from frcnn.conformance.run import pytest_command, surroundings
from frcnn.conformance.subject import Nonconforming, Subject
from frcnn.conformance.vectors.encoding import decoded, decoded_array, encoded, encoded_array
from frcnn.reference.arguments import PROFILES

FORMAT = 1
MANIFEST = "manifest.json"
# Drawn for each property: every test gives a few cases, so that a file is read and run in a moment.
EXAMPLES = 4
SEED = 1
# Past which no extent of a photograph's map goes, and the grids whose vectors show every extent where profiles part.
LONGEST = 256
GRIDS = (7, 22)


class InvalidVectors(ValueError):
    """The folder does not hold a whole set of vectors of this version of the spec."""


def write(folder: Path) -> dict:
    """Write the vectors of this version of the spec into `folder`; returns the manifest.

    The same installation writes the same bytes each time. Raises RuntimeError where the reference fails the suite.
    """
    found = _recorded()
    found["operators"]["roi_pool"] += _extent_cases()
    folder.mkdir(parents=True, exist_ok=True)
    listed = {}
    for operator, cases in sorted(found["operators"].items()):
        head = {"format": FORMAT, "spec": spec.VERSION, "operator": operator}
        lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
        text = f'{json.dumps(head)[:-1]}, "cases": [\n{lines}\n]}}\n'
        (folder / f"{operator}.json").write_text(text, encoding="utf-8")
        listed[f"{operator}.json"] = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "cases": len(cases)}
    made_with = {name: metadata.version(name) for name in ("frcnn", "hypothesis", "numpy")}
    manifest = {
        "format": FORMAT,
        "spec": spec.VERSION,
        "made_with": made_with,
        "files": listed,
        "left_out": found["left_out"],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return manifest


def check(folder: Path) -> dict:
    """Hold the reference to the vectors in `folder`; returns the manifest.

    Raises InvalidVectors where a file is missing, altered, unlisted or not in the format, Nonconforming with file and
    case where the reference answers otherwise.
    """
    manifest = _read(folder, MANIFEST)
    if manifest["spec"] != spec.VERSION:
        raise InvalidVectors(f"{folder} holds vectors of spec {manifest['spec']}, this is spec {spec.VERSION}")
    if unlisted := {path.name for path in folder.glob("*.json")} - set(manifest["files"]) - {MANIFEST}:
        raise InvalidVectors(f"{folder / min(unlisted)} is not in the manifest")
    subject = Subject(backends.load("reference"))
    for name, said in manifest["files"].items():
        path = folder / name
        if not path.exists():
            raise InvalidVectors(f"{path} is in the manifest, but not there")
        if hashlib.sha256(path.read_bytes()).hexdigest() != said["sha256"]:
            raise InvalidVectors(f"{path} has been altered: its sha256 is not the manifest's")
        vectors = _read(folder, name)
        if (vectors["spec"], f"{vectors['operator']}.json", len(vectors["cases"])) != (
            manifest["spec"],
            name,
            said["cases"],
        ):
            raise InvalidVectors(f"{path} has not the spec, the operator or the number of cases that the manifest says")
        for case in vectors["cases"]:
            try:
                _check_case(subject, vectors["operator"], case)
            except Nonconforming as error:
                raise Nonconforming(f"{path}: case {case['id']} ({', '.join(case['clauses'])}): {error}") from None
    return manifest


def schema() -> dict:
    """The JSON schema of vector files and of the manifest."""
    return json.loads(files("frcnn.conformance").joinpath("vectors_schema.json").read_text(encoding="utf-8"))


def _read(folder, name):
    try:
        read = json.loads((folder / name).read_text(encoding="utf-8"))
        jsonschema.validate(read, schema() | {"$ref": f"#/$defs/{'manifest' if name == MANIFEST else 'file'}"})
    except FileNotFoundError:
        raise InvalidVectors(f"{folder} holds no {name}") from None
    except (ValueError, jsonschema.ValidationError) as error:
        message = getattr(error, "message", str(error))
        raise InvalidVectors(f"{folder / name} is not in format {FORMAT}: {message[:500]}") from None
    return read


def _check_case(subject, operator, case):
    arguments = {name: decoded(value) for name, value in case["arguments"].items()}
    if "refused" in case:
        subject.check_refused(lambda: getattr(reference, operator)(**arguments), *case["refused"])
        return
    answer, call = getattr(reference, operator)(**arguments), Call(operator, (), arguments)
    answer = answer if isinstance(answer, tuple) else (answer,)
    if len(answer) != len(case["results"]):
        raise Nonconforming(f"expected {len(case['results'])} results, got {len(answer)}")
    for number, (result, got) in enumerate(zip(case["results"], map(np.asarray, answer), strict=True)):
        if result is None:
            continue
        name, value, bound = f"result {number}", np.asarray(decoded_array(result["value"])), result["bound"]
        if (got.dtype.name, got.shape) != (result["dtype"], value.shape):
            raise Nonconforming(f"{name} must be {result['dtype']} {value.shape}, got {got.dtype} {got.shape}")
        value, got = np.atleast_1d(value), np.atleast_1d(got)
        if bound is None:
            subject.require_same(name, value, got, call)
        else:
            subject.require_close(name, value, got, decoded_array(bound), call)


def _recorded():
    """What the recorder wrote down of one run of the suite on the reference."""
    with tempfile.TemporaryDirectory() as scratch:
        cases = Path(scratch) / "cases.json"
        asked = Run("reference", "cpu", "quick", EXAMPLES, (), (), "no photographs", str(Path(scratch) / "results"))
        recorder = ("-p", "frcnn.conformance.vectors.recorder", "--frcnn-vectors", str(cases))
        command = [*pytest_command(asked, SEED), *recorder]
        ran = subprocess.run(command, cwd=scratch, capture_output=True, text=True, env=surroundings())
        if ran.returncode != 0:
            raise RuntimeError(f"the reference must pass the suite before it is written down:\n{ran.stdout[-3000:]}")
        return json.loads(cases.read_text(encoding="utf-8"))


def _extent_cases():
    """RoIs of every extent up to LONGEST where the profiles' windows part, and of its neighbours.

    The suite enumerates extents in calls too long for a vector file.
    """
    extents = np.arange(1, LONGEST + 1)
    cases = []
    for axis, P in zip(("rows", "columns"), GRIDS, strict=True):
        # Cells numbered along the axis, rising and falling, show the last and the first cell of each window.
        features = pattern("rising", (1, 2, LONGEST + 2, 1) if axis == "rows" else (1, 2, 1, LONGEST + 2))
        features[:, 1] *= -1
        rois = np.zeros((LONGEST, 5), np.float32)
        rois[:, 4 if axis == "rows" else 3] = extents - 1
        size = (P, 1) if axis == "rows" else (1, P)
        windows = [reference.roi_pool(features, rois, size, profile=profile)[1] for profile in PROFILES]
        part = np.flatnonzero((windows[0] != windows[1]).any(axis=(1, 2, 3)))
        rois = rois[np.unique(np.clip(part[:, None] + [-1, 0, 1], 0, LONGEST - 1))]
        for profile in PROFILES:
            arguments = {"features": features, "rois": rois, "output_size": size, "spatial_scale": 1.0}
            arguments |= {"profile": profile, "validate": True}
            results = [
                {"dtype": array.dtype.name, "value": encoded_array(array), "bound": None}
                for array in reference.roi_pool(**arguments)
            ]
            cases.append(
                {
                    "id": f"extents-where-profiles-part-{P}-{axis}-{profile}",
                    "clauses": ["roi-pool.grid", "roi-pool.extent"],
                    "why": "each extent at which float32 edges are not those of whole numbers, and its neighbours",
                    "arguments": {name: encoded(value) for name, value in arguments.items()},
                    "results": results,
                }
            )
    return cases
