"""Every operator a second time, as naively as can be: what the reference itself is held to.

Nothing is shared with `frcnn.reference`. Where that has closed formulas on arrays, this has exact fractions, one number
at a time. `OPERATORS` maps an operator's name to its second formulation, called with the same arguments.
"""

from frcnn.conformance.naive import (
    boxes,
    detection,
    evaluation,
    init,
    loss,
    nms,
    preprocess,
    roi_pool,
    sampling,
    sgd,
    spp,
    svd,
    targets,
)

OPERATORS: dict = {
    "average_precision": evaluation.average_precision,
    "evaluate_voc": evaluation.evaluate_voc,
    "detect": detection.detect,
    "select_scale": detection.select_scale,
    "spp_pool_backward": spp.spp_pool_backward,
    "spp_pool": spp.spp_pool,
    "svd_approximation": svd.svd_approximation,
    "nms": nms.nms,
    "image_order": sampling.image_order,
    "iou": boxes.iou,
    "match_rois": sampling.match_rois,
    "sample_rois": sampling.sample_rois,
    "flip_boxes": boxes.flip_boxes,
    "encode_boxes": boxes.encode_boxes,
    "decode_boxes": boxes.decode_boxes,
    "clip_boxes": boxes.clip_boxes,
    "learning_rate": sgd.learning_rate,
    "multi_task_loss": loss.multi_task_loss,
    "sgd_step": sgd.sgd_step,
    "smooth_l1": loss.smooth_l1,
    "softmax_log_loss": loss.softmax_log_loss,
    "fold_statistics": targets.fold_statistics,
    "normalise_targets": targets.normalise_targets,
    "target_statistics": targets.target_statistics,
    "gaussian_fill": init.gaussian_fill,
    "new_layers": init.new_layers,
    "image_scale": preprocess.image_scale,
    "pad_images": preprocess.pad_images,
    "pooled_length": preprocess.pooled_length,
    "subtract_mean": preprocess.subtract_mean,
}

__all__ = [
    "OPERATORS",
    "boxes",
    "detection",
    "evaluation",
    "init",
    "loss",
    "nms",
    "preprocess",
    "roi_pool",
    "sampling",
    "sgd",
    "spp",
    "svd",
    "targets",
]
