"""The pytest plugin that writes down what the suite asks: each comparison and each refusal, as a case of a vector file.

Loaded after frcnn.conformance.plugin, whose `subject` it replaces by one that also records. The reference answers, and
the tests hold it to what they hold everyone to, so a case has the suite's own expectation and the suite's own bound.
"""

import inspect
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from frcnn import backends, reference
from frcnn.conformance.cases import Call, Pooling, Unpooling
from frcnn.conformance.plugin import clauses_of
from frcnn.conformance.subject import Subject
from frcnn.conformance.vectors.encoding import NotEncodable, encoded, encoded_array

# What a case may take in characters, witnesses apart, and how many a test may give: the whole set is to stay small
# enough to pass on.
LARGEST_CASE = 10_000
MOST_CASES = 8


def pytest_addoption(parser):
    parser.addoption("--frcnn-vectors", help="write the recorded cases to this file, as JSON")


@pytest.fixture(scope="session")
def subject(request):
    recording = RecordingSubject(backends.load("reference"))
    yield recording
    found = {"operators": recording.cases, "left_out": dict(sorted(recording.left_out.items()))}
    Path(request.config.getoption("--frcnn-vectors")).write_text(json.dumps(found), encoding="utf-8")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    item.funcargs["subject"].begin_test(item)


class RecordingSubject(Subject):
    """A Subject whose every assertion, once it has passed, becomes a case."""

    def __init__(self, backend):
        super().__init__(backend)
        self.is_reference = False  # so that what is expected is the reference's answer, never the naive one's
        self.cases = {}
        self.left_out: Counter[str] = Counter()
        self._known = {}
        self._numbers: Counter[str] = Counter()

    def begin_test(self, item):
        """Cases recorded from now on are this test's."""
        params = item.callspec.params if hasattr(item, "callspec") else {}
        self._witness = params.get("witness")
        self._clauses = list(dict.fromkeys([*clauses_of(item), *getattr(self._witness, "clauses", ())]))
        self._name = re.sub(r"[^A-Za-z0-9.+]+", "-", item.name.removeprefix("test_")).strip("-")
        self._seen = self._count = 0

    # assertions

    def check_forward(self, case, expected=None):
        expected = self.expected(case) if expected is None else expected
        got = super().check_forward(case, expected)
        if case.with_argmax:  # whether it is asked for is no argument of the reference's
            self._record_results(case, expected, got, None)
        return got

    def check_backward(self, case, expected=None):
        got = super().check_backward(case, expected)
        total, bound = self.gradient_bound(case)
        expected = total if expected is None else expected.astype(np.float64)
        self._record_results(case, expected, got, bound)
        return got

    def check(self, operator, *arguments, expected=None, bound=None, **options):
        expected = getattr(reference, operator)(*arguments, **options) if expected is None else expected
        got = super().check(operator, *arguments, expected=expected, bound=bound, **options)
        self._record_results(Call(operator, arguments, options), expected, got, bound)
        return got

    def check_refused(self, call, *names):
        super().check_refused(call, *names)
        known = inspect.signature(getattr(reference, _as_call(self._case).operator)).parameters
        # "boxes[4]" names a row; a name that frameworks use in place of the reference's is none here.
        places = [re.findall(r"^(\w+)(\[[\d, ]+\])?", name)[0] for name in names]
        self._record(self._case, {"refused": [name + row for name, row in places if name in known]})

    # records

    def _record_results(self, case, expected, got, bound):
        expected, got, bound = (value if isinstance(value, tuple) else (value,) for value in (expected, got, bound))
        bound = bound * len(got) if len(bound) == 1 else bound
        results = [
            None
            if want is None
            else {
                "dtype": np.asarray(have).dtype.name,
                "value": encoded_array(np.asarray(want)),
                "bound": _bound(allowed),
            }
            for want, have, allowed in zip(expected, got, bound, strict=True)
        ]
        self._record(case, {"results": results})

    def _record(self, case, answer):
        call = _as_call(case)
        self._seen += 1
        if self._witness and self._seen > 1:
            return  # the same call, written in other ways
        try:
            said = _named(call)
        except NotEncodable:
            self.left_out["arguments that have no place in the format"] += 1
            return
        if twin := self._known.get(key := json.dumps([call.operator, said])):
            twin["clauses"] = list(dict.fromkeys([*twin["clauses"], *self._clauses]))
            return
        record = {"clauses": self._clauses} | ({"why": self._witness.why} if self._witness else {})
        record |= {"arguments": said} | answer
        if not self._witness and len(json.dumps(record)) > LARGEST_CASE:
            self.left_out[f"larger than {LARGEST_CASE} characters"] += 1
        elif self._count == MOST_CASES:
            self.left_out[f"beyond the first {MOST_CASES} of a test"] += 1
        else:
            self._count += 1
            # Names of tests and their parameters may be alike once they are spelled for an id; numbers go on.
            self._numbers[self._name] += 1
            self._known[key] = {"id": f"{self._name}-{self._numbers[self._name]}"} | record
            self.cases.setdefault(call.operator, []).append(self._known[key])


def _named(call):
    """Every argument by its name in the reference, those left to their defaults too."""
    try:
        bound = inspect.signature(getattr(reference, call.operator)).bind(*call.arguments, **call.options)
    except TypeError as error:  # a required argument is left out, which other languages cannot say
        raise NotEncodable(str(error)) from error
    bound.apply_defaults()
    return {name: encoded(value) for name, value in bound.arguments.items()}


def _bound(allowed):
    """None (bit for bit), or a float64 array; of shape [] where one number stands for all elements."""
    if allowed is None:
        return None
    array = np.asarray(allowed, np.float64)
    return encoded_array(array.reshape(-1)[0] if array.size and (array == array.reshape(-1)[0]).all() else array)


def _as_call(case):
    """A call of RoI pooling as one of the reference's function; which says nothing of with_argmax and deterministic."""
    if isinstance(case, Pooling):
        pooling = (case.features, case.rois, case.output_size, case.spatial_scale)
        return Call("roi_pool", pooling, {"profile": case.profile, "validate": case.validate})
    if isinstance(case, Unpooling):
        unpooling = (case.grad_output, case.argmax, case.rois, case.features_shape, case.spatial_scale)
        return Call("roi_pool_backward", unpooling, {"profile": case.profile})
    return case
