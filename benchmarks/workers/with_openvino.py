"""OpenVINO's ROIPooling: inference alone, and maps whose channels come first.

It pools maps whose channels lie in blocks, and so turns its input and its output round in each call.
"""

import sys

import numpy as np

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # which would fork while others are timed

import openvino  # noqa: E402
from openvino import opset2  # noqa: E402
from serve import THREADS, Lacks, serve  # noqa: E402


def make(case, mode):
    if not mode.startswith("inference"):
        raise Lacks("it has no argmax and no gradient")
    features = opset2.parameter(case["features"].shape, np.float32)
    rois = opset2.parameter(case["rois"].shape, np.float32)
    P = case["P"]
    model = openvino.Model([opset2.roi_pooling(features, rois, [P, P], case["scale"], "max")], [features, rois])
    settings = {
        "INFERENCE_NUM_THREADS": THREADS,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    request = openvino.Core().compile_model(model, "CPU", settings).create_infer_request()
    for index, name in enumerate(("features", "rois")):
        request.set_input_tensor(index, openvino.Tensor(case[name]))

    def call():
        request.infer()
        return request.get_output_tensor(0).data

    return call


serve({"openvino": openvino.__version__}, make)
