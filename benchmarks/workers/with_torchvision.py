"""torchvision's roi_pool, which always has the argmax, and wants its maps contiguous; and its batched_nms."""

import nms_answers
import numpy as np
import torch
import torchvision
from serve import DEVICE, Lacks, serve
from torch_tensors import OnHost, device, tensor, tensors


def make(case, mode):
    if mode == "nms":
        return nms(case)
    features, rois, P, scale = tensors(case)
    if mode == "backward":
        _, argmax = torch.ops.torchvision.roi_pool(features, rois, scale, P, P)
        grad, size = tensor(case["grad"]), features.shape
        return lambda: OnHost(torch.ops.torchvision._roi_pool_backward(grad, rois, argmax, scale, P, P, *size))
    if mode.startswith("inference") and DEVICE == "cpu":  # on a GPU there is no other peer
        raise Lacks("it computes the argmax always: see training")
    return lambda: OnHost(torchvision.ops.roi_pool(features, rois, P, scale))


def nms(case):
    K, R = case["scores"].shape
    boxes = tensor(case["boxes"] + np.array([0, 0, 1, 1], np.float32)).reshape(-1, 4)
    scores, classes = tensor(case["scores"]).reshape(-1), torch.arange(K, device=DEVICE).repeat_interleave(R)

    def call():
        found = torchvision.ops.batched_nms(boxes, scores, classes, case["threshold"])
        return nms_answers.Kept(OnHost(found // R), OnHost(found % R), K, R)

    return call


serve({"torchvision": torchvision.__version__, "torch": torch.__version__}, make, device)
