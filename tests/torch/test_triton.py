"""The Triton kernels, run by Triton's interpreter on CPU tensors and, where there is one, on a GPU."""

import importlib.metadata
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frcnn import reference
from frcnn.backends import Missing, UnavailableBackend
from frcnn.backends.torch import launch, tiles
from frcnn.backends.torch.backend import TorchTritonBackend
from frcnn.conformance.cases import DTYPES
from frcnn.conformance.strategies import ORDINARY, SPECIAL, TYING, gradients, long_poolings, poolings
from frcnn.conformance.subject import Subject, unpooling_of

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
profiles = pytest.mark.parametrize("profile", ["exact", "caffe-2015"])
devices = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
# A case takes some 30 ms through the interpreter, and the first of a process a second.
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])

HALVES_AND_FLOAT = [name for name in DTYPES if name != "float64"]


@profiles
@devices
@pytest.mark.parametrize("dtype_name", HALVES_AND_FLOAT)
@few
@given(data=st.data())
def test_forward_is_bitwise_the_reference(device, profile, dtype_name, data):
    elements = data.draw(st.sampled_from((ORDINARY, TYING, SPECIAL)))
    case = data.draw(poolings(elements, dtype_name, profile=profile))
    Subject(TorchTritonBackend(device)).check_forward(case)


@profiles
@devices
@settings(few, max_examples=8)
@given(data=st.data())
def test_long_rois_are_cut_and_their_gradients_dropped_as_the_profile_says(device, profile, data):
    subject = Subject(TorchTritonBackend(device))
    case = data.draw(long_poolings(profile=profile))
    _, argmax = subject.check_forward(case)
    back = unpooling_of(case, argmax, np.ones_like(case.features, shape=argmax.shape))
    for deterministic in (True, False):
        subject.check_backward(back.having(deterministic=deterministic))


@profiles
@devices
@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("dtype_name", HALVES_AND_FLOAT)
@few
@given(data=st.data())
def test_backward_is_within_the_bound_of_its_sum(device, profile, deterministic, dtype_name, data):
    case = data.draw(poolings(dtype_name=dtype_name, profile=profile))
    _, argmax = reference.roi_pool(case.features, case.rois, case.output_size, case.spatial_scale, profile=profile)
    back = unpooling_of(case, argmax, data.draw(gradients(argmax.shape, dtype_name)))
    Subject(TorchTritonBackend(device)).check_backward(back.having(deterministic=deterministic))


