"""OpenVINO's ROIPooling: inference alone; its request keeps the buffers of the call before."""

import numpy as np
import openvino
from openvino import opset2
from serve import THREADS, Lacks, serve


def make(case, mode):
    if mode != "inference":
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
