"""frcnn's torch backend, as a user calls it."""

from functools import partial

import nms_answers
import torch
from serve import DEVICE, serve
from torch_tensors import OnHost, device, tensor, tensors

import frcnn
from frcnn import backends
from frcnn.backends.torch import detect, multi_task_loss, roi_pool, truncated_svd

CHECKED = DEVICE == "cpu"  # to look at the boxes' numbers is to wait for a GPU, at each call


def make(case, mode):
    if mode.startswith("detect"):
        return detection(case, mode)
    others = {"nms": nms, "loss": loss, "svd": svd, "train step": train_step}
    return others[mode](case) if mode in others else pooling(case, mode)


def pooling(case, mode):
    features, rois, P, scale = tensors(case)
    if not mode.endswith("contiguous"):
        features = features.contiguous(memory_format=torch.channels_last)
    if mode.startswith("inference"):
        out = roi_pool(features, rois, P, scale)

        def infer():
            with torch.inference_mode():
                return OnHost(roi_pool(features, rois, P, scale, validate=CHECKED, out=out))

        return infer
    if mode == "backward":
        grad = tensor(case["grad"]).contiguous(memory_format=torch.channels_last)
        _, argmax = torch.ops.frcnn.roi_pool(features, rois, P, P, scale, "exact", True, True)
        size = features.shape
        return lambda: OnHost(torch.ops.frcnn.roi_pool_backward(grad, argmax, rois, size, scale, "exact", True))
    features.requires_grad_()
    return lambda: OnHost(roi_pool(features, rois, P, scale, validate=CHECKED).detach())


def nms(case):
    """By detect: all classes at once, and no limit but the threshold of overlap."""
    boxes, scores = tensor(case["boxes"]), tensor(case["scores"])
    K, R = scores.shape
    # A column of scores and four of boxes for each class, after those of the background.
    columns = torch.cat([scores.new_zeros(R, 1), scores.T], dim=1)
    places = torch.cat([boxes.new_zeros(R, 1, 4), boxes.transpose(0, 1)], dim=1).reshape(R, 4 * (K + 1))
    images = torch.zeros(R, dtype=torch.int64, device=DEVICE)

    def call():
        found = detect(columns, places, images, 1, case["threshold"], per_image=R, per_class=R)
        return nms_answers.Kept(OnHost(found[:, 0] - 1), OnHost(found[:, 2]), K, R)

    return call


def loss(case):
    scores, deltas = (tensor(case[name]).requires_grad_() for name in ("scores", "deltas"))
    labels, targets = tensor(case["labels"]), tensor(case["targets"])

    def call():
        total, _, _ = multi_task_loss(scores, deltas, labels, targets)
        return OnHost(torch.cat(torch.autograd.grad(total, (scores, deltas)), 1))

    return call


def svd(case):
    weights = tensor(case["weights"])
    return lambda: OnHost(truncated_svd(weights, case["t"])[0].norm(dim=1))


def train_step(case):
    import training_step  # needs what reproducing needs

    from frcnn.repro.torch_trainer import Trainer

    return training_step.step(case, partial(Trainer, device=DEVICE))


def detection(case, mode):
    import one_photograph  # needs what reproducing needs

    from frcnn.repro.torch_tester import Tester

    return one_photograph.detection(case, mode, partial(Tester, device=DEVICE), backends.load("torch"))


serve({"frcnn": frcnn.__version__, "torch": torch.__version__}, make, device)
