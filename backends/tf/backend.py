"""TensorFlow as a backend: NumPy in channels-first order in and out, the op in between."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # It greets on stderr otherwise, even where nothing is wrong.

import numpy as np
import tensorflow as tf

from frcnn.backends import UnavailableBackend
from frcnn.backends.arguments import as_features_shape
from frcnn.backends.tf import library, operator
from frcnn.backends.tf.boxes import BoxesAdapter
from frcnn.backends.tf.detection import DetectionAdapter
from frcnn.backends.tf.greedy_nms import NmsAdapter
from frcnn.backends.tf.loss import LossAdapter
from frcnn.backends.tf.sampling import SamplingAdapter
from frcnn.backends.tf.sentences import bare_sentences
from frcnn.backends.tf.sgd import SgdAdapter
from frcnn.backends.tf.spp import SppAdapter
from frcnn.backends.tf.svd import SvdAdapter
from frcnn.backends.tf.targets import TargetsAdapter


class TensorFlowBackend(
    BoxesAdapter,
    NmsAdapter,
    LossAdapter,
    SgdAdapter,
    SppAdapter,
    SamplingAdapter,
    DetectionAdapter,
    SvdAdapter,
    TargetsAdapter,
):
    """The native kernels as TensorFlow's custom ops, on the CPU."""

    name = "tf"
    version = f"tensorflow {tf.__version__}"
    executed = "native"

    def __init__(self, device="cpu"):
        if device != "cpu":
            raise UnavailableBackend(f"backend tf has a kernel for cpu only, none for {device}")
        library.load()

    def roi_pool(
        self, features, rois, output_size, spatial_scale=1.0, *, profile="exact", with_argmax=True, validate=True
    ):
        features = np.asarray(features)
        if features.ndim != 4:
            raise ValueError(f"features must have shape (N, C, H, W), got {features.shape}")
        with bare_sentences():
            output, argmax = operator.roi_pool_with_argmax(
                _channels_last(features),
                np.asarray(rois),
                output_size,
                spatial_scale,
                profile,
                validate=validate,
                with_argmax=with_argmax,
            )
        return _channels_first(output), (_channels_first(argmax).astype(np.int64) if with_argmax else None)

    def roi_pool_backward(
        self,
        grad_output,
        argmax,
        rois,
        features_shape,
        spatial_scale=1.0,
        *,
        profile="exact",
        deterministic=True,  # The native kernel has one order of addition, asked or not.
    ):
        grad_output, argmax = np.asarray(grad_output), np.asarray(argmax)
        features_shape = as_features_shape(features_shape)
        C = features_shape[1]
        if grad_output.ndim != 4 or grad_output.shape[:2] != (len(rois), C):
            raise ValueError(f"grad_output must have shape ({len(rois)}, {C}, P_h, P_w), got {grad_output.shape}")
        if argmax.shape != grad_output.shape or argmax.dtype.kind not in "iu":
            raise ValueError(f"argmax must hold integers in the shape of grad_output, {grad_output.shape}")
        with bare_sentences():
            grad_features = operator.roi_pool_backward(
                _channels_last(grad_output),
                # Beyond int32 an index is off any map all the same, and the op says so.
                _channels_last(np.clip(argmax, -2, np.iinfo(np.int32).max).astype(np.int32)),
                np.asarray(rois),
                np.array(features_shape, np.int64)[[0, 2, 3, 1]],
                spatial_scale,
                profile,
            )
        return _channels_first(grad_features)


def _channels_last(array):
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


def _channels_first(tensor):
    return np.ascontiguousarray(tensor.numpy().transpose(0, 3, 1, 2))
