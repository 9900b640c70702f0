"""The multi-task loss and its parts on tensors; a GradientTape differentiates them.

`tf.nn.sparse_softmax_cross_entropy_with_logits` passes in `exact`; on a GPU it gives NaN for a label that is no class,
so labels are looked at before, as clause log-loss.error-labels says. `tf.nn.softmax` is not used: in float32 on a CPU
it has zeros beside the NaN of a row, which fails log-loss.not-finite. `tf.keras.losses.Huber` is not used: it takes the
mean over the last axis, which fails multi-task-loss.reduce. A `tf.where` of the two branches of smooth L1 is not
differentiated either: the gradient of the square, 0 there, times an infinity is NaN, which fails smooth-l1.not-finite.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import as_finite, check_profile
from frcnn.backends.tf.boxes import of_shape, rows_of
from frcnn.backends.tf.constants import fixed

FLT_MIN = float(np.finfo(np.float32).tiny)


@tf.autograph.experimental.do_not_convert
def smooth_l1(x, *, profile="exact"):
    """0.5 x^2 near zero, |x| - 0.5 from -1 and 1 on.

    x: any shape, float32 or float64. profile: "exact", or "caffe-2015", which gives NaN a derivative of 0.
    Raises ValueError or TypeError naming the argument.
    """
    check_profile(profile)
    x = _as_tensor("x", x)

    @tf.custom_gradient
    def with_derivative(x):
        near = tf.abs(x) < 1

        def gradient(upstream):
            derivative = tf.where(near, x, tf.sign(x))
            if profile == "caffe-2015":
                derivative = tf.where(tf.math.is_nan(x), tf.zeros_like(x), derivative)
            return upstream * derivative

        half = fixed(0.5, x.dtype)
        return tf.where(near, half * x * x, tf.abs(x) - half), gradient

    return with_derivative(x)


@tf.autograph.experimental.do_not_convert
def softmax_log_loss(scores, labels, *, profile="exact"):
    """-log of the true class's softmax probability: one number for each RoI, not reduced.

    scores: (R, K + 1), float32 or float64. labels: (R,) integers in 0 .. K.
    profile: "exact", or "caffe-2015", which clamps the logarithm's argument at FLT_MIN, and not its gradient.
    Raises ValueError or TypeError naming the argument.
    """
    check_profile(profile)
    scores, labels = _scores_and_labels(scores, labels)
    return _log_loss(scores, labels, profile)


def _log_loss(scores, labels, profile):
    if profile == "exact":
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
    true = tf.one_hot(labels, tf.shape(scores)[1], dtype=scores.dtype)

    @tf.custom_gradient
    def clamped(scores):  # the tape's own gradient would be 0 where the clamp acts
        sizes = tf.exp(scores - tf.reduce_max(scores, axis=1, keepdims=True))
        p = sizes / tf.reduce_sum(sizes, axis=1, keepdims=True)
        p_u = tf.gather(p, labels, batch_dims=1)
        p_u = tf.where(p_u < FLT_MIN, tf.constant(FLT_MIN, scores.dtype), p_u)  # NaN is not less, and stays
        return -tf.math.log(p_u), lambda upstream: (p - true) * tf.expand_dims(upstream, 1)

    # XLA leaves assertions out and gathers the nearest class's: what `exact` says by NaN is said here too.
    lawful = (labels >= 0) & (labels < tf.cast(tf.shape(scores)[1], labels.dtype))
    return tf.where(lawful, clamped(scores), tf.constant(float("nan"), scores.dtype))


@tf.autograph.experimental.do_not_convert
def multi_task_loss(scores, deltas, labels, targets, *, lambda_=1.0, profile="exact"):
    """L, L_cls and L_loc of a minibatch: Eq. 1, each divided by the number of all RoIs.

    scores: (R, K + 1), float32 or float64. deltas: (R, 4 (K + 1)), class by class, background's first.
    labels: (R,) integers in 0 .. K. targets: (R, 4), those of the RoI's own class; of background RoIs anything.
    lambda_: the weight of the box loss. profile: "exact" or "caffe-2015".
    Raises ValueError or TypeError naming the argument.
    """
    check_profile(profile)
    scores, labels = _scores_and_labels(scores, labels)
    losses = _log_loss(scores, labels, profile)
    columns = scores.shape[1]
    deltas = _as_tensor("deltas", deltas, scores, 4 * columns)
    targets = _as_tensor("targets", targets, scores, 4)
    lambda_ = fixed(as_finite("lambda_", lambda_, scores.dtype.name), scores.dtype)
    own_class, t = tf.expand_dims(labels, 1), tf.reshape(deltas, (-1, columns, 4))
    own = tf.gather(t, labels, batch_dims=1)
    differences = tf.where(own_class >= 1, own - targets, tf.zeros_like(own))
    L_loc = tf.reduce_sum(smooth_l1(differences, profile=profile))
    if profile == "caffe-2015":  # a weight of 0 times each delta that does not enter
        enters = tf.expand_dims((own_class == tf.range(columns, dtype=labels.dtype)) & (own_class >= 1), 2)
        L_loc += tf.reduce_sum(0 * tf.where(enters, tf.zeros_like(t), t))
    divisor = tf.cast(tf.maximum(tf.shape(scores)[0], 1), scores.dtype)
    L_cls, L_loc = tf.reduce_sum(losses) / divisor, L_loc / divisor
    return L_cls + lambda_ * L_loc, L_cls, L_loc


def _as_tensor(name, value, scores=None, columns=None):
    """A tensor of numbers; with `scores`, of their type, and a row of `columns` for each of theirs."""
    tensor = tf.convert_to_tensor(value)
    if tensor.dtype not in (tf.float32, tf.float64):
        raise TypeError(f"{name} must be float32 or float64, got {tensor.dtype.name}; widen half types first")
    if scores is None:
        return tensor
    if tensor.dtype != scores.dtype:
        raise TypeError(f"{name} must have the type of scores, {scores.dtype.name}, got {tensor.dtype.name}")
    if not tensor.shape.is_compatible_with((scores.shape[0], columns)):
        raise ValueError(f"{name} must have shape {(scores.shape[0], columns)}, got {tuple(tensor.shape)}")
    return of_shape(name, tensor, rows_of(scores), columns)


def _scores_and_labels(scores, labels):
    scores, labels = _as_tensor("scores", scores), tf.convert_to_tensor(labels)
    if scores.shape.rank != 2 or not scores.shape[1]:
        raise ValueError(f"scores must have shape (R, K + 1), with one column at least, got {tuple(scores.shape)}")
    R, columns = scores.shape
    if not labels.dtype.is_integer:
        raise TypeError(f"labels must be integers, got {labels.dtype.name}")
    if not labels.shape.is_compatible_with((R,)):
        raise ValueError(f"labels must have shape ({R},), one for each row of scores, got {tuple(labels.shape)}")
    labels = of_shape("labels", tf.cast(labels, tf.int64), rows_of(scores))
    wrong = (labels < 0) | (labels >= columns)
    if not tf.executing_eagerly():
        message = f"labels must be classes in 0..{columns - 1}"
        with tf.control_dependencies([tf.debugging.assert_equal(tf.reduce_any(wrong), False, message)]):
            return scores, tf.identity(labels)
    if tf.reduce_any(wrong):
        row = int(tf.where(wrong)[0, 0])
        raise ValueError(f"labels[{row}] is {int(labels[row])}, but scores has the classes 0..{columns - 1}")
    return scores, labels


class LossAdapter:
    """The losses for the suite: NumPy in and out, and every gradient by a tape, not by a formula."""

    def smooth_l1(self, x, *, profile="exact"):
        return self._with_gradients(lambda x: (smooth_l1(x, profile=profile),), x)

    def softmax_log_loss(self, scores, labels, *, profile="exact"):
        return self._with_gradients(lambda scores: (softmax_log_loss(scores, labels, profile=profile),), scores)

    def multi_task_loss(self, scores, deltas, labels, targets, *, lambda_=1.0, profile="exact"):
        def parts(scores, deltas):
            return multi_task_loss(scores, deltas, labels, targets, lambda_=lambda_, profile=profile)

        return self._with_gradients(parts, scores, deltas)

    def _with_gradients(self, function, *arrays):
        """What the function gives, and the gradients of the first of it to the arrays."""
        tensors = [tf.convert_to_tensor(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch([tensor for tensor in tensors if tensor.dtype.is_floating])
            results = function(*tensors)
        gradients = tape.gradient(results[0], tensors)
        return tuple(tensor.numpy() for tensor in (*results, *gradients))
