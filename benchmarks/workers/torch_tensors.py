"""What the workers on torch begin with: its threads, and a case's arrays as tensors."""

import torch
from serve import THREADS

torch.set_num_threads(THREADS)


def tensors(case):
    """features and rois, channels first, and P and scale."""
    return torch.from_numpy(case["features"]), torch.from_numpy(case["rois"]), case["P"], case["scale"]
