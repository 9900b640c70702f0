"""The backend tf as a user's tf.function runs it: each operator in a graph, its first axis unknown, and optimised.

The suite loads it as graph_backend:GraphBackend.
"""

from functools import cache

import numpy as np
import tensorflow as tf

from frcnn.backends.tf import boxes, detection, greedy_nms, sampling, sgd, svd, targets
from frcnn.backends.tf.backend import TensorFlowBackend
from frcnn.backends.tf.sentences import bare_sentences


def in_graph(function, *arrays, known=(), **options):
    """What the function gives in a graph, as NumPy arrays; known: whose first axis it wants to know, by position."""
    arrays = [np.asarray(array) for array in arrays]
    shapes = [a.shape if i in known else (None, *a.shape[1:])[: a.ndim] for i, a in enumerate(arrays)]
    specs = tuple(tf.TensorSpec(shape, tf.as_dtype(a.dtype)) for shape, a in zip(shapes, arrays, strict=True))
    with bare_sentences():
        found = _traced(function, specs, tuple(options.items()))(*map(tf.constant, arrays))
    return tuple(tensor.numpy() for tensor in found) if isinstance(found, tuple) else found.numpy()


@cache
def _traced(function, specs, options):
    return tf.function(lambda *tensors: function(*tensors, **dict(options)), input_signature=specs, autograph=False)


class GraphBackend(TensorFlowBackend):
    name = "tf-graph"

    def iou(self, a, b):
        return in_graph(boxes.iou, a, b)

    def flip_boxes(self, own, width):
        return in_graph(lambda own, width=width: boxes.flip_boxes(own, width), own)

    def clip_boxes(self, own, image_size, **options):
        return in_graph(lambda own: boxes.clip_boxes(own, image_size, **options), own)

    def encode_boxes(self, proposals, ground_truth, **options):
        return in_graph(boxes.encode_boxes, proposals, ground_truth, **options)

    def decode_boxes(self, proposals, deltas, **options):
        return in_graph(boxes.decode_boxes, proposals, deltas, **options)

    def select_scale(self, own, scales):
        return in_graph(lambda own: detection.select_scale(own, scales), own)

    def target_statistics(self, own, labels, class_count, **options):
        return in_graph(targets.target_statistics, own, labels, class_count=class_count, **options)

    def normalise_targets(self, *arrays):
        return in_graph(targets.normalise_targets, *arrays, known=(2, 3))

    def fold_statistics(self, *arrays):
        return in_graph(targets.fold_statistics, *arrays, known=(2, 3))

    def match_rois(self, *arrays, **options):
        return in_graph(sampling.match_rois, *arrays, **options)

    def sample_rois(self, *arrays, **options):
        return in_graph(sampling.sample_rois, *arrays, **options)

    def image_order(self, keys, **options):
        return in_graph(sampling.image_order, keys, known=(0,), **options)

    def nms(self, own, scores, iou_threshold, **options):
        return in_graph(greedy_nms.nms, own, scores, iou_threshold=iou_threshold, **options)

    def truncated_svd(self, weights, t, bias=None):
        arrays = (weights,) if bias is None else (weights, bias)
        return in_graph(lambda weights, bias=None: svd.truncated_svd(weights, t, bias), *arrays, known=(0,))

    def sgd_step(self, weights, gradients, velocity, learning_rate, **options):
        return in_graph(sgd.sgd_step, weights, gradients, velocity, learning_rate=learning_rate, **options)

    def _with_gradients(self, function, *arrays):
        def run(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                results = function(*tensors)
            return (*results, *tape.gradient(results[0], tensors))

        return in_graph(run, *arrays)
