"""A map read at argmax: the adjoint of Eq. 4's sum, and with it the gradient of the gradient of RoI pooling.

It is called for second derivatives only, so it is written in torch's own operations, for any device. They run one by
one (the operator that calls this is opaque to compilers), each an IEEE operation: nothing is fused.
"""

import torch

from frcnn.backends.arguments import LARGEST_COORDINATE


def at_argmax(source, argmax, boxes, spatial_scale, profile):
    """source (N, C, H, W) at argmax (R, C, P_h, P_w), 0 where argmax is -1 or where backward drops the gradient.

    boxes: (R, 5), image index, x1, y1, x2, y2 in image pixels. Returns (R, C, P_h, P_w) in the strides of argmax.
    Clauses: roi-pool.backward, roi-pool.backward-dropped.
    """
    N, C, H, W = source.shape
    chosen = torch.empty_like(argmax, dtype=source.dtype)
    if source.numel() == 0:
        return chosen.zero_()
    image, corners, usable = _projected(boxes, spatial_scale, N)
    kept = usable[:, None, None, None] & (argmax >= 0) & (argmax < H * W)
    if profile == "caffe-2015":
        kept &= _kept_by_caffe(argmax, corners, W)
    channel = torch.arange(C, device=source.device)[:, None, None]
    found = source.flatten(2)[image[:, None, None, None], channel, torch.where(kept, argmax, 0).long()]
    return chosen.copy_(torch.where(kept, found, 0))


def _projected(boxes, spatial_scale, images):
    """Image index (R,), rounded corners x1, y1, x2, y2 (R, 4), both int64, and which rows are usable (R,)."""
    wide = boxes.float() if boxes.dtype.itemsize == 2 else boxes
    index, corners = wide[:, 0], wide[:, 1:]
    placed = corners * torch.tensor(spatial_scale, dtype=wide.dtype, device=wide.device)
    usable = (index >= 0) & (index < images) & (index == index.floor())
    usable &= ((corners.abs() <= LARGEST_COORDINATE) & (placed.abs() <= LARGEST_COORDINATE)).all(dim=1)
    placed = torch.where(usable[:, None], placed, 0)
    whole = placed.trunc()
    away = (placed - whole).abs() >= 0.5  # exact, so no x + .5 is ever rounded
    rounded = whole.long() + torch.where(away, placed.sign(), 0).long()
    return torch.where(usable, index, 0).long(), rounded, usable


def _kept_by_caffe(argmax, corners, W):
    """Clause roi-pool.backward-dropped: the bins that float32 division finds again for the cell, within the corners."""
    x1, y1, x2, y2 = corners[:, :, None, None, None].unbind(1)
    P_h, P_w = argmax.shape[2:]
    kept = torch.ones_like(argmax, dtype=torch.bool)
    for offset, last, P, p in (
        (argmax.div(W, rounding_mode="floor") - y1, y2 - y1, P_h, torch.arange(P_h, device=argmax.device)[:, None]),
        (argmax.remainder(W) - x1, x2 - x1, P_w, torch.arange(P_w, device=argmax.device)),
    ):
        bin_size = (last + 1).clamp(min=1).float() / torch.tensor(P, dtype=torch.float32, device=argmax.device)
        first, end = (offset.float() / bin_size).floor(), ((offset + 1).float() / bin_size).ceil()
        kept &= (offset >= 0) & (offset <= last) & (first <= p) & (p < end)
    return kept
