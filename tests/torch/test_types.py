"""What the types of the arguments, and autocast around a call, do not change."""

import pytest
import torch

from frcnn.backends.torch.loss import softmax_log_loss
from frcnn.backends.torch.svd import svd_approximation, truncated_svd


def test_labels_of_8_bits_are_compared_with_a_count_of_classes_that_these_do_not_hold():
    assert softmax_log_loss(torch.zeros(2, 300), torch.tensor([5, 50], dtype=torch.uint8)).isfinite().all()
    with pytest.raises(ValueError, match=r"labels\[1\] is -1"):
        softmax_log_loss(torch.zeros(2, 200), torch.tensor([5, -1], dtype=torch.int8))


def test_a_layer_is_cut_in_its_own_type_under_autocast_too():
    weights = torch.rand(8, 16)
    plain = [*truncated_svd(weights, 4), svd_approximation(weights, 4)]
    with torch.autocast("cpu", torch.bfloat16):
        cut = [*truncated_svd(weights, 4), svd_approximation(weights, 4)]
    assert all(torch.equal(one, other) for one, other in zip(plain, cut, strict=True))
