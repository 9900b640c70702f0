"""Spatial pyramid pooling of RoIs on tensors, channels last, as spec/spp.md says: roi_pool on each level's grid.

Shapes and symbols. N images, map H x W, C channels; R RoIs; a level P is a grid of P x P bins. The output is
(R, bins, C): the reference's (R, C, bins) with its last two axes exchanged, as spp-pool.order says.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import as_levels
from frcnn.backends.tf.operator import roi_pool
from frcnn.backends.tf.sentences import bare_sentences


def spp_pool(
    input, boxes, levels=(1, 2, 4), spatial_scale=1.0, *, profile="exact", validate=True, differentiable=True, name=None
):
    """Pool each RoI on one square grid a level, and write the levels' bins one after another.

    input: (N, H, W, C), float16, bfloat16, float32 or float64; in tf.function any size may be unknown.
    boxes: (R, 5), any of these types; image index, x1, y1, x2, y2 in image pixels. No gradient flows to it.
    levels: at least one whole number; P stands for a grid of P x P.
    spatial_scale, profile, validate, differentiable, name: as in roi_pool.

    Returns (R, bins, C) of input's type, bins being the sum of P^2.
    Raises as roi_pool does. Clauses: spp-pool.*.

    >>> input = tf.reshape(tf.range(16.0), (1, 4, 4, 1))
    >>> spp_pool(input, tf.constant([[0.0, 0, 0, 3, 3]]), (1, 2))[0, :, 0].numpy().tolist()
    [15.0, 5.0, 7.0, 13.0, 15.0]
    """
    levels, input = as_levels(levels), tf.convert_to_tensor(input)
    wide = input
    if differentiable and input.dtype in (tf.float16, tf.bfloat16):
        wide = tf.cast(input, tf.float32)  # so that the levels' gradients are added in float32: spp-pool.backward
    with tf.name_scope(name or "spp_pool"):
        pooled = []
        for P in levels:
            grid = roi_pool(
                wide, boxes, P, spatial_scale, profile=profile, validate=validate, differentiable=differentiable
            )
            R, C = (grid.shape[axis] if grid.shape[axis] is not None else tf.shape(grid)[axis] for axis in (0, 3))
            pooled.append(tf.reshape(grid, (R, P * P, C)))
        return tf.cast(tf.concat(pooled, axis=1), input.dtype)


class SppAdapter:
    """The operator of this file for a backend: NumPy, channels first, in and out; the gradient through a tape."""

    def spp_pool(self, features, rois, *arguments, **options):
        with bare_sentences():
            output = spp_pool(_channels_last(features), np.asarray(rois), *arguments, differentiable=False, **options)
        return np.ascontiguousarray(output.numpy().transpose(0, 2, 1))

    def spp_pool_backward(self, grad_output, features, rois, *arguments, **options):
        input, grad = tf.constant(_channels_last(features)), np.asarray(grad_output)
        with bare_sentences(), tf.GradientTape() as tape:
            tape.watch(input)
            output = tf.transpose(spp_pool(input, np.asarray(rois), *arguments, **options), (0, 2, 1))
        if grad.shape != output.shape or grad.dtype != output.dtype.as_numpy_dtype:
            raise ValueError(f"grad_output must be {output.dtype.name} {output.shape}, got {grad.dtype} {grad.shape}")
        grad_input = tape.gradient(output, input, tf.constant(grad))
        return np.ascontiguousarray(grad_input.numpy().transpose(0, 3, 1, 2))


def _channels_last(features):
    features = np.asarray(features)
    if features.ndim != 4:
        raise ValueError(f"features must have shape (N, C, H, W), got {features.shape}")
    return np.ascontiguousarray(features.transpose(0, 2, 3, 1))
