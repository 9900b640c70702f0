"""RoI pooling for PyTorch: native kernels on the CPU, Triton's on CUDA; torchvision's arguments, and `profile`."""

from frcnn.backends.torch.api import RoIPool, roi_pool
from frcnn.backends.torch.boxes import clip_boxes, decode_boxes, encode_boxes, flip_boxes, iou
from frcnn.backends.torch.detection import detect, select_scale
from frcnn.backends.torch.loss import multi_task_loss, smooth_l1, softmax_log_loss
from frcnn.backends.torch.nms import nms
from frcnn.backends.torch.sampling import image_order, match_rois, sample_rois
from frcnn.backends.torch.sgd import learning_rate, sgd_step
from frcnn.backends.torch.spp import spp_pool
from frcnn.backends.torch.svd import svd_approximation, truncated_svd
from frcnn.backends.torch.targets import fold_statistics, normalise_targets, target_statistics

__all__ = [
    "RoIPool",
    "clip_boxes",
    "decode_boxes",
    "detect",
    "encode_boxes",
    "flip_boxes",
    "fold_statistics",
    "image_order",
    "iou",
    "learning_rate",
    "match_rois",
    "multi_task_loss",
    "nms",
    "normalise_targets",
    "roi_pool",
    "sample_rois",
    "select_scale",
    "sgd_step",
    "smooth_l1",
    "softmax_log_loss",
    "spp_pool",
    "svd_approximation",
    "target_statistics",
    "truncated_svd",
]
