"""frcnn's torch backend, as a user calls it."""

import torch
from serve import serve
from torch_tensors import tensors

import frcnn
from frcnn.backends.torch import roi_pool


def make(case, mode):
    features, rois, P, scale = tensors(case)
    if mode != "training, contiguous":
        features = features.contiguous(memory_format=torch.channels_last)
    if mode == "inference":
        out = roi_pool(features, rois, P, scale)

        def infer():
            with torch.inference_mode():
                return roi_pool(features, rois, P, scale, out=out)

        return infer
    if mode == "backward":
        grad = torch.from_numpy(case["grad"]).contiguous(memory_format=torch.channels_last)
        _, argmax = torch.ops.frcnn.roi_pool(features, rois, P, P, scale, "exact", True, True)
        size = features.shape
        return lambda: torch.ops.frcnn.roi_pool_backward(grad, argmax, rois, size, scale, "exact", True)
    features.requires_grad_()
    return lambda: roi_pool(features, rois, P, scale).detach()


serve({"frcnn": frcnn.__version__, "torch": torch.__version__}, make)
