"""A fully connected layer as two smaller ones, by truncated SVD, as spec/svd.md says; on tensors.

torch.linalg.svd passes the clauses. torch.svd_lowrank does not: it is randomised, and its error is not that of the best
approximation (svd-layers.best).

Weights in float32 with no more outputs than inputs, as all of the paper's have, take much less time by the
eigenvectors of W W^T, in float64. The sum of v products and the eigenvectors are exact for a matrix within
c v 2^-53 |W|^2 of it, with c a small number. So the t eigenvectors miss at most that much of the squares of the best
t singular values, and the error exceeds the best one by its root, (c v)^(1/2) 2^-26.5 |W|, at most: below the bound of
svd-layers.bound, 60 v 2^-24 |W|, for any v. In float64 there is no wider type to do the same in.
"""

import torch

from frcnn.backends.arguments import as_whole
from frcnn.backends.torch.boxes import as_tensor

COLUMNS, ROWS = 2048, 512  # of W that are widened, and multiplied, at a time


@torch.no_grad()
def truncated_svd(weights, t, bias=None):
    """The two layers that stand for one: first (t, v) without bias, second (u, t), and the second's bias (u,).

    weights: (u, v), float32 or float64, as torch.nn.Linear(v, u) has them. t: a whole number in 1..min(u, v).
    bias: (u,) of the weights' type, or None for zeros. No gradient passes. Clauses: svd-layers.*.

    >>> first, second, bias = truncated_svd(torch.tensor([[3.0, 0], [0, 2], [0, 0]]), 1)
    >>> (second @ first).abs().tolist()
    [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    _check_weights(weights)
    t = as_whole("t", t, 1, min(weights.shape))
    _check_bias(bias, weights)
    u, v = weights.shape
    try:
        with torch.autocast(weights.device.type, enabled=False):
            if weights.dtype == torch.float32 and u <= v:
                second, s_1 = _leading_vectors(weights, t)
                first = second.T @ weights
            else:
                U, sigma, V_T = torch.linalg.svd(weights, full_matrices=False)
                first, second, s_1 = sigma[:t, None] * V_T[:t], U[:, :t].contiguous(), sigma[0]
    except torch.linalg.LinAlgError as error:
        raise ValueError(f"weights have no singular value decomposition: {error}") from None
    if not bool(first.isfinite().all() & second.isfinite().all() & s_1.isfinite()):
        raise ValueError(
            f"weights are too large, up to {weights.abs().max():g}, for singular values in {weights.dtype}"
        )
    return first, second, weights.new_zeros(len(weights)) if bias is None else bias.clone()


def svd_approximation(weights, t):
    """The weights (u, v) of the one layer that the two amount to. No gradient passes. Clause svd-layers.product.

    >>> svd_approximation(torch.tensor([[3.0, 0], [0, 2], [0, 0]]), 1).tolist()
    [[3.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
    """
    first, second, _ = truncated_svd(weights, t)
    with torch.autocast(weights.device.type, enabled=False):
        return second @ first


def _leading_vectors(weights, t):
    """The eigenvectors (u, t) of W W^T with the largest eigenvalues, by falling eigenvalue, and s_1; in W's type."""
    gram = weights.new_zeros((len(weights),) * 2, dtype=torch.float64)
    for columns in weights.split(COLUMNS, dim=1):
        wide = columns.double()
        for row in range(0, len(wide), ROWS):  # eigh reads the lower triangle alone
            end = row + ROWS
            gram[row:end, :end].addmm_(wide[row:end], wide[:end].T)
    values, vectors = torch.linalg.eigh(gram)
    return vectors[:, -t:].flip(1).to(weights.dtype).contiguous(), values[-1].sqrt().to(weights.dtype)


def _check_weights(weights):
    """Clause svd-layers.error-weights."""
    if not isinstance(weights, torch.Tensor):
        raise TypeError(f"weights must be a torch.Tensor, got {type(weights).__name__}")
    if weights.dim() != 2 or 0 in weights.shape:
        raise ValueError(f"weights must have shape (u, v), each at least 1, got {tuple(weights.shape)}")
    if weights.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"weights must be float32 or float64, got {weights.dtype}")
    finite = weights.isfinite()
    if not bool(finite.all()):
        row, column = (~finite).nonzero()[0].tolist()
        raise ValueError(f"weights[{row}, {column}] is {weights[row, column].item()}; weights must be finite")


def _check_bias(bias, weights):
    """Clause svd-layers.error-bias."""
    if bias is None:
        return
    if not isinstance(bias, torch.Tensor):
        raise TypeError(f"bias must be a torch.Tensor, got {type(bias).__name__}")
    if bias.shape != weights.shape[:1]:
        raise ValueError(f"bias must have shape ({len(weights)},), got {tuple(bias.shape)}")
    if bias.dtype != weights.dtype or bias.device != weights.device:
        raise TypeError(f"bias must be {weights.dtype} on {weights.device}, got {bias.dtype} on {bias.device}")


class SvdAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    device: str

    def truncated_svd(self, weights, t, bias=None):
        bias = None if bias is None else as_tensor(bias, self.device)
        return tuple(layer.cpu().numpy() for layer in truncated_svd(as_tensor(weights, self.device), t, bias))

    def svd_approximation(self, weights, t):
        return svd_approximation(as_tensor(weights, self.device), t).cpu().numpy()
