"""MXNet's ROIPooling, which always keeps the argmax; its gradient is the fastest that peers have."""

import mxnet
from mxnet import autograd, nd
from serve import Lacks, serve


def make(case, mode):
    features, rois = nd.array(case["features"]), nd.array(case["rois"])
    size, scale = (case["P"], case["P"]), case["scale"]
    if mode.startswith("inference"):
        raise Lacks("it computes the argmax always: see training")
    if mode != "backward":

        def forward():
            output = nd.ROIPooling(features, rois, pooled_size=size, spatial_scale=scale)
            output.wait_to_read()
            return Answer(output)

        return forward
    grad = nd.array(case["grad"])
    features.attach_grad()
    with autograd.record():
        output = nd.ROIPooling(features, rois, pooled_size=size, spatial_scale=scale)
    output.wait_to_read()

    def backward():
        output.backward(grad, retain_graph=True)
        features.grad.wait_to_read()
        return Answer(features.grad)

    return backward


class Answer:
    """The result, copied out only where it is asked for."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array.asnumpy()


serve({"mxnet": mxnet.__version__}, make)
