"""All classes and images at once, and not one by one as in the reference: the same detections."""

import detection_cases
import pytest
import torch

from frcnn.backends.torch.backend import TorchBackend
from frcnn.backends.torch.detection import detect


@pytest.mark.parametrize(("profile", "kind", "limits"), detection_cases.CASES)
def test_what_is_found_in_many_images_is_what_the_reference_finds(profile, kind, limits):
    detection_cases.check(TorchBackend().detect, profile, kind, limits)


def test_images_of_8_bits_are_compared_with_a_count_that_these_do_not_hold():
    images = torch.tensor([0, 50], dtype=torch.uint8)
    assert detect(torch.zeros(2, 2), torch.zeros(2, 8), images, 256).shape == (2, 3)
