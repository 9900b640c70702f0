"""frcnn's TensorFlow backend, as a user calls it; channels are last in TensorFlow."""

import nms_answers
import numpy as np
import tensorflow as tf
from serve import THREADS, Lacks, serve

import frcnn
from frcnn import backends
from frcnn.backends.tf import detect, multi_task_loss, operator, roi_pool, truncated_svd

tf.config.threading.set_intra_op_parallelism_threads(THREADS)
tf.config.threading.set_inter_op_parallelism_threads(1)


def make(case, mode):
    if mode.startswith("detect"):
        return detection(case, mode)
    others = {"nms": nms, "loss": loss, "svd": svd, "train step": train_step}
    return others[mode](case) if mode in others else pooling(case, mode)


def pooling(case, mode):
    if mode.endswith("contiguous"):
        raise Lacks("TensorFlow's maps have their channels last")
    features, rois, P, scale = channels_last(case["features"]), tf.constant(case["rois"]), case["P"], case["scale"]
    if mode == "backward":
        _, argmax = operator.roi_pool_with_argmax(features, rois, P, scale, "exact", validate=True, with_argmax=True)
        grad, size = channels_last(case["grad"]), features.shape.as_list()
        return lambda: ChannelsFirst(operator.roi_pool_backward(grad, argmax, rois, size, scale, "exact"))
    differentiable = mode != "inference"
    return lambda: ChannelsFirst(roi_pool(features, rois, P, scale, differentiable=differentiable))


def nms(case):
    """By detect: all classes at once, and no limit but the threshold of overlap."""
    boxes, scores = tf.constant(case["boxes"]), tf.constant(case["scores"])
    K, R = scores.shape
    # A column of scores and four of boxes for each class, after those of the background.
    columns = tf.concat([tf.zeros((R, 1)), tf.transpose(scores)], axis=1)
    places = tf.concat([tf.zeros((R, 1, 4)), tf.transpose(boxes, (1, 0, 2))], axis=1)
    places, images = tf.reshape(places, (R, 4 * (K + 1))), tf.zeros(R, tf.int64)

    def call():
        found = detect(columns, places, images, 1, case["threshold"], per_image=R, per_class=R)
        return nms_answers.Kept(found[:, 0] - 1, found[:, 2], K, R)

    return call


def loss(case):
    """In a tf.function, as a training step has it; eagerly, TensorFlow's own work for each operation is nearly all."""
    given = [tf.constant(case[name]) for name in ("scores", "deltas", "labels", "targets")]

    @tf.function
    def gradients(scores, deltas, labels, targets):
        with tf.GradientTape() as tape:
            tape.watch((scores, deltas))
            total, _, _ = multi_task_loss(scores, deltas, labels, targets)
        return tf.concat(tape.gradient(total, (scores, deltas)), 1)

    return lambda: gradients(*given).numpy()


def svd(case):
    weights = tf.constant(case["weights"])
    return lambda: tf.norm(truncated_svd(weights, case["t"])[0], axis=1).numpy()


def train_step(case):
    import training_step  # needs what reproducing needs

    from frcnn.repro.tf_trainer import Trainer

    return training_step.step(case, Trainer)


def detection(case, mode):
    import one_photograph  # needs what reproducing needs

    from frcnn.repro.tf_tester import Tester

    return one_photograph.detection(case, mode, Tester, backends.load("tf"))


def channels_last(array):
    return tf.constant(np.ascontiguousarray(array.transpose(0, 2, 3, 1)))


class ChannelsFirst:
    """The result, turned round only where it is asked for."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __array__(self, dtype=None, copy=None):
        return self.tensor.numpy().transpose(0, 3, 1, 2)


serve({"frcnn": frcnn.__version__, "tensorflow": tf.__version__}, make)
