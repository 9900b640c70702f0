"""OpenVINO's ROIPooling, of operator set 2, with method "max"."""

import sys
from functools import lru_cache

import numpy as np

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # which would send what was run

import openvino  # noqa: E402
from openvino import opset2  # noqa: E402

from frcnn.backends.peers import ForInference  # noqa: E402


class OpenVino(ForInference):
    name = "openvino"
    version = f"openvino {openvino.__version__}"

    def pooled(self, features, rois, size, spatial_scale):
        try:
            return _compiled(size, spatial_scale)([features, rois])[0]
        except Exception as error:  # whatever it raises, in its words
            raise ValueError(str(error)) from error


@lru_cache
def _compiled(size, spatial_scale):
    features, rois = (opset2.parameter(shape, np.float32) for shape in ([-1, -1, -1, -1], [-1, 5]))
    pooling = opset2.roi_pooling(features, rois, list(size), spatial_scale, "max")
    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(openvino.Model([pooling], [features, rois]), "CPU", settings)
