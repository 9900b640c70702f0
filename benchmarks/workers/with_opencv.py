"""OpenCV 4's ROIPooling layer of its dnn module: inference alone, and one output a call; and NMSBoxes."""

from typing import Any, cast

import cv2
import nms_answers
import numpy as np
from serve import THREADS, Lacks, serve

cv2.setNumThreads(THREADS)
NET = """
input: "features" input_shape {{ {features} }}
input: "rois" input_shape {{ {rois} }}
layer {{
  name: "pool" type: "ROIPooling" bottom: "features" bottom: "rois" top: "pool"
  roi_pooling_param {{ pooled_w: {P} pooled_h: {P} spatial_scale: {scale!r} }}
}}
"""


def make(case, mode):
    if mode == "nms":
        return nms(case)
    if not mode.startswith("inference"):
        raise Lacks("it has no argmax and no gradient")
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        raise Lacks("OpenCV 5 reads no Caffe networks")
    shapes = {n: " ".join(f"dim: {side}" for side in case[n].shape) for n in ("features", "rois")}
    text = NET.format(**shapes, P=case["P"], scale=case["scale"])
    net = cv2.dnn.readNetFromCaffe(np.frombuffer(text.encode(), np.uint8))

    def call():
        for name in ("features", "rois"):
            net.setInput(case[name], name)
        return net.forward()

    return call


def nms(case):
    """Class by class: NMSBoxesBatched, for all at once, takes seven times as long."""
    K, R = case["scores"].shape
    boxes, scores, suppress = case["boxes"], case["scores"], cast(Any, cv2.dnn.NMSBoxes)
    corners_and_sides = np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2] + 1], axis=2)

    def call():
        found = [suppress(corners_and_sides[k], scores[k], 0.0, case["threshold"]) for k in range(K)]
        return nms_answers.Kept(np.repeat(np.arange(K), [len(one) for one in found]), np.concatenate(found), K, R)

    return call


serve({"opencv": cv2.__version__}, make)
