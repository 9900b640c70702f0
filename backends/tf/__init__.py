"""frcnn on TensorFlow: `roi_pool`, channels last, eagerly and in tf.function.

Importing this package imports no TensorFlow and compiles nothing; the first use of `roi_pool` does. A process that only
loads a saved model which pools calls `frcnn.backends.tf.library.load()` before `tf.saved_model.load`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frcnn.backends.tf.boxes import clip_boxes, decode_boxes, encode_boxes, flip_boxes, iou
    from frcnn.backends.tf.detection import detect, select_scale
    from frcnn.backends.tf.greedy_nms import nms
    from frcnn.backends.tf.loss import multi_task_loss, smooth_l1, softmax_log_loss
    from frcnn.backends.tf.operator import roi_pool
    from frcnn.backends.tf.sampling import image_order, match_rois, sample_rois
    from frcnn.backends.tf.sgd import learning_rate, sgd_step
    from frcnn.backends.tf.spp import spp_pool
    from frcnn.backends.tf.svd import svd_approximation, truncated_svd
    from frcnn.backends.tf.targets import fold_statistics, normalise_targets, target_statistics

__all__ = [
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

# The module of each, where it is not operator.py.
_MODULES = {
    "clip_boxes": "boxes",
    "decode_boxes": "boxes",
    "detect": "detection",
    "encode_boxes": "boxes",
    "flip_boxes": "boxes",
    "fold_statistics": "targets",
    "image_order": "sampling",
    "iou": "boxes",
    "learning_rate": "sgd",
    "match_rois": "sampling",
    "multi_task_loss": "loss",
    "nms": "greedy_nms",
    "normalise_targets": "targets",
    "select_scale": "detection",
    "sample_rois": "sampling",
    "sgd_step": "sgd",
    "smooth_l1": "loss",
    "softmax_log_loss": "loss",
    "spp_pool": "spp",
    "svd_approximation": "svd",
    "target_statistics": "targets",
    "truncated_svd": "svd",
}


def __getattr__(name: str) -> Any:
    # Not a plain import: the adapter in backend.py quiets TensorFlow's start-up, and must come before TensorFlow.
    if name in __all__:
        module = importlib.import_module(f"frcnn.backends.tf.{_MODULES.get(name, 'operator')}")
        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
