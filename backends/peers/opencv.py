"""OpenCV 4's ROIPooling layer, of its dnn module; OpenCV 5 has none."""

from typing import Any, cast

import cv2
import numpy as np

from frcnn.backends import UnavailableBackend
from frcnn.backends.peers import ForInference

NET = """
input: "features" input_shape {{ {features} }}
input: "rois" input_shape {{ {rois} }}
layer {{
  name: "pool" type: "ROIPooling" bottom: "features" bottom: "rois" top: "pool"
  roi_pooling_param {{ pooled_h: {P_h} pooled_w: {P_w} spatial_scale: {spatial_scale!r} }}
}}
"""


class OpenCv(ForInference):
    name = "opencv"
    version = f"opencv {cv2.__version__}"

    def __init__(self, device="cpu"):
        super().__init__(device)
        if not hasattr(cv2.dnn, "readNetFromCaffe"):
            raise UnavailableBackend(f"backend opencv needs OpenCV 4, for {cv2.__version__} has no ROIPooling")

    def pooled(self, features, rois, size, spatial_scale):
        shapes = {
            name: " ".join(f"dim: {side}" for side in array.shape)
            for name, array in (("features", features), ("rois", rois))
        }
        P_h, P_w = size
        text = NET.format(**shapes, P_h=P_h, P_w=P_w, spatial_scale=spatial_scale)
        try:
            net = cast(Any, cv2.dnn).readNetFromCaffe(np.frombuffer(text.encode(), np.uint8))
            net.setInput(np.ascontiguousarray(features), "features")
            net.setInput(np.ascontiguousarray(rois), "rois")
            return net.forward().reshape(len(rois), features.shape[1], P_h, P_w)
        except cv2.error as error:
            raise ValueError(str(error)) from error
