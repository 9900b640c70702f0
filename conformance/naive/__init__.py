"""Every operator a second time, as naively as can be: what the reference itself is held to.

Nothing is shared with `frcnn.reference`. Where that has closed formulas on arrays, this has exact fractions, one number
at a time. `OPERATORS` maps an operator's name to its second formulation, called with the same arguments.
"""

from frcnn.conformance.naive import boxes, nms, roi_pool, sgd

OPERATORS: dict = {
    "nms": nms.nms,
    "iou": boxes.iou,
    "flip_boxes": boxes.flip_boxes,
    "encode_boxes": boxes.encode_boxes,
    "decode_boxes": boxes.decode_boxes,
    "clip_boxes": boxes.clip_boxes,
    "learning_rate": sgd.learning_rate,
    "sgd_step": sgd.sgd_step,
}

__all__ = ["OPERATORS", "boxes", "nms", "roi_pool", "sgd"]
