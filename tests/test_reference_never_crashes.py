"""No argument crashes the reference: a public function returns, or says which of its arguments is wrong.

Every function of frcnn.reference is called with one or two arguments of a valid call replaced by junk, and with nothing
but junk. The valid calls are the suite's witnesses, and a few here for functions that have none.
"""

import functools
import inspect
import re
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from frcnn import reference
from frcnn.conformance.witnesses import witnesses
from frcnn.conformance.witnesses.calls import call_witnesses

FEATURES, ROIS = np.arange(32.0).reshape(1, 2, 4, 4), np.float32([[0, 0, 0, 3, 3], [0, 1, 0, 2, 2]])

# A call, positional, of each function that has no witness of its own.
OTHERS = {
    "draw_keys": (3, np.random.default_rng(3)),
    "draw_normals": ((3, 2), np.random.default_rng(3)),
    "pool_windows": (np.array([[0, 0, 5, 2]]), (2, 1), (4, 4)),
    "project_rois": (ROIS, 0.5),
    "svd_approximation": (np.eye(3, 2), 1),
    "truncated_svd": (np.eye(3, 2), 1, np.ones(3)),
    "spp_pool_backward": (np.ones((2, 2, 5)), FEATURES, ROIS, (1, 2)),
}

# Arguments that say how large the result is. A large number there is no mistake: it asks for that much memory, and
# whether it is granted is up to the machine. So they are kept below this.
SIZES, LARGEST = ("count", "features_shape", "levels", "output_size", "shape"), 64

# Each of these once ended in another error, or in one that named no argument.
RAGGED, NOTHING = [[1], [1, 2]], np.zeros(0)
ONCE_FAILED = [
    *[(name, "profile", NOTHING) for name in ("clip_boxes", "image_order", "nms", "roi_pool", "softmax_log_loss")],
    ("average_precision", "method", NOTHING),
    ("average_precision", "recall", RAGGED),
    ("clip_boxes", "boxes", RAGGED),
    ("detect", "images", RAGGED),
    ("evaluate_voc", "detections", RAGGED),
    ("fold_statistics", "bias", RAGGED),
    ("image_order", "keys", RAGGED),
    ("image_scale", "size", RAGGED),
    ("iou", "a", RAGGED),
    ("learning_rate", "base", RAGGED),
    ("multi_task_loss", "lambda_", RAGGED),
    ("normalise_targets", "means", RAGGED),
    ("pad_images", "images", [RAGGED]),
    ("pool_windows", "map_size", (4,)),
    ("pool_windows", "map_size", None),
    ("pool_windows", "rchw", RAGGED),
    ("pool_windows", "rchw", np.zeros((1, 3), np.int64)),
    ("pool_windows", "rchw", np.zeros((1, 4))),
    ("roi_pool", "output_size", RAGGED),
    ("roi_pool", "validate", NOTHING),
    ("roi_pool_backward", "argmax", RAGGED),
    ("sample_rois", "fg_fraction", RAGGED),
    ("sample_rois", "overlaps_max", RAGGED),
    ("sgd_step", "momentum", RAGGED),
    ("sgd_step", "velocity", RAGGED),
    ("smooth_l1", "x", RAGGED),
    ("softmax_log_loss", "labels", RAGGED),
    ("spp_pool_backward", "rois", RAGGED),
    ("subtract_mean", "image", RAGGED),
    ("subtract_mean", "mean", RAGGED),
    ("truncated_svd", "bias", RAGGED),
    ("truncated_svd", "weights", RAGGED),
]


@functools.cache
def valid_calls(name):
    """Arguments by name, one dictionary a call."""
    function = getattr(reference, name)
    calls = [
        inspect.signature(function).bind(*w.arguments, **w.options).arguments
        for w in call_witnesses()
        if w.operator == name
    ]
    for witness in witnesses():
        if name == ("roi_pool_backward" if witness.backward else "roi_pool"):
            call = vars(witness.call("float32", witness.profiles[0]))
            calls.append({key: call[key] for key in inspect.signature(function).parameters})
    if name in OTHERS:
        calls.append(inspect.signature(function).bind(*OTHERS[name]).arguments)
    return calls


