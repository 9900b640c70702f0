"""torch's own functions, put together as a user would who has nothing else."""

import torch
from serve import serve
from torch.nn import functional
from torch_tensors import OnHost, device, tensor


def make(case, mode):
    return {"loss": loss, "svd": svd}[mode](case)


def loss(case):
    scores, deltas = (tensor(case[name]).requires_grad_() for name in ("scores", "deltas"))
    labels, targets = tensor(case["labels"]), tensor(case["targets"])
    R = len(labels)

    def call():
        foreground = labels.nonzero()[:, 0]
        own = deltas.reshape(R, -1, 4)[foreground, labels[foreground]]
        boxes = functional.smooth_l1_loss(own, targets[foreground], reduction="sum") / R
        total = functional.cross_entropy(scores, labels) + boxes
        return OnHost(torch.cat([part.reshape(R, -1) for part in torch.autograd.grad(total, (scores, deltas))], 1))

    return call


def svd(case):
    weights, t = tensor(case["weights"]), case["t"]

    def call():
        U, sigma, V_T = torch.linalg.svd(weights, full_matrices=False)
        first, _ = sigma[:t, None] * V_T[:t], U[:, :t].contiguous()
        return OnHost(first.norm(dim=1))

    return call


serve({"torch": torch.__version__}, make, device)
