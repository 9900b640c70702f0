"""The spec, executable: one operator a file, plain NumPy, the names of the spec's pages.

This package imports NumPy and nothing else. Where it and `spec/` part, the spec wins.
"""

from frcnn.reference.boxes import clip_boxes, decode_boxes, encode_boxes, flip_boxes, iou
from frcnn.reference.detection import detect, select_scale
from frcnn.reference.evaluation import average_precision, evaluate_voc
from frcnn.reference.init import draw_normals, gaussian_fill, new_layers
from frcnn.reference.loss import multi_task_loss, smooth_l1, softmax_log_loss
from frcnn.reference.nms import nms
from frcnn.reference.preprocess import image_scale, pad_images, pooled_length, subtract_mean
from frcnn.reference.roi_pool import pool_windows, project_rois, roi_pool, roi_pool_backward
from frcnn.reference.sampling import draw_keys, image_order, match_rois, sample_rois
from frcnn.reference.sgd import learning_rate, sgd_step
from frcnn.reference.spp import spp_pool, spp_pool_backward
from frcnn.reference.svd import svd_approximation, truncated_svd
from frcnn.reference.targets import fold_statistics, normalise_targets, target_statistics

__all__ = [
    "average_precision",
    "clip_boxes",
    "decode_boxes",
    "detect",
    "draw_keys",
    "draw_normals",
    "encode_boxes",
    "evaluate_voc",
    "flip_boxes",
    "fold_statistics",
    "gaussian_fill",
    "image_order",
    "image_scale",
    "iou",
    "learning_rate",
    "match_rois",
    "multi_task_loss",
    "new_layers",
    "nms",
    "normalise_targets",
    "pad_images",
    "pool_windows",
    "pooled_length",
    "project_rois",
    "roi_pool",
    "roi_pool_backward",
    "sample_rois",
    "select_scale",
    "sgd_step",
    "smooth_l1",
    "softmax_log_loss",
    "spp_pool",
    "spp_pool_backward",
    "subtract_mean",
    "svd_approximation",
    "target_statistics",
    "truncated_svd",
]
