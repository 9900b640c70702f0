"""RoI max pooling as a TensorFlow function: channels last, differentiable to any order, eager and in tf.function.

Shapes and symbols. N images, map H x W, C channels; R RoIs; output grid P_h x P_w. A RoI is a row
(image index, x1, y1, x2, y2): inclusive corners in image pixels. The semantics are those of spec/roi-pool.md.

The ops have a CPU kernel only: where there is a GPU, TensorFlow's soft placement, its default, runs them on the CPU all
the same. XLA (jit_compile=True) refuses them with an error that names the op.
"""

import math

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import LARGEST_SIZE, as_index, as_number, check_profile
from frcnn.backends.tf import library

FLOATS = (tf.float16, tf.bfloat16, tf.float32, tf.float64)


@tf.autograph.experimental.do_not_convert
def roi_pool(
    input, boxes, output_size, spatial_scale=1.0, *, profile="exact", validate=True, differentiable=True, name=None
):
    """Divide each RoI into P_h x P_w sub-windows and take the maximum of each, channel by channel.

    input: (N, H, W, C), float16, bfloat16, float32 or float64; in tf.function any size may be unknown.
    boxes: (R, 5), any of these types; image index, x1, y1, x2, y2 in image pixels. No gradient flows to it.
    output_size: (P_h, P_w), or one number for both.
    spatial_scale: map cells per image pixel, 1/16 for VGG16's conv5_3; a Python number.
    profile: "exact", or "caffe-2015" for what the original code computes.
    validate: False pools an unusable RoI to 0 in place of the error.
    differentiable: whether to keep where each maximum was, four bytes a number of the output, which the gradient
        needs. An op cannot know whether it will be differentiated, so the default keeps it; for inference, False saves
        the memory, and a gradient then raises LookupError.
    name: of the op in a graph.

    Returns (R, P_h, P_w, C) of input's type.
    Raises ValueError or TypeError naming the argument for what is known without running; for what is not, such as the
    values in boxes, tf.errors.InvalidArgumentError naming the first offending row.
    A Keras layer under the policy mixed_float16 casts what it is called with, boxes too, and half a float32 does not
    hold corners beyond 2,048: give it autocast=False. A saved model with this op is loaded after `library.load()`.
    Source: the paper, section 2.1; its gradient is Eq. 4. Clauses: all of spec/roi-pool.md.

    >>> input = tf.reshape(tf.range(16.0), (1, 4, 4, 1))
    >>> roi_pool(input, tf.constant([[0.0, 0, 0, 3, 3]]), 2)[0, :, :, 0].numpy().tolist()
    [[5.0, 7.0], [13.0, 15.0]]
    """
    return roi_pool_with_argmax(
        input, boxes, output_size, spatial_scale, profile, validate=validate, with_argmax=differentiable, name=name
    )[0]


def roi_pool_with_argmax(input, boxes, output_size, spatial_scale, profile, *, validate, with_argmax, name=None):
    """Both outputs of the op: as roi_pool, and argmax (R, P_h, P_w, C) int32, (0,) without `with_argmax`."""
    check_profile(profile)
    input = _as_float_tensor("input", input, ("N", "H", "W", "C"))
    boxes = _as_float_tensor("boxes", boxes, ("R", 5))
    P_h, P_w = _as_output_size(output_size)
    return library.load().frcnn_roi_pool(
        input=input,
        boxes=boxes,
        spatial_scale=_as_scale(spatial_scale, boxes.dtype),
        pooled_height=P_h,
        pooled_width=P_w,
        profile=profile,
        with_argmax=_as_truth("differentiable", with_argmax),
        validate=_as_truth("validate", validate),
        name=name,
    )


def roi_pool_backward(grad, argmax, boxes, input_size, spatial_scale, profile):
    """Eq. 4: the gradient of the input, (N, H, W, C), from that of the output and argmax, both (R, P_h, P_w, C)."""
    check_profile(profile)
    boxes = _as_float_tensor("boxes", boxes, ("R", 5))
    return library.load().frcnn_roi_pool_grad(
        grad=_as_float_tensor("grad", grad, ("R", "P_h", "P_w", "C")),
        argmax=argmax,
        boxes=boxes,
        spatial_scale=_as_scale(spatial_scale, boxes.dtype),
        input_size=input_size,
        profile=profile,
    )


