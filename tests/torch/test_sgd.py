"""Why sgd_step is not torch.optim.SGD: the two agree while the rate stays, and part with the first drop."""

import pytest
import torch

from frcnn.backends.torch.sgd import learning_rate, sgd_step

GRADIENTS = (1.0, 0.5, -0.25, 0.0, 2.0, 1.0)
DROP_AT = 3


def original(rates, momentum=0.5):
    weights, velocity = torch.tensor([8.0], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    trace = []
    for rate, gradient in zip(rates, GRADIENTS, strict=True):
        gradients = torch.full_like(weights, gradient)
        weights, velocity = sgd_step(weights, gradients, velocity, rate, momentum=momentum, weight_decay=0.25)
        trace.append(weights.item())
    return trace


def torchs_own(rates, momentum=0.5):
    weights = torch.nn.Parameter(torch.tensor([8.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([weights], lr=rates[0], momentum=momentum, weight_decay=0.25, foreach=False)
    trace = []
    for rate, gradient in zip(rates, GRADIENTS, strict=True):
        optimizer.param_groups[0]["lr"] = rate
        weights.grad = torch.full_like(weights, gradient)
        optimizer.step()
        trace.append(weights.item())
    return trace


def test_torchs_sgd_agrees_while_the_rate_stays():
    # Powers of two, so that no rounding comes between the two forms.
    assert original([0.5] * 6) == torchs_own([0.5] * 6)


def test_torchs_sgd_fails_from_the_update_of_the_first_drop_on():
    rates = [learning_rate(i, 0.5, 0.125, DROP_AT) for i in range(6)]
    assert rates == [0.5] * DROP_AT + [0.0625] * DROP_AT
    ours, theirs = original(rates), torchs_own(rates)
    assert ours[:DROP_AT] == theirs[:DROP_AT]
    assert all(a != b for a, b in zip(ours[DROP_AT:], theirs[DROP_AT:], strict=True))


def test_without_momentum_there_is_nothing_to_tell_apart():
    rates = [0.5, 0.5, 0.5, 0.0625, 0.0625, 0.0625]
    assert original(rates, momentum=0.0) == torchs_own(rates, momentum=0.0)


def test_an_update_is_outside_of_the_graph_and_leaves_its_arguments_alone():
    weights = torch.ones(2, requires_grad=True)
    gradients, velocity = torch.ones(2), torch.ones(2)
    moved, moving = sgd_step(weights, gradients, velocity, 0.5)
    assert not moved.requires_grad
    assert not moving.requires_grad
    assert weights.tolist() == gradients.tolist() == velocity.tolist() == [1.0, 1.0]


def blobs(dtype, count=70_001):
    """Weights, gradients and velocity, more than one thread's share; an infinite weight and a gradient of -0 too."""
    torch.manual_seed(1)
    weights, gradients, velocity = (torch.randn(count, dtype=dtype) for _ in range(3))
    weights[3], gradients[5] = torch.inf, -0.0
    return weights, gradients, velocity


def bits(tensors):
    return [tensor.numpy().tobytes() for tensor in tensors]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("weight_decay", [0.0, 0.0005])
def test_in_place_and_into_other_tensors_the_bits_are_those_of_new_ones(dtype, weight_decay):
    before = blobs(dtype)
    expected = sgd_step(*before, 0.01, weight_decay=weight_decay)
    given = tuple(torch.full_like(before[0], torch.nan) for _ in range(2))
    into = sgd_step(*before, 0.01, weight_decay=weight_decay, out=given)
    assert into is given
    assert all(torch.equal(a, b) for a, b in zip(blobs(dtype), before, strict=True))
    weights, gradients, velocity = before
    sgd_step(weights, gradients, velocity, 0.01, weight_decay=weight_decay, out=(weights, velocity))
    assert bits(given) == bits((weights, velocity)) == bits(expected)


def test_a_blob_of_any_layout_is_updated_as_a_contiguous_one():
    weights, gradients, velocity = (blob[:48].reshape(2, 4, 2, 3) for blob in blobs(torch.float32))
    expected = sgd_step(weights, gradients, velocity, 0.01)
    found = sgd_step(weights, gradients.to(memory_format=torch.channels_last), velocity, 0.01)
    assert bits(found) == bits(expected)


BESIDE = torch.ones(4)  # weights are the first three of it


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ((torch.ones(4), torch.ones(3)), r"out\[0\] must have the shape of weights, \(3,\), got \(4,\)"),
        ((torch.ones(3), torch.ones(6)[::2]), r"out\[1\] must be contiguous"),
        ((torch.ones(3), torch.ones(3).double()), r"out\[1\] must be float32 or float64 and all of one type"),
        ((torch.ones(3), torch.ones(3, device="meta")), r"out\[1\] must be on cpu, where the weights are, got meta"),
        ((BESIDE[1:], torch.ones(3)), r"out\[0\] must not share memory with weights"),
        ((ONE := torch.ones(3), ONE), r"out\[0\] must not share memory with out\[1\]"),
    ],
)
def test_results_that_cannot_be_written_are_refused_by_name(out, message):
    with pytest.raises((TypeError, ValueError), match=message):
        sgd_step(BESIDE[:3], *[torch.ones(3)] * 2, 0.5, out=out)


def test_weights_that_a_graph_still_needs_are_not_updated_unnoticed():
    weights, inputs = torch.ones(3, requires_grad=True), torch.tensor([1.0, 2, 3], requires_grad=True)
    product, velocity = (weights * inputs).sum(), torch.zeros(3)
    sgd_step(weights, torch.ones(3), velocity, 0.5, out=(weights, velocity))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.backward()


def test_what_is_no_tensor_is_refused_by_name():
    with pytest.raises(TypeError, match=r"gradients must be a torch\.Tensor, got list"):
        sgd_step(torch.ones(1), [1.0], torch.ones(1), 0.5)
