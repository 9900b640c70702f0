"""Test vectors: written alike each time, held to the reference, and a single flipped bit is found."""

import hashlib
import json

import numpy as np
import pytest
from click.testing import CliRunner

from frcnn import reference, spec
from frcnn.cli import main
from frcnn.conformance.cases import DTYPES
from frcnn.conformance.subject import Nonconforming
from frcnn.conformance.vectors import GRIDS, InvalidVectors, check, schema, write
from frcnn.conformance.vectors.encoding import NotEncodable, decoded, encoded
from frcnn.conformance.witnesses import witnesses
from frcnn.conformance.witnesses.calls import call_witnesses

LARGEST_FILE, LARGEST_SET = 2**20, 4 * 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def operators(folder):
    """The cases of each operator."""
    manifest = json.loads((folder / "manifest.json").read_text())
    return {name.removesuffix(".json"): json.loads((folder / name).read_text())["cases"] for name in manifest["files"]}


@pytest.fixture
def alone(folder, tmp_path):
    """Makes a set of one operator alone, which takes no time to check."""

    def make(operator):
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"] = {f"{operator}.json": manifest["files"][f"{operator}.json"]}
        (tmp_path / "manifest.json").write_text(json.dumps(manifest))
        (tmp_path / f"{operator}.json").write_bytes((folder / f"{operator}.json").read_bytes())
        return tmp_path

    return make


def alter(folder, name, change):
    """Change a file's content and make the manifest agree with it, as nobody does by accident."""
    content = json.loads((folder / name).read_text())
    change(content)
    (folder / name).write_text(json.dumps(content))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name]["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def flipped(data, bit):
    """Hexadecimal data with one bit of its last half-byte the other way."""
    return data[:-1] + f"{int(data[-1], 16) ^ bit:x}"


# what is written


def test_vectors_are_the_same_bytes_when_written_again(folder, tmp_path):
    write(tmp_path)
    assert {f.name: f.read_bytes() for f in tmp_path.iterdir()} == {f.name: f.read_bytes() for f in folder.iterdir()}


def test_the_reference_reproduces_every_vector(folder):
    result = CliRunner().invoke(main, ["vectors", "check", str(folder)])
    assert result.exit_code == 0, result.output
    assert f"of spec {spec.VERSION}" in result.output


def test_the_schema_is_one_itself():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema())


def test_files_are_small_enough_to_pass_on(folder):
    sizes = [file.stat().st_size for file in folder.iterdir()]
    assert max(sizes) < LARGEST_FILE
    assert sum(sizes) < LARGEST_SET


def test_an_id_is_given_once(operators):
    for cases in operators.values():
        ids = [case["id"] for case in cases]
        assert len(ids) == len(set(ids))


def test_every_operator_with_a_witness_has_a_file_with_drawn_calls_too(operators):
    with_witness = {w.operator for w in call_witnesses()} | {"roi_pool", "roi_pool_backward"}
    assert with_witness <= set(operators) <= set(reference.__all__)
    for name in with_witness:
        assert any("results" in case and "why" not in case for case in operators[name]), name


def test_every_witness_is_there_in_all_its_types(operators):
    """As a call of the same arguments: two witnesses may ask the same."""
    for witness in call_witnesses():
        wanted = encoded(witness.arguments)
        found = [c for c in operators[witness.operator] if list(c["arguments"].values())[: len(wanted)] == wanted]
        assert any(set(witness.clauses) <= set(case["clauses"]) for case in found), witness.id
    for witness in witnesses():
        operator = "roi_pool_backward" if witness.backward else "roi_pool"
        first = "grad_output" if witness.backward else "features"
        for profile in witness.profiles:
            for dtype_name in DTYPES if "roi-pool.dtype-float64" not in witness.clauses else ("float64",):
                call = witness.call(dtype_name, profile)
                wanted = {first: encoded(getattr(call, first)), "rois": encoded(call.rois), "profile": profile}
                found = [c for c in operators[operator] if wanted.items() <= c["arguments"].items()]
                assert any(set(witness.clauses) <= set(case["clauses"]) for case in found), witness.id


def test_every_clause_with_a_witness_and_every_refusal_has_a_case(operators):
    named = {clause for cases in operators.values() for case in cases for clause in case["clauses"]}
    with_witness = {clause for witness in (*witnesses(), *call_witnesses()) for clause in witness.clauses}
    assert with_witness - named == set()
    refused = {c for cases in operators.values() for case in cases if "refused" in case for c in case["clauses"]}
    assert {clause for clause in spec.clauses() if ".error-" in clause} - refused == set()


def test_extents_where_the_profiles_part_show_both_answers(operators):
    for P in GRIDS:
        exact, caffe = (c for c in operators["roi_pool"] if c["id"].startswith(f"extents-where-profiles-part-{P}-"))
        assert exact["arguments"] | {"profile": "caffe-2015"} == caffe["arguments"]
        extents = decoded(exact["arguments"]["rois"])[:, 3:].max(axis=1) + 1
        parted = [(decoded(c["results"][1]["value"]).reshape(len(extents), -1)) for c in (exact, caffe)]
        differ = (parted[0] != parted[1]).any(axis=1)
        assert differ.any()
        assert not differ.all()
        if P == 7:
            assert 57 in extents[differ]
            assert 56 in extents[~differ]


