"""Boxes on tensors: overlap, clipping, flipping and the regression targets, as spec/boxes.md says.

Shapes and symbols. R boxes, K classes. A box is a row (x1, y1, x2, y2): inclusive corners in image pixels; class k in
columns 4k .. 4k + 3. TensorFlow's own arithmetic passes the clauses, eagerly and in tf.function, where R is unknown.
tf.clip_by_value and tf.maximum are not used: they do not say which zero they give for -0 and 0 (box-clip.kept).

What is known without running raises ValueError or TypeError; what is not, tf.errors.InvalidArgumentError. Both name the
argument. `validate=False` leaves out the second kind, but for shapes. XLA (jit_compile=True) has no op for the second
kind's sentences, "StringFormat", and compiles what does without them.

Columns are taken apart by tf.unstack and tf.split, and an axis is added by tf.expand_dims: eagerly an index such as
boxes[:, 0] or boxes[:, None] takes four to seven times as long.
"""

import numpy as np
import tensorflow as tf

from frcnn.backends.arguments import EPSILON, LARGEST_COORDINATE, as_image_sides, check_profile
from frcnn.backends.tf.constants import fixed
from frcnn.backends.tf.order import in_order
from frcnn.backends.tf.sentences import bare_sentences


def iou(a, b, *, validate=True):
    """Intersection over union of every box of `a` (A, 4) with every box of `b` (B, 4): (A, B), float32 or float64.

    Clauses: box-iou.extents, box-iou.order, box-iou.type, box-iou.malformed, box-iou.pairs.

    >>> iou(tf.constant([[0.0, 0, 9, 9]]), tf.constant([[0.0, 0, 9, 4]])).numpy().tolist()
    [[0.5]]
    """
    a, b = as_boxes("a", a), as_boxes("b", b)
    check_same_type("b", b, "a", a)
    if validate:
        check_places("a", a)
        check_places("b", b)
    rows, columns = (tf.unstack(tf.expand_dims(boxes, axis), axis=2) for boxes, axis in ((a, 1), (b, 0)))
    pixel = fixed(1, a.dtype)
    w, h = (tf.minimum(rows[i + 2], columns[i + 2]) - tf.maximum(rows[i], columns[i]) + pixel for i in (0, 1))
    shared = w * h
    meet = (w > 0) & (h > 0)
    union = _areas(rows) + _areas(columns) - shared
    # Where they do not meet the union may be 0; 1 in its place keeps NaN out of the gradient too.
    return tf.where(meet, shared / tf.where(meet, union, tf.ones_like(union)), tf.zeros_like(shared))


