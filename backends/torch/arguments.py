"""What the torch API refuses, in the words of frcnn.reference.arguments, with torchvision's argument names.

Clauses: roi-pool.error-rank, roi-pool.error-type, roi-pool.error-profile, roi-pool.error-output-size,
roi-pool.error-scale, roi-pool.error-image-index, roi-pool.error-coordinate.
"""

import torch

from frcnn.backends.arguments import (
    FLOAT32_INFINITY,
    LARGEST_COORDINATE,
    LARGEST_SIZE,
    as_index,
    as_number,
    check_profile,
)

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_FLOATS_SPELLED = "float16, bfloat16, float32, float64"
_FLOAT32_ZERO = 2.0**-150  # the largest that float32 rounds to 0, half of its smallest number


def as_output_size(value) -> tuple[int, int]:
    """`value` as (P_h, P_w); one whole number stands for both. Clause roi-pool.error-output-size."""
    sizes: tuple[int, ...]
    if _is_int(value):
        sizes = (value, value)
    else:
        try:
            sizes = tuple(size if _is_int(size) else as_index(size) for size in _pair(value))
        except TypeError:
            raise TypeError(f"output_size must be 2 whole numbers, got {value!r}") from None
    if len(sizes) != 2 or sizes[0] < 1 or sizes[1] < 1 or sizes[0] > LARGEST_SIZE or sizes[1] > LARGEST_SIZE:
        raise ValueError(f"output_size must be 2 whole numbers in 1..2^63 - 1, got {value!r}")
    return sizes[0], sizes[1]


def _is_int(value):
    """Compiled, symbols too, which as_index would fix; True is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _pair(value):
    several = hasattr(value, "__iter__") and getattr(value, "ndim", 1) > 0
    return value if several else (value, value)


def as_scale(value):
    """`value` as a float. Clause roi-pool.error-scale; whether it is positive and finite depends on the boxes' type."""
    return as_number("spatial_scale", value)


def as_rows(boxes, input):
    """A list of one (L, 4) tensor per image, as torchvision takes it, as rows (R, 5) with the image index first."""
    if not isinstance(boxes, (list, tuple)):
        raise TypeError(f"boxes must be a tensor (R, 5) or a list of tensors (L, 4), got {type(boxes).__name__}")
    if input.dim() == 4 and len(boxes) != input.shape[0]:
        raise ValueError(f"boxes must hold one tensor per image, got {len(boxes)} for {input.shape[0]} images")
    rows = []
    for image, own in enumerate(boxes):
        if not isinstance(own, torch.Tensor):
            raise TypeError(f"boxes[{image}] must be a tensor (L, 4), got {type(own).__name__}")
        if own.dim() != 2 or own.shape[1] != 4:
            raise ValueError(f"boxes[{image}] must have shape (L, 4), got {tuple(own.shape)}")
        wide = own.float() if own.dtype in (torch.float16, torch.bfloat16) else own  # these cannot count images
        rows.append(torch.nn.functional.pad(wide, (1, 0), value=image))
    return torch.cat(rows) if rows else input.new_empty((0, 5))


def check_shapes(input, boxes, pooled_height, pooled_width, profile):
    """What fake tensors show too.

    Clauses: roi-pool.error-rank, roi-pool.error-type, roi-pool.error-profile, roi-pool.error-output-size.
    """
    check_profile(profile)
    if input.dim() != 4:
        raise ValueError(f"input must have shape (N, C, H, W), got {tuple(input.shape)}")
    if input.dtype not in _FLOATS:
        raise TypeError(f"input must have one of the types {_FLOATS_SPELLED}, got {_name(input.dtype)}")
    check_boxes(boxes, "input", input.device)
    if pooled_height < 1 or pooled_width < 1:
        raise ValueError(f"output_size must be 2 whole numbers of at least 1, got ({pooled_height}, {pooled_width})")


def check_boxes(boxes, other, device):
    """The boxes' shape, type and device; `other` names the tensor whose device they must be on."""
    if boxes.dim() != 2 or boxes.shape[1] != 5:
        raise ValueError(f"boxes must have shape (R, 5), got {tuple(boxes.shape)}")
    if boxes.dtype not in _FLOATS:
        raise TypeError(f"boxes must have one of the types {_FLOATS_SPELLED}, got {_name(boxes.dtype)}")
    if boxes.device != device:
        raise ValueError(f"boxes is on {boxes.device}, but {other} is on {device}; move one of them")


def check_pool(input, boxes, pooled_height, pooled_width, spatial_scale, profile):
    """Everything that roi_pool refuses without a look at the data."""
    check_shapes(input, boxes, pooled_height, pooled_width, profile)
    check_scale(spatial_scale, boxes)
    check_map(input.shape[2], input.shape[3])


def check_out(out, input, boxes, pooled_height, pooled_width):
    """Whether `out` is what the result would be. It may be used again and again, so it is never made larger."""
    shape, layout = (boxes.shape[0], input.shape[1], pooled_height, pooled_width), memory_format(input)
    if out.shape != shape or not out.is_contiguous(memory_format=layout):
        said = "channels last" if layout == torch.channels_last else "contiguous"
        raise ValueError(f"out must have shape {shape} and be {said}, as input is, got {tuple(out.shape)}")
    if out.dtype != input.dtype or out.device != input.device:
        raise TypeError(
            f"out must have the type and device of input, {_name(input.dtype)} on {input.device}, got "
            f"{_name(out.dtype)} on {out.device}"
        )