# the encoding


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (np.float32(1.0), "3f800000"),
        (np.float32(-0.0), "80000000"),
        (np.float32(-np.inf), "ff800000"),
        (np.array([np.nan, -np.nan], np.float32), "7fc000007fc00000"),
        (0.1, "3fb999999999999a"),
        (np.array([1, -1]), "0000000000000001ffffffffffffffff"),
        (np.array([1.0, -2.0]).astype(DTYPES["bfloat16"]), "3f80c000"),
        (np.array([True, False]), "0100"),
        (np.zeros((0, 4), np.float16), ""),
    ],
)
def test_a_number_is_its_bits_with_the_highest_first(value, data):
    written = encoded(value)
    assert written == {"dtype": np.asarray(value).dtype.name, "shape": list(np.shape(value)), "data": data}
    again = decoded(json.loads(json.dumps(written)))
    assert again.dtype == np.asarray(value).dtype
    np.testing.assert_array_equal(np.asarray(again, np.float64), np.asarray(value, np.float64))
    assert encoded(again) == written


def test_lists_and_plain_values_come_back():
    value = (1, "exact", None, True, (2, (3,)), 2**53)
    assert decoded(json.loads(json.dumps(encoded(value)))) == value


@pytest.mark.parametrize("value", [1j, np.zeros(2, np.complex64), np.array(["1"]), {}, [1, {2}]], ids=repr)
def test_what_has_no_place_in_the_format_is_refused(value):
    with pytest.raises(NotEncodable):
        encoded(value)


def test_data_that_does_not_fill_its_shape_is_refused():
    with pytest.raises(ValueError, match="reshape"):
        decoded({"dtype": "float32", "shape": [2], "data": "3f800000"})


# what is found


def test_a_bit_flipped_in_a_file_is_found_by_its_digest(alone):
    copy = alone("nms")
    text = (copy / "nms.json").read_text()
    at = text.index('"results"')
    at = text.index('"data": "', at) + len('"data": "')
    (copy / "nms.json").write_text(text[:at] + flipped(text[at], 1) + text[at + 1 :])
    result = CliRunner().invoke(main, ["vectors", "check", str(copy)])
    assert result.exit_code == 1
    assert "nms.json has been altered" in result.output


def answered(cases, bounded):
    """The first case whose first result holds a number and has a bound above 0, or none."""

    def fits(result):
        bound = result["bound"]
        return result["value"]["data"] and ((decoded(bound) > 0).any() if bounded and bound else bounded == bool(bound))

    return next(case for case in cases if "results" in case and fits(case["results"][0]))


@pytest.mark.parametrize("operator", ["iou", "roi_pool", "nms", "average_precision"])
def test_a_bit_flipped_in_an_answer_is_found_and_its_case_named(alone, operators, operator):
    copy, case = alone(operator), answered(operators[operator], bounded=False)

    def change(content):
        value = answered(content["cases"], bounded=False)["results"][0]["value"]
        value["data"] = flipped(value["data"], 1)

    alter(copy, f"{operator}.json", change)
    with pytest.raises(Nonconforming, match=f"{operator}.json: case {case['id']} "):
        check(copy)


@pytest.mark.parametrize("operator", ["roi_pool_backward", "softmax_log_loss", "svd_approximation", "learning_rate"])
def test_an_answer_beyond_its_bound_is_found_and_one_within_is_not(alone, operators, operator):
    copy, case = alone(operator), answered(operators[operator], bounded=True)

    def moved(by):
        def change(content):
            result = answered(content["cases"], bounded=True)["results"][0]
            result["value"] = encoded(np.float64(decoded(result["value"])) + by * decoded(result["bound"]))

        return change

    alter(copy, f"{operator}.json", moved(0.25))
    check(copy)
    alter(copy, f"{operator}.json", moved(4.0))
    with pytest.raises(Nonconforming, match=f"{operator}.json: case {case['id']} "):
        check(copy)


def test_an_answer_of_another_type_is_found(alone):
    copy = alone("softmax_log_loss")

    def change(content):
        answered(content["cases"], bounded=True)["results"][0]["dtype"] = "float16"

    alter(copy, "softmax_log_loss.json", change)
    with pytest.raises(Nonconforming, match="must be float16"):
        check(copy)


def test_a_refusal_that_does_not_come_is_found(alone):
    copy = alone("iou")

    def change(content):
        case = answered(content["cases"], bounded=False)
        del case["results"]
        case["refused"] = ["a"]

    alter(copy, "iou.json", change)
    with pytest.raises(Nonconforming, match="expected an error that names a"):
        check(copy)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "holds no manifest"),
        (lambda folder: (folder / "iou.json").unlink(), "iou.json is in the manifest, but not there"),
        (lambda folder: (folder / "more.json").write_text("{}"), "more.json is not in the manifest"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json is not in format 1"),
        (lambda folder: alter(folder, "iou.json", lambda c: c.pop("spec")), "iou.json is not in format 1"),
        (lambda folder: alter(folder, "iou.json", lambda c: c["cases"].pop()), "the number of cases"),
        (lambda folder: alter(folder, "iou.json", lambda c: c.update(spec="0.0")), "iou.json has not the spec"),
    ],
    ids=["no-manifest", "no-file", "one-more", "no-json", "no-format", "a-case-less", "another-spec"],
)
def test_a_folder_that_is_not_a_whole_set_is_refused(alone, spoil, match):
    copy = alone("iou")
    spoil(copy)
    with pytest.raises(InvalidVectors, match=match):
        check(copy)


def test_vectors_of_another_version_of_the_spec_are_refused(alone):
    copy = alone("iou")
    manifest = json.loads((copy / "manifest.json").read_text()) | {"spec": "0.0"}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InvalidVectors, match=f"of spec 0.0, this is spec {spec.VERSION}"):
        check(copy)
