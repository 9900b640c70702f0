"""onnxruntime's MaxRoiPool, of operator set 21, which is the last it has; the output's buffer is given."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from serve import THREADS, Lacks, serve


def make(case, mode):
    if not mode.startswith("inference"):
        raise Lacks("it has no argmax and no gradient")
    P = case["P"]
    features, rois = case["features"], case["rois"]
    shapes = {"features": features.shape, "rois": rois.shape, "output": (len(rois), features.shape[1], P, P)}
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()}
    node = helper.make_node(
        "MaxRoiPool", ["features", "rois"], ["output"], pooled_shape=[P, P], spatial_scale=case["scale"]
    )
    graph = helper.make_graph([node], "pooling", [values["features"], values["rois"]], [values["output"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    output, binding = np.zeros(shapes["output"], np.float32), session.io_binding()
    for name in ("features", "rois"):
        binding.bind_cpu_input(name, case[name])
    binding.bind_output("output", "cpu", 0, np.float32, output.shape, output.ctypes.data)

    def call():
        session.run_with_iobinding(binding)
        return output

    return call


serve({"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}, make)
