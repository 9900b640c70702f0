"""What an adapter of a public runtime asks of it, and what it says that the runtime lacks."""

import numpy as np
import pytest

from frcnn import reference
from frcnn.backends import Missing, UnavailableBackend
from frcnn.backends.peers import ForInference
from frcnn.conformance.cases import DTYPES

FEATURES = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
ROIS = np.array([[0, 0, 0, 3, 3]], np.float32)


class Runtime(ForInference):
    name, version = "runtime", "runtime 1.0"

    def pooled(self, features, rois, size, spatial_scale):
        self.asked = rois.dtype, size
        self.numbers = [type(number) for number in (*size, spatial_scale)]
        return reference.roi_pool(features, rois, size, spatial_scale)[0]


@pytest.mark.parametrize("profile", ["exact", "caffe-2015"])
def test_a_runtime_answers_alike_under_both_profiles(profile):
    output, argmax = Runtime().roi_pool(FEATURES, ROIS, 2, profile=profile, with_argmax=False)
    assert (output.ravel().tolist(), argmax) == ([5.0, 7.0, 13.0, 15.0], None)


@pytest.mark.parametrize("dtype_name", ["float16", "bfloat16"])
def test_rois_of_a_half_type_are_widened_and_a_side_stands_for_two(dtype_name):
    runtime = Runtime()
    runtime.roi_pool(FEATURES, ROIS.astype(DTYPES[dtype_name]), 2, with_argmax=False)
    assert runtime.asked == (np.float32, (2, 2))


@pytest.mark.parametrize("size", [np.int64(2), (np.int32(2), 2), np.array([2, 2])], ids=str)
def test_a_runtime_is_asked_in_python_s_numbers(size):
    runtime = Runtime()
    runtime.roi_pool(FEATURES, ROIS, size, np.float32(0.5), with_argmax=False)
    assert runtime.numbers == [int, int, float]


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({"with_argmax": True}, "argmax"),
        ({"validate": False}, "validate=False"),
        ({"profile": "caffe"}, "profiles"),
        ({"features": FEATURES.astype(np.float16)}, "features of float16"),
        ({"rois": ROIS.astype(np.float64)}, "rois of float64"),
    ],
)
def test_what_a_runtime_lacks_it_says(changes, lacks):
    call = {"features": FEATURES, "rois": ROIS, "output_size": 2, "with_argmax": False} | changes
    with pytest.raises(Missing, match=f"^{lacks}$"):
        Runtime().roi_pool(**call)


def test_a_runtime_runs_on_a_cpu():
    with pytest.raises(UnavailableBackend, match="backend runtime runs on cpu, not on cuda"):
        Runtime(device="cuda")
