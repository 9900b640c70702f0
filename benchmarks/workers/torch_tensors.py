"""What the workers on torch begin with: its threads, a case's arrays as tensors, and how a GPU is waited for."""

import torch
from serve import DEVICE, THREADS

torch.set_num_threads(THREADS)


def tensor(array):
    return torch.from_numpy(array).to(DEVICE)


def tensors(case):
    """features and rois, channels first, and P and scale."""
    return tensor(case["features"]), tensor(case["rois"]), case["P"], case["scale"]


class OnHost:
    """A result, brought from the GPU only where it is asked for."""

    def __init__(self, result):
        self.result = result

    def __array__(self, dtype=None, copy=None):
        return self.result.cpu().numpy()


class Gpu:
    """torch's CUDA device, for `serve`."""

    @staticmethod
    def wait():
        torch.cuda.synchronize()

    def begin(self):
        self.before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()

    def most(self):
        return torch.cuda.max_memory_allocated() - self.before


device = Gpu() if DEVICE == "cuda" else None