def check_apart(name, written, other_name, read):
    """Whether a tensor that is written has no memory of another that is read, or written, meanwhile."""
    if _overlap(written, read):
        raise ValueError(f"{name} must not share memory with {other_name}")


def check_gradient(grad, argmax, boxes, input_size, spatial_scale, profile):
    """Everything that roi_pool_backward refuses without a look at the data."""
    check_gradient_shapes(grad, argmax, boxes, input_size, profile)
    if min(input_size) < 0:
        raise ValueError(f"input_size must be 4 whole numbers of at least 0, got {tuple(input_size)}")
    check_scale(spatial_scale, boxes)
    check_map(*input_size[2:])


def check_gradient_shapes(grad, argmax, boxes, input_size, profile):
    """check_gradient for fake tensors, whose sizes may be symbols."""
    check_profile(profile)
    if len(input_size) != 4:
        raise ValueError(f"input_size must be 4 whole numbers of at least 0, got {tuple(input_size)}")
    check_boxes(boxes, "grad", grad.device)
    if grad.dim() != 4 or grad.shape[0] != boxes.shape[0] or grad.shape[1] != input_size[1]:
        raise ValueError(f"grad must have shape ({boxes.shape[0]}, {input_size[1]}, P_h, P_w), got {tuple(grad.shape)}")
    if grad.dtype not in _FLOATS:
        raise TypeError(f"grad must have one of the types {_FLOATS_SPELLED}, got {_name(grad.dtype)}")
    if argmax.shape != grad.shape or argmax.dtype != torch.int32 or argmax.device != grad.device:
        raise ValueError(f"argmax must hold int32 in the shape of grad, {tuple(grad.shape)}, on {grad.device}")


def check_scale(spatial_scale, boxes):
    """Clause roi-pool.error-scale: positive and finite once rounded to the type in which boxes are projected."""
    double = boxes.dtype == torch.float64
    low, high = (0.0, float("inf")) if double else (_FLOAT32_ZERO, FLOAT32_INFINITY)
    if not low < spatial_scale < high:
        kind = "float64" if double else "float32"
        raise ValueError(f"spatial_scale must be positive and finite in {kind}, got {spatial_scale!r}")


def check_map(height, width):
    """Clause roi-pool.argmax: a cell's flat index is an int32 here."""
    if height * width >= 2**31:
        raise ValueError(f"a map must have fewer than 2^31 cells, got {height} x {width}")


def first_unusable(boxes, spatial_scale, images):
    """The sentence for the first row that may not be pooled, "" if there is none.

    Clauses: roi-pool.error-image-index, roi-pool.error-coordinate.
    """
    wide = boxes.detach().cpu()
    wide = wide.float() if wide.dtype.itemsize == 2 else wide
    index, corners = wide[:, 0], wide[:, 1:]
    placed = corners * torch.tensor(spatial_scale, dtype=wide.dtype, device=wide.device)
    good_index = (index >= 0) & (index < images) & (index == index.floor())
    good = (corners.abs() <= LARGEST_COORDINATE) & (placed.abs() <= LARGEST_COORDINATE)
    bad_rows = (~(good_index & good.all(dim=1))).nonzero()
    if not len(bad_rows):
        return ""
    row = int(bad_rows[0])
    if not good_index[row]:
        held = f" (0..{images - 1})" if images else ""
        return f"boxes[{row}] has image index {float(index[row]):g}, but input holds {images} images{held}"
    column = int((~good[row]).nonzero()[0])
    return (
        f"boxes[{row}] has {('x1', 'y1', 'x2', 'y2')[column]} = {float(corners[row, column]):g}, "
        f"{float(placed[row, column]):g} on the map; "
        f"coordinates must be finite and at most 2^24 in size, before and after spatial_scale"
    )


def memory_format(tensor):
    """Channels last if `tensor` is that and not both, else contiguous."""
    last = tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def memory_format_of_each(tensor):
    """memory_format, of each RoI of `tensor` (R, C, P_h, P_w): where R is 0, or a symbol, it is the same."""

    def lies_as(*axes):
        step = 1
        for axis in axes:
            if tensor.shape[axis] != 1 and tensor.stride(axis) != step:
                return False
            step *= tensor.shape[axis]
        return True

    return torch.channels_last if lies_as(1, 3, 2) and not lies_as(3, 2, 1) else torch.contiguous_format


def _overlap(one, other):
    """Do the bytes from the first to the last element of either meet?"""
    if 0 in (one.numel(), other.numel()):
        return False
    spans = []
    for tensor in (one, other):
        steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
        spans.append((tensor.data_ptr(), tensor.data_ptr() + (steps + 1) * tensor.element_size()))
    (first, end), (other_first, other_end) = spans
    return first < other_end and other_first < end


def _name(dtype):
    return str(dtype).removeprefix("torch.")
