"""Which RoIs and which images make up a minibatch, given the random numbers, as spec/sampling.md says; on tensors.

tf.argsort passes roi-sampling.tie on the CPU, -0 and +0 and the smallest integer included. tf.argmax says nothing on
equal maxima, so the first is looked for (roi-sampling.best). Eagerly and in tf.function, R known or not.

What is known without running raises ValueError or TypeError; what is not, tf.errors.InvalidArgumentError. Both name the
argument. `validate=False` leaves out the second kind, but for shapes.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import MOST_ROIS, as_share, as_thresholds, as_whole, check_profile
from frcnn.backends.tf.boxes import (
    as_boxes,
    check_all,
    check_places,
    check_same_type,
    iou,
    of_shape,
    rows_of,
    seen_to_be,
)
from frcnn.backends.tf.order import in_order
from frcnn.backends.tf.sentences import bare_sentences

KEY_TYPES = (tf.float32, tf.float64, tf.int32, tf.int64)


def match_rois(proposals, ground_truth, ground_truth_class, *, profile="exact", validate=True):
    """The RoIs of an image, ground truth first, each with its best overlap and that ground truth's class.

    proposals: (R, 4), float32 or float64; image pixels. ground_truth: (G, 4) of the same type.
    ground_truth_class: (G,), int32 or int64. profile: "caffe-2015" rounds overlaps from float64 to float32.
    Returns the RoIs (G + R, 4), their overlaps (G + R,) and their classes (G + R,), int64. No gradient passes. Clauses:
    roi-sampling.*.

    >>> boxes, truth = tf.constant([[0.0, 0, 9, 4]]), tf.constant([[0.0, 0, 9, 9]])
    >>> [tensor.numpy().tolist() for tensor in match_rois(boxes, truth, tf.constant([7]))[1:]]
    [[1.0, 0.5], [7, 7]]
    """
    check_profile(profile)
    proposals = tf.stop_gradient(as_boxes("proposals", proposals))
    ground_truth = tf.stop_gradient(as_boxes("ground_truth", ground_truth))
    check_same_type("ground_truth", ground_truth, "proposals", proposals)
    own = _as_row("ground_truth_class", ground_truth_class, ground_truth, (tf.int32, tf.int64))
    if validate:
        check_places("proposals", proposals)
        check_places("ground_truth", ground_truth)
        _check("ground_truth_class", own, own >= 1, "it must be at least 1")
    wide = proposals.dtype if profile == "exact" else tf.float64
    shares = iou(tf.cast(proposals, wide), tf.cast(ground_truth, wide), validate=False)
    # A column without overlap, of class 0, in front of all others wins where none is larger than 0.
    shares = tf.pad(shares, [[0, 0], [1, 0]])
    largest, width = tf.reduce_max(shares, axis=1), tf.shape(shares)[1]
    best = tf.reduce_min(tf.where(shares == tf.expand_dims(largest, 1), tf.range(width), width), axis=1)
    own = tf.cast(own, tf.int64)
    overlaps = tf.concat([tf.ones_like(own, wide), largest], 0)
    classes = tf.concat([own, tf.gather(tf.pad(own, [[1, 0]]), best)], 0)
    rois = tf.concat([ground_truth, proposals], 0)
    return rois, overlaps if profile == "exact" else tf.cast(overlaps, tf.float32), classes


def sample_rois(
    overlaps_max,
    overlap_class,
    keys,
    *,
    rois_per_image=64,
    fg_fraction=0.25,
    fg_threshold=0.5,
    bg_threshold_lo=0.1,
    bg_threshold_hi=0.5,
    validate=True,
):
    """The indices and labels, int64, of the RoIs of one image that the smallest keys put into the minibatch.

    overlaps_max: (R,), float32 or float64. overlap_class: (R,), int32 or int64. keys: (R,), float32, float64, int32 or
    int64, such as tf.random.uniform gives. The numbers are those of frcnn.reference.sample_rois. Clauses:
    roi-sampling.*.

    >>> overlaps, classes = tf.constant([0.9, 0.2, 0.6, 0.3, 0.0]), tf.constant([5, 5, 8, 8, 0])
    >>> [t.numpy().tolist() for t in sample_rois(overlaps, classes, tf.range(5), rois_per_image=2, fg_fraction=0.5)]
    [[0, 1], [5, 0]]
    """
    overlaps = _as_row("overlaps_max", overlaps_max, None, (tf.float32, tf.float64))
    numbers = _as_row("overlap_class", overlap_class, overlaps, (tf.int32, tf.int64))
    keys = _as_row("keys", keys, overlaps, KEY_TYPES)
    places, fraction = as_whole("rois_per_image", rois_per_image, 1, MOST_ROIS), as_share("fg_fraction", fg_fraction)
    # In the overlaps' type: roi-sampling.thresholds.
    thresholds = as_thresholds(bg_threshold_lo, bg_threshold_hi, fg_threshold)
    lo, hi, fg = (tf.constant(threshold, overlaps.dtype) for threshold in thresholds)
    foreground = overlaps >= fg
    background = (overlaps >= lo) & (overlaps < hi)
    if validate:
        _check("overlaps_max", overlaps, (overlaps >= 0) & (overlaps <= 1), "an overlap lies in 0..1")
        _check("overlap_class", numbers, numbers >= 0, "it must be at least 0")
        with_class = ~foreground | (numbers > 0)
        _check("overlap_class", numbers, with_class, "a RoI that may be foreground has a class of at least 1")
        _check_keys(keys)
    order = tf.argsort(in_order(keys), stable=True)
    drawn = tf.boolean_mask(order, tf.gather(foreground, order))[: round(fraction * places)]
    others = tf.boolean_mask(order, tf.gather(background, order))[: places - tf.size(drawn)]
    labels = tf.concat([tf.gather(numbers, drawn), tf.zeros_like(others, numbers.dtype)], 0)
    return tf.cast(tf.concat([drawn, others], 0), tf.int64), tf.cast(labels, tf.int64)


def image_order(keys, *, images_per_batch=2, profile="exact", validate=True):
    """The minibatches of one epoch (B, images_per_batch), int64, from a key for each image.

    keys: (I,), float32, float64, int32 or int64; I must be known. profile: where I is a multiple of images_per_batch,
    "caffe-2015" drops the last minibatch. Clauses: roi-sampling.permutation, roi-sampling.tail.

    >>> image_order(tf.constant([0.5, 0.1, 0.9, 0.3, 0.7])).numpy().tolist()
    [[1, 3], [0, 4]]
    """
    check_profile(profile)
    keys = _as_row("keys", keys, None, KEY_TYPES)
    together, images = as_whole("images_per_batch", images_per_batch, 1, MOST_ROIS), keys.shape[0]
    if images is None:
        raise ValueError("keys must have a known length: the number of minibatches follows from it")
    if together > images:
        raise ValueError(f"images_per_batch must be at most the number of images, {images}, got {together}")
    if validate:
        _check_keys(keys)
    batches = images // together
    if profile == "caffe-2015":
        batches = max((images - 1) // together, 1)
    order = tf.argsort(in_order(keys), stable=True)[: batches * together]
    return tf.cast(tf.reshape(order, (batches, together)), tf.int64)


def _as_row(name, value, other, types):
    """One number a row of `other`, or any number of them where that is None.

    Shapes and types: roi-sampling.error-classes, roi-sampling.error-overlaps, roi-sampling.error-keys.
    """
    row, shape = tf.convert_to_tensor(value), [None] if other is None else other.shape[:1]
    if row.shape.rank != 1 or not row.shape.is_compatible_with(shape):
        raise ValueError(f"{name} must have shape {tf.TensorShape(shape)}, got {row.shape}")
    if row.dtype not in types:
        raise TypeError(f"{name} must have one of the types {', '.join(t.name for t in types)}, got {row.dtype.name}")
    return row if other is None else of_shape(name, row, rows_of(other))


def _check(name, values, good, sentence):
    if seen_to_be(good):
        return
    row = tf.argmin(tf.cast(tf.concat([good, [False]], 0), tf.int32))
    padded = tf.pad(values, [[0, 1]])  # so that there is a row to print where all are good
    check_all(good, f"{name}[{{}}] is {{}}; {sentence}", row, padded[row])


def _check_keys(keys):
    """Clause roi-sampling.error-keys."""
    if keys.dtype.is_floating:
        _check("keys", keys, ~tf.math.is_nan(keys), "it has no place in an order")


class SamplingAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    def match_rois(self, proposals, ground_truth, ground_truth_class, **options):
        arrays = (np.asarray(array) for array in (proposals, ground_truth, ground_truth_class))
        with bare_sentences():
            return tuple(tensor.numpy() for tensor in match_rois(*arrays, **options))

    def sample_rois(self, overlaps_max, overlap_class, keys, **options):
        arrays = (np.asarray(array) for array in (overlaps_max, overlap_class, keys))
        with bare_sentences():
            return tuple(tensor.numpy() for tensor in sample_rois(*arrays, **options))

    def image_order(self, keys, **options):
        with bare_sentences():
            return image_order(np.asarray(keys), **options).numpy()
