"""RoI pooling for PyTorch: native kernels on the CPU, Triton's on CUDA; torchvision's arguments, and `profile`."""

from frcnn.backends.torch.api import RoIPool, roi_pool

__all__ = ["RoIPool", "roi_pool"]
