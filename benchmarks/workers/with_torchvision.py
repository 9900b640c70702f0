"""torchvision's roi_pool, which always has the argmax, and wants its maps contiguous; and its batched_nms."""

import nms_answers
import numpy as np
import torch
import torchvision
from serve import Lacks, serve
from torch_tensors import tensors


def make(case, mode):
    if mode == "nms":
        return nms(case)
    features, rois, P, scale = tensors(case)
    if mode == "backward":
        _, argmax = torch.ops.torchvision.roi_pool(features, rois, scale, P, P)
        grad, size = torch.from_numpy(case["grad"]), features.shape
        return lambda: torch.ops.torchvision._roi_pool_backward(grad, rois, argmax, scale, P, P, *size)
    if mode == "inference":
        raise Lacks("it computes the argmax always: see training")
    return lambda: torchvision.ops.roi_pool(features, rois, P, scale)


def nms(case):
    K, R = case["scores"].shape
    boxes = torch.from_numpy(case["boxes"] + np.array([0, 0, 1, 1], np.float32)).reshape(-1, 4)
    scores, classes = torch.from_numpy(case["scores"]).reshape(-1), torch.arange(K).repeat_interleave(R)

    def call():
        found = torchvision.ops.batched_nms(boxes, scores, classes, case["threshold"])
        return nms_answers.Kept(found // R, found % R, K, R)

    return call


serve({"torchvision": torchvision.__version__, "torch": torch.__version__}, make)