@profiles
@devices
def test_deterministic_backward_gives_the_same_bits_again(device, profile):
    """Forty overlapping RoIs, so that another order of addition would show in the last bits."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((2, 3, 9, 8), np.float32)
    rois = np.column_stack([rng.integers(0, 2, 40), rng.integers(-2, 10, (40, 4))]).astype(np.float32)
    _, argmax = reference.roi_pool(features, rois, (3, 2), profile=profile)
    call = (rng.standard_normal(argmax.shape, np.float32), argmax, rois, features.shape)
    backend = TorchTritonBackend(device)
    first = backend.roi_pool_backward(*call, profile=profile)
    for _ in range(3):
        assert np.array_equal(backend.roi_pool_backward(*call, profile=profile), first)


@devices
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["nchw", "channels_last"])
def test_strides_are_followed_and_the_memory_format_kept(device, layout):
    input = torch.randn(2, 3, 8, 7, device=device)
    boxes = torch.tensor([[1.0, 0, 0, 5, 6], [0, 1, 1, 6, 5]], device=device)
    expected, winners = launch.forward(input, boxes, 3, 2, 0.9, "exact", True, True)
    spaced = torch.zeros(2, 6, 8, 14, device=device)[:, ::2, :, ::2].copy_(input)
    for same in (input.contiguous(memory_format=layout), spaced):
        output, argmax = launch.forward(same, boxes.flip(1).flip(1), 3, 2, 0.9, "exact", True, True)
        assert torch.equal(output, expected)
        assert torch.equal(argmax, winners)
    output, _ = launch.forward(input.contiguous(memory_format=layout), boxes, 3, 2, 0.9, "exact", True, True)
    assert output.is_contiguous(memory_format=layout)
    grad = torch.randn_like(output)
    back = [
        launch.backward(g, winners.contiguous(memory_format=layout), boxes, input.shape, 0.9, "exact", deterministic)
        for g in (grad, grad.contiguous())
        for deterministic in (True, False)
    ]
    for one in back:
        assert one.is_contiguous(memory_format=layout)
        torch.testing.assert_close(one, back[0])


@devices
@profiles
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_garbled_argmax_or_box_writes_nothing_out_of_bounds(device, profile, deterministic):
    """No cell is such an argmax, so no cell has a gradient; and two of the three boxes have no place."""
    boxes = torch.tensor([[0.0, 0, 0, 4, 4], [7, 0, 0, 4, 4], [0, float("nan"), 0, 4, 4]], device=device)
    for garbage in (-2, 25, 2**31 - 1, -(2**31)):
        argmax = torch.full((3, 2, 2, 2), garbage, dtype=torch.int32, device=device)
        grad = torch.ones(argmax.shape, device=device)
        back = launch.backward(grad, argmax, boxes, (1, 2, 5, 5), 1.0, profile, deterministic)
        assert not back.any()
    argmax = torch.zeros((3, 2, 2, 2), dtype=torch.int32, device=device)
    back = launch.backward(
        torch.ones(argmax.shape, device=device), argmax, boxes, (1, 2, 5, 5), 1.0, profile, deterministic
    )
    assert not back[:, :, 1:].any()
    assert not back[:, :, :, 1:].any()


@pytest.mark.parametrize("deterministic", [False, True])
def test_gradients_whose_steps_add_up_beyond_int32_are_found(deterministic):
    """Six steps of 360 million numbers; of the 4 GB no page is touched but where the seven gradients lie."""
    step = 360_000_000
    grad = torch.empty(6 * step + 1, dtype=torch.bfloat16).as_strided((1, 1, 7, 1), (1, 1, step, 1))
    grad.copy_(torch.arange(1, 8).reshape(grad.shape))
    boxes, argmax = torch.zeros(1, 5), torch.zeros(grad.shape, dtype=torch.int32)
    total = launch.backward(grad, argmax, boxes, (1, 1, 1, 1), 1.0, "exact", deterministic)
    assert total.tolist() == [[[[28.0]]]]


def test_more_than_one_program_gives_the_same(monkeypatch):
    """The interpreter's tiles hold a small case whole; a GPU's do not."""
    rng = np.random.default_rng(1)
    input = torch.from_numpy(rng.integers(-3, 4, (2, 5, 9, 8)).astype(np.float32))
    rows = np.column_stack([rng.integers(0, 2, 9), rng.integers(-2, 10, (9, 4))])
    boxes = torch.from_numpy(rows.astype(np.float32))
    whole = launch.forward(input, boxes, 3, 2, 0.9, "exact", True, True)
    back = launch.backward(whole[0], whole[1], boxes, input.shape, 0.9, "exact", True)
    monkeypatch.setattr(tiles, "INTERPRETED", 64)
    parts = launch.forward(input, boxes, 3, 2, 0.9, "exact", True, True)
    assert torch.equal(parts[0], whole[0])
    assert torch.equal(parts[1], whole[1])
    assert torch.equal(launch.backward(whole[0], whole[1], boxes, input.shape, 0.9, "exact", True), back)


def test_an_unusable_box_is_refused_in_the_words_of_the_native_kernels():
    input, boxes = torch.zeros(2, 1, 3, 3), torch.zeros(6, 5)
    for column, value in ((0, 2.0), (0, float("nan")), (1, float("inf")), (4, 1e9)):
        boxes[3:] = 0
        boxes[3:, column] = value
        said = []
        for pool in (torch.ops.frcnn.roi_pool, launch.forward):
            with pytest.raises(ValueError, match=r"boxes\[3\]") as refusal:
                pool(input, boxes, 1, 1, 1.0, "exact", False, True)
            said.append(str(refusal.value))
        assert said[0] == said[1]


@pytest.mark.parametrize("which", ["features", "rois"])
def test_float64_is_missing_and_the_message_says_so(which):
    features, rois = np.zeros((1, 1, 3, 3), np.float32), np.zeros((1, 5), np.float32)
    features, rois = (features.astype(np.float64), rois) if which == "features" else (features, rois.astype(np.float64))
    with pytest.raises(Missing, match="float64"):
        TorchTritonBackend().roi_pool(features, rois, 1)


def test_the_backend_says_that_it_ran_through_the_interpreter():
    backend = TorchTritonBackend()
    assert (backend.name, backend.executed) == ("torch-triton", "interpreter")
    assert backend.version.startswith(f"torch {torch.__version__}, triton 3.")
    if not torch.cuda.is_available():
        with pytest.raises(UnavailableBackend, match="no CUDA device"):
            TorchTritonBackend("cuda")


@pytest.mark.parametrize(("numpy", "runs"), [("2.3.5", True), ("2.4.0", False)])
def test_an_interpreter_that_does_not_know_todays_numpy_is_no_backend(monkeypatch, numpy, runs):
    """Triton 3.6 takes an array of one number for a number, which NumPy 2.4 refuses: each pooling would be a crash."""
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "3.6.0")
    monkeypatch.setattr(np, "__version__", numpy)
    if runs:
        assert TorchTritonBackend().executed == "interpreter"
    else:
        with pytest.raises(UnavailableBackend, match=r"triton 3\.6\.0 does not run with numpy 2\.4\.0: install"):
            TorchTritonBackend()


def test_interpreted_and_compiled_kernels_live_side_by_side_and_leave_no_switch_behind():
    import triton

    compiled, interpreted = launch.kernels(False), launch.kernels(True)
    assert isinstance(compiled.forward, triton.JITFunction)
    assert not isinstance(interpreted.forward, triton.JITFunction)
    assert "TRITON_INTERPRET" not in os.environ
    assert not triton.knobs.runtime.interpret


def test_the_api_imports_without_triton_and_without_a_compiler():
    code = (
        "import sys, frcnn.backends.torch, frcnn.backends.torch.backend;"
        "print([name for name in sys.modules if name.partition('.')[0] == 'triton'"
        " or name.startswith('frcnn.backends.native') or name == 'frcnn.backends.torch.cpu'])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
