"""torch.svd_lowrank: what a user takes who finds the whole decomposition too slow; an approximation of the best one."""

import torch
from serve import serve
from torch_tensors import OnHost, device, tensor


def make(case, mode):
    weights, t = tensor(case["weights"]), case["t"]

    def call():
        U, sigma, V = torch.svd_lowrank(weights, q=t)
        first, _ = sigma[:, None] * V.T, U.contiguous()
        return OnHost(first.norm(dim=1))

    return call


serve({"torch": torch.__version__}, make, device)