# An integer of more than 4,300 digits is left out: Python refuses to print it, in whichever sentence.
numbers = st.sampled_from(
    (0, 1, 2, -1, 3, 64, 2**24, 2**31, -(2**63), 2**64, 10**400, 0.5, -0.0, 0.3, 1.5, np.inf, -np.inf, np.nan, 1e-320)
)
plain = st.one_of(
    numbers,
    st.sampled_from(
        (None, True, False, 1j, "", "exact", "0.5", "area", b"ab", object(), ..., int, range(3), {1: 2}, {3})
    ),
    st.sampled_from((np.float16(0.5), np.float32("nan"), np.int64(1), np.uint64(2**63), np.datetime64("2015-04-30"))),
    st.text(max_size=3),
)
nested = st.recursive(plain, lambda part: st.lists(part, max_size=3) | st.tuples(part, part), max_leaves=6)
dtypes = st.one_of(
    st.sampled_from([np.dtype(t) for t in ("f2", "f4", "f8", "i4", "i8")]),
    st.sampled_from(
        [np.dtype(t) for t in ("?", "i1", "u8", "c16", "M8[s]", "m8[s]", "U2", "S2", "O", ">f4", "f4,i4", "V3", "g")]
    ),
)
shapes = st.lists(st.integers(0, 4), max_size=5).map(tuple)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 1e30, -1e30, 2.0**24, np.nan, np.inf, -np.inf, 1e-40)


@st.composite
def arrays(draw, shape=shapes, dtype=dtypes):
    """Of any type and shape; numbers are special ones, the bits of anything else are random."""
    dtype, shape = draw(dtype), draw(shape)
    if dtype.kind == "O":
        return draw(hnp.arrays(object, shape, elements=plain))
    if dtype.kind in "fciu":
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            return draw(hnp.arrays(np.float64, shape, elements=st.sampled_from(SPECIAL))).astype(dtype)
    bits = draw(st.binary(min_size=16, max_size=16)) * (dtype.itemsize * int(np.prod(shape)) // 16 + 1)
    if dtype.kind in "?b":
        return np.frombuffer(bits, "u1", int(np.prod(shape))).reshape(shape) > 127
    if dtype.kind == "U":
        return np.resize(np.array(["a", "1", "é"], dtype), shape)
    return np.frombuffer(bits, dtype, int(np.prod(shape))).reshape(shape)


def near(value):
    """Junk of the shape or of the type of a right argument, so that it passes the first checks."""
    if not isinstance(value, np.ndarray):
        return st.nothing()
    return (
        arrays(st.just(value.shape))
        | arrays(dtype=st.just(value.dtype))
        | arrays(st.just(value.shape), st.just(value.dtype))
    )


junk = plain | nested | arrays()


def asks_for_much(value):
    """Whether a size anywhere in it is larger than is asked for here."""
    if isinstance(value, (np.ndarray, list, tuple, set, range, dict)):
        return any(map(asks_for_much, np.ravel(value).tolist() if isinstance(value, np.ndarray) else value))
    return isinstance(value, (int, np.integer)) and value > LARGEST


def check(name, arguments):
    """The call returns, or raises ValueError or TypeError with a sentence that begins with the name of an argument."""
    said = None
    with warnings.catch_warnings(action="ignore"):
        try:
            getattr(reference, name)(**arguments)
        except (ValueError, TypeError) as error:
            said = str(error)
    names = "|".join(inspect.signature(getattr(reference, name)).parameters)
    sentence = rf"({names})(\[[\d, ]+\])? (must|has|have|holds|is|are|times)\b"
    assert said is None or re.match(sentence, said), f"no argument is named: {said}"


quietly = settings(
    max_examples=50, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)
every_function = pytest.mark.parametrize("name", reference.__all__)


@every_function
def test_every_function_has_a_valid_call(name):
    assert valid_calls(name), f"add a call of {name} to OTHERS, or a witness"
    for arguments in valid_calls(name):
        getattr(reference, name)(**arguments)


@pytest.mark.parametrize(("name", "replaced", "value"), ONCE_FAILED, ids=lambda part: part if type(part) is str else "")
def test_what_once_failed_is_refused_by_name(name, replaced, value):
    with pytest.raises((ValueError, TypeError), match=rf"^{replaced}(\[\d+\])? must "):
        getattr(reference, name)(**valid_calls(name)[0] | {replaced: value})


@every_function
@quietly
@given(data=st.data())
def test_a_valid_call_with_one_or_two_arguments_replaced_is_answered_or_refused_by_name(name, data):
    arguments = dict(data.draw(st.sampled_from(valid_calls(name))))
    names = list(inspect.signature(getattr(reference, name)).parameters)
    for replaced in data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)):
        arguments[replaced] = data.draw(near(arguments.get(replaced)) | junk, label=replaced)
    if not any(asks_for_much(arguments[size]) for size in SIZES if size in arguments):
        check(name, arguments)


@every_function
@quietly
@given(data=st.data())
def test_a_call_with_nothing_but_junk_is_answered_or_refused_by_name(name, data):
    names = inspect.signature(getattr(reference, name)).parameters
    arguments = {parameter: data.draw(junk, label=parameter) for parameter in names}
    if not any(asks_for_much(arguments[size]) for size in SIZES if size in arguments):
        check(name, arguments)
