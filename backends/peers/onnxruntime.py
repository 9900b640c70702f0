"""onnxruntime's MaxRoiPool, of operator set 21, which is the last it has."""

from functools import lru_cache

import onnxruntime
from onnx import TensorProto, helper

from frcnn.backends.peers import ForInference


class OnnxRuntime(ForInference):
    name = "onnxruntime"
    version = f"onnxruntime {onnxruntime.__version__}"

    def pooled(self, features, rois, size, spatial_scale):
        try:
            return _session(size, spatial_scale).run(None, {"features": features, "rois": rois})[0]
        except Exception as error:  # whatever it raises, in its words
            raise ValueError(str(error)) from error


@lru_cache
def _session(size, spatial_scale):
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("features", "rois", "output")]
    node = helper.make_node(
        "MaxRoiPool", ["features", "rois"], ["output"], pooled_shape=list(size), spatial_scale=spatial_scale
    )
    graph = helper.make_graph([node], "pooling", values[:2], values[2:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
