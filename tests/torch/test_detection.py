"""All classes and images at once, and not one by one as in the reference: the same detections."""

import detection_cases
import pytest

from frcnn.backends.torch.backend import TorchBackend


@pytest.mark.parametrize(("profile", "kind", "limits"), detection_cases.CASES)
def test_what_is_found_in_many_images_is_what_the_reference_finds(profile, kind, limits):
    detection_cases.check(TorchBackend().detect, profile, kind, limits)
