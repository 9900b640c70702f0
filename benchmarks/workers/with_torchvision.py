"""torchvision's roi_pool, which always has the argmax, and wants its maps contiguous."""

import torch
import torchvision
from serve import Lacks, serve
from torch_tensors import tensors


def make(case, mode):
    features, rois, P, scale = tensors(case)
    if mode == "backward":
        _, argmax = torch.ops.torchvision.roi_pool(features, rois, scale, P, P)
        grad, size = torch.from_numpy(case["grad"]), features.shape
        return lambda: torch.ops.torchvision._roi_pool_backward(grad, rois, argmax, scale, P, P, *size)
    if mode == "inference":
        raise Lacks("it computes the argmax always: see training")
    return lambda: torchvision.ops.roi_pool(features, rois, P, scale)


serve({"torchvision": torchvision.__version__, "torch": torch.__version__}, make)
