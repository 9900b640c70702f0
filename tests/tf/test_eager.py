"""What the operators leave undone eagerly, where each small step of TensorFlow's takes long."""

import pytest
import tensorflow as tf

from frcnn.backends import tf as frcnn_tf

BOXES = tf.constant([[0.0, 0, 9, 9], [0, 0, 9, 8], [20, 0, 29, 9]])
LABELS, NUMBERS = tf.constant([1, 0, 1]), tf.constant([0.9, 0.2, 0.6])
CLASSES = tf.constant([1, 1, 2])
STATISTICS = tf.zeros((2, 4), tf.float64), tf.ones((2, 4), tf.float64)

CHECKED = {
    "iou": lambda: frcnn_tf.iou(BOXES, BOXES),
    "clip_boxes": lambda: frcnn_tf.clip_boxes(BOXES, (10, 10)),
    "flip_boxes": lambda: frcnn_tf.flip_boxes(BOXES, 40),
    "encode_boxes": lambda: frcnn_tf.encode_boxes(BOXES, BOXES),
    "decode_boxes": lambda: frcnn_tf.decode_boxes(BOXES, tf.zeros((3, 8))),
    "nms": lambda: frcnn_tf.nms(BOXES, NUMBERS, 0.3),
    "match_rois": lambda: frcnn_tf.match_rois(BOXES, BOXES, CLASSES),
    "sample_rois": lambda: frcnn_tf.sample_rois(NUMBERS, CLASSES, NUMBERS),
    "image_order": lambda: frcnn_tf.image_order(NUMBERS),
    "select_scale": lambda: frcnn_tf.select_scale(BOXES, [1, 2]),
    "detect": lambda: frcnn_tf.detect(tf.ones((3, 2)), tf.tile(BOXES, (1, 2)), tf.constant([0, 0, 0]), 1),
    "target_statistics": lambda: frcnn_tf.target_statistics(BOXES, LABELS, 2),
    "normalise_targets": lambda: frcnn_tf.normalise_targets(BOXES, LABELS, *STATISTICS),
    "fold_statistics": lambda: frcnn_tf.fold_statistics(tf.ones((8, 5)), tf.ones(8), *STATISTICS),
    "truncated_svd": lambda: frcnn_tf.truncated_svd(BOXES, 1),
}

# Not checked, since a graph's checks are other operations than eager ones.
UNCHECKED = {
    "iou": lambda boxes: frcnn_tf.iou(boxes, boxes, validate=False),
    "flip_boxes": lambda boxes: frcnn_tf.flip_boxes(boxes, 40, validate=False),
    "encode_boxes": lambda boxes: frcnn_tf.encode_boxes(boxes, boxes, validate=False),
    "decode_boxes": lambda boxes: frcnn_tf.decode_boxes(boxes, boxes, validate=False),
    "select_scale": lambda boxes: frcnn_tf.select_scale(boxes, [1, 2], validate=False),
    "normalise_targets": lambda boxes: frcnn_tf.normalise_targets(boxes, LABELS, *STATISTICS, validate=False),
}


@pytest.mark.parametrize("name", CHECKED)
def test_of_what_is_lawful_no_sentence_is_made(name, monkeypatch):
    def made(*_, **__):
        raise AssertionError("a sentence that nobody will read")

    for module, function in ((tf.debugging, "Assert"), (tf.strings, "format")):
        monkeypatch.setattr(module, function, made)
    CHECKED[name]()


@pytest.mark.parametrize("name", UNCHECKED)
def test_columns_are_not_taken_one_by_one(name):
    traced = tf.function(UNCHECKED[name], autograph=False).get_concrete_function(tf.TensorSpec((3, 4)))
    assert [op.name for op in traced.graph.get_operations() if op.type == "StridedSlice"] == []
