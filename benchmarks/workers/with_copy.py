"""The machine's own limit: one array copied to another, by as many threads as the libraries have, or on the GPU."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from serve import DEVICE, THREADS, serve


def on_cpu():
    pool = ThreadPoolExecutor(THREADS)

    def make(case, mode):
        source = np.ones(case["bytes"], np.uint8)
        target = np.zeros_like(source)
        parts = list(zip(np.array_split(target, THREADS), np.array_split(source, THREADS), strict=True))

        def call():
            list(pool.map(lambda part: np.copyto(*part), parts))
            return target[:1]

        return call

    serve({"numpy": np.__version__}, make)


def on_gpu():
    import torch
    import torch_tensors

    def make(case, mode):
        source = torch.ones(case["bytes"], dtype=torch.uint8, device="cuda")
        target = torch.zeros_like(source)
        return lambda: torch_tensors.OnHost(target.copy_(source)[:1])

    versions = {"torch": torch.__version__, "gpu": torch.cuda.get_device_name()}
    serve(versions, make, torch_tensors.device)


on_gpu() if DEVICE == "cuda" else on_cpu()