@tf.RegisterGradient("Frcnn>RoiPool")
def _gradient_of_pool(op, grad, _):
    if not op.get_attr("with_argmax"):
        raise LookupError("roi_pool was called with differentiable=False and kept no argmax, so it has no gradient")
    input, boxes, spatial_scale = op.inputs
    input_size = tf.shape(input, out_type=tf.int64)
    routed = library.load().frcnn_roi_pool_grad(
        grad=grad,
        argmax=op.outputs[1],
        boxes=boxes,
        spatial_scale=spatial_scale,
        input_size=input_size,
        **_attributes_of(op),
    )
    return routed, None, None


@tf.RegisterGradient("Frcnn>RoiPoolGrad")
def _gradient_of_grad(op, grad):
    _, argmax, boxes, spatial_scale, _ = op.inputs
    gathered = library.load().frcnn_roi_pool_gather(
        grad=grad, argmax=argmax, boxes=boxes, spatial_scale=spatial_scale, **_attributes_of(op)
    )
    return gathered, None, None, None, None


@tf.RegisterGradient("Frcnn>RoiPoolGather")
def _gradient_of_gather(op, grad):
    input, argmax, boxes, spatial_scale = op.inputs
    scattered = library.load().frcnn_roi_pool_grad(
        grad=grad,
        argmax=argmax,
        boxes=boxes,
        spatial_scale=spatial_scale,
        input_size=tf.shape(input, out_type=tf.int64),
        **_attributes_of(op),
    )
    return scattered, None, None, None


def _attributes_of(op):
    # boxes were validated, or were not to be, when `op` ran, and its argmax is an output of RoiPool.
    return {"profile": op.get_attr("profile").decode(), "validate": False}


def _as_float_tensor(name, value, shape):
    """`value` as a tensor of one of the four types, its shape checked as far as it is known; the op checks the rest.

    Clauses roi-pool.error-rank, roi-pool.error-type.
    """
    try:
        tensor = tf.convert_to_tensor(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a tensor: {error}") from error
    spelled = "(" + ", ".join(map(str, shape)) + ")"
    wanted = [size if isinstance(size, int) else None for size in shape]
    if not tensor.shape.is_compatible_with(wanted):
        raise ValueError(f"{name} must have shape {spelled}, got {tensor.shape}")
    if tensor.dtype not in FLOATS:
        types = ", ".join(kind.name for kind in FLOATS)
        raise TypeError(f"{name} must have one of the types {types}, got {tensor.dtype.name}")
    return tensor


def _as_output_size(value):
    """`value` as (P_h, P_w); one number stands for both. Clause roi-pool.error-output-size."""
    try:
        sizes = tuple(as_index(size) for size in ((value, value) if np.ndim(value) == 0 else value))
    except (TypeError, NotImplementedError):  # the latter by a graph's tf.Variable
        raise TypeError(f"output_size must be 2 whole numbers, got {value!r}") from None
    if len(sizes) != 2 or min(sizes) < 1 or max(sizes) > LARGEST_SIZE:  # beyond which TensorFlow ends the process
        raise ValueError(f"output_size must be 2 whole numbers in 1..2^63 - 1, got {value!r}")
    return sizes


def _as_truth(name, value):
    """`value` as a bool; TensorFlow takes no np.bool_ for one, and 1 and 0 are none."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def _as_scale(value, boxes_type):
    """`value` as a float, positive and finite in the type that boxes are projected in. Clause roi-pool.error-scale."""
    kind = np.float64 if boxes_type == tf.float64 else np.float32
    scale = as_number("spatial_scale", value)
    with np.errstate(over="ignore", under="ignore"):
        rounded = kind(scale)
    if not (math.isfinite(rounded) and rounded > 0):
        raise ValueError(f"spatial_scale must be positive and finite in {kind.__name__}, got {value!r}")
    return scale