def clip_boxes(boxes, image_size, *, profile="exact", validate=True):
    """Clip boxes (R, 4 K), in image pixels, to an image of (H, W). Clauses: box-clip.*.

    >>> clip_boxes(tf.constant([[-3.0, 2, 12, 40]]), (10, 10)).numpy().tolist()
    [[0.0, 2.0, 9.0, 9.0]]
    """
    check_profile(profile)
    H, W = as_image_sides("image_size", image_size)
    boxes = as_class_boxes("boxes", boxes)
    if validate:
        check_rows("boxes", ~tf.math.is_nan(boxes), "holds a NaN; there is no place to clip it to")
    corners = tf.reshape(boxes, (rows_of(boxes), boxes.shape[1] // 4, 2, 2))
    below = tf.constant(True if profile == "exact" else [[True], [False]])
    above = tf.constant(True if profile == "exact" else [[False], [True]])
    last = tf.constant([W - 1, H - 1], boxes.dtype)
    # Compared as whole numbers: TensorFlow's threads would take a coordinate of -1e-40 for 0.
    clipped = tf.where((in_order(corners) < 0) & below, tf.zeros_like(corners), corners)
    return tf.reshape(tf.where((in_order(clipped) > in_order(last)) & above, last, clipped), tf.shape(boxes))


def flip_boxes(boxes, width, *, validate=True):
    """Mirror boxes (R, 4) in an image of `width` columns. Clauses: box-flip.columns, box-flip.rows.

    >>> flip_boxes(tf.constant([[0.0, 1, 3, 2]]), 10).numpy().tolist()
    [[6.0, 1.0, 9.0, 2.0]]
    """
    (W,) = as_image_sides("width", (width,))
    boxes = as_boxes("boxes", boxes)
    if validate:
        check_places("boxes", boxes)
    x1, y1, x2, y2 = tf.unstack(boxes, axis=1)
    width, pixel = fixed(W, boxes.dtype), fixed(1, boxes.dtype)
    return tf.stack([width - x2 - pixel, y1, width - x1 - pixel, y2], axis=1)


def encode_boxes(proposals, ground_truth, *, profile="exact", validate=True):
    """The targets (R, 4) that take proposals (R, 4) to ground truth (R, 4). Clauses: box-encode.*.

    >>> encode_boxes(tf.constant([[0.0, 0, 9, 9]]), tf.constant([[5.0, 0, 14, 9]])).numpy().tolist()
    [[0.5, 0.0, 0.0, 0.0]]
    """
    check_profile(profile)
    proposals, ground_truth = as_boxes("proposals", proposals), as_boxes("ground_truth", ground_truth)
    check_same_type("ground_truth", ground_truth, "proposals", proposals)
    ground_truth = _as_many("ground_truth", ground_truth, proposals)
    p, p_extent = _centred("proposals", proposals, profile, validate)
    g, g_extent = _centred("ground_truth", ground_truth, profile, validate)
    return tf.concat([(g - p) / p_extent, tf.math.log(g_extent / p_extent)], axis=1)


def decode_boxes(proposals, deltas, *, profile="exact", validate=True):
    """The boxes (R, 4 K) that deltas (R, 4 K) make of proposals (R, 4); not clipped. Clauses: box-decode.*.

    >>> decode_boxes(tf.constant([[0.0, 0, 9, 9]]), tf.constant([[0.5, 0, 0, 0]])).numpy().tolist()
    [[5.0, 0.0, 14.0, 9.0]]
    """
    check_profile(profile)
    proposals, deltas = as_boxes("proposals", proposals), as_class_boxes("deltas", deltas)
    check_same_type("deltas", deltas, "proposals", proposals)
    deltas = _as_many("deltas", deltas, proposals)
    if validate:
        check_rows("deltas", tf.math.is_finite(deltas), "holds a number that is not finite")
    centre, extent = (tf.expand_dims(side, 1) for side in _centred("proposals", proposals, profile, validate))
    shape = (rows_of(deltas), deltas.shape[1] // 4, 2, 2)
    shift, stretch = tf.unstack(tf.reshape(deltas, shape), axis=2)
    middle = shift * extent + centre
    half = fixed(0.5, extent.dtype) * (tf.exp(stretch) * extent)
    last = middle + half - fixed(1, extent.dtype) if profile == "exact" else middle + half
    return tf.reshape(tf.stack([middle - half, last], axis=2), tf.shape(deltas))


def as_boxes(name, value, columns=4):
    """Clauses box-error.shape and box-error.type."""
    boxes = tf.convert_to_tensor(value)
    if boxes.shape.rank != 2 or boxes.shape[1] != columns:
        raise ValueError(f"{name} must have shape (R, {columns}), got {boxes.shape}")
    if boxes.dtype not in (tf.float32, tf.float64):
        raise TypeError(f"{name} must have one of the types float32, float64, got {boxes.dtype.name}")
    return boxes


def as_class_boxes(name, value):
    """The same, for rows of several boxes."""
    boxes = tf.convert_to_tensor(value)
    whole = boxes.shape.rank == 2 and boxes.shape[1] is not None and boxes.shape[1] % 4 == 0
    return as_boxes(name, boxes, boxes.shape[1] if whole else "4 K")


def check_same_type(name, tensor, other_name, other):
    """Clause box-error.type."""
    if tensor.dtype != other.dtype:
        raise TypeError(f"{name} must have the type of {other_name}, {other.dtype.name}, got {tensor.dtype.name}")


def check_places(name, boxes):
    """Clause box-error.coordinate."""
    good = tf.abs(boxes) <= LARGEST_COORDINATE
    check_rows(name, good, "has a coordinate that is not finite or beyond 2^24 in size")


def check_all(good, sentence, *values):
    """Stop with the sentence, its braces filled with the values, unless all of `good` is true; in a graph the op."""
    if seen_to_be(good):
        return None
    return tf.debugging.Assert(tf.reduce_all(good), [tf.strings.format(sentence, values)])


def check_rows(name, good, sentence):
    """The same for `good` of a row each, (R, ...), naming the first row that is not."""
    if seen_to_be(good):
        return None
    row = tf.argmin(tf.cast(tf.concat([tf.reduce_all(good, axis=1), [False]], 0), tf.int32))
    return check_all(good, f"{name}[{{}}] {sentence}", row)


def seen_to_be(good):
    """Whether all of `good` is true, where that can be seen now, eagerly: then no sentence need be made."""
    return tf.executing_eagerly() and bool(tf.reduce_all(good))


def rows_of(tensor):
    """How many rows: a number where it is known without running, else a tensor."""
    return tf.shape(tensor)[0] if tensor.shape[0] is None else tensor.shape[0]


def of_shape(name, tensor, *sizes):
    """`tensor`, which waits, where its shape or the wanted one is not known without running, until they are compared.

    sizes: numbers, or what rows_of gives, or None for any. What is known, the caller has compared.
    """
    if tensor.shape.is_fully_defined() and not any(map(tf.is_tensor, sizes)):
        return tensor
    found = tf.shape(tensor)
    wanted = tf.stack([found[axis] if size is None else size for axis, size in enumerate(sizes)])
    # As text, shapes of different ranks are compared too.
    found, wanted = (tf.strings.reduce_join(tf.strings.as_string(s), separator=", ") for s in (found, wanted))
    sentence = tf.strings.join([f"{name} must have shape (", wanted, "), got (", found, ")"])
    with tf.control_dependencies([tf.debugging.Assert(found == wanted, [sentence])]):
        return tf.identity(tensor)


def _as_many(name, rows, proposals):
    if not rows.shape[:1].is_compatible_with(proposals.shape[:1]):
        raise ValueError(f"{name} must have one row a proposal, {proposals.shape[0]}, got {rows.shape}")
    return of_shape(name, rows, rows_of(proposals), rows.shape[1])


def _areas(boxes):
    x1, y1, x2, y2 = boxes
    pixel = fixed(1, x1.dtype)
    return (x2 - x1 + pixel) * (y2 - y1 + pixel)


def _centred(name, boxes, profile, validate):
    """Centres (R, 2) and extents (R, 2): clauses box-encode.extents and box-encode.centre."""
    first, last = tf.split(boxes, 2, axis=1)
    extent = last - first + fixed(1 if profile == "exact" else EPSILON, boxes.dtype)
    if validate:
        check_places(name, boxes)
        check_rows(name, extent > 0, "has no positive extent; its last corner must not lie before its first")
    return first + fixed(0.5, extent.dtype) * extent, extent


class BoxesAdapter:
    """The operators of this file for a backend: NumPy in and out."""

    def iou(self, a, b):
        with bare_sentences():
            return iou(np.asarray(a), np.asarray(b)).numpy()

    def clip_boxes(self, boxes, image_size, **options):
        with bare_sentences():
            return clip_boxes(np.asarray(boxes), image_size, **options).numpy()

    def flip_boxes(self, boxes, width):
        with bare_sentences():
            return flip_boxes(np.asarray(boxes), width).numpy()

    def encode_boxes(self, proposals, ground_truth, **options):
        with bare_sentences():
            return encode_boxes(np.asarray(proposals), np.asarray(ground_truth), **options).numpy()

    def decode_boxes(self, proposals, deltas, **options):
        with bare_sentences():
            return decode_boxes(np.asarray(proposals), np.asarray(deltas), **options).numpy()
