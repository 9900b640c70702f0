"""In a tf.function the operators obey the clauses that they obey eagerly: its optimiser must not move a constant, nor
may an op refuse what a check has yet to name."""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from conformance_runs import run_suite
from frcnn import reference
from frcnn.backends.tf.boxes import iou
from frcnn.backends.tf.greedy_nms import nms
from frcnn.backends.tf.loss import multi_task_loss

CLAUSES = (
    *("box-iou.extents", "box-iou.order", "box-iou.malformed", "box-clip.bounds", "box-flip.columns"),
    *("box-encode.extents", "box-encode.centre", "box-encode.log", "box-decode.size", "box-decode.corners"),
    *("box-decode.overflow", "smooth-l1.value", "smooth-l1.not-finite", "multi-task-loss.sum"),
    *("multi-task-loss.unselected", "sgd-step.roundings", "sgd-step.schedule", "detect-scale.area"),
    *("box-targets.mean", "box-targets.std"),
    *("box-targets.normalised", "box-targets.folded", "box-targets.error-labels", "box-targets.error-layer"),
    *("nms-greedy.result", "nms-greedy.threshold", "nms-greedy.error-scores"),
    *("roi-sampling.best", "roi-sampling.overlap-type", "roi-sampling.thresholds", "roi-sampling.tail"),
    *("roi-sampling.error-classes", "roi-sampling.error-overlaps", "roi-sampling.error-keys"),
    *("svd-layers.first", "svd-layers.choice", "svd-layers.error-bias"),
)
# Twice one pixel at the end of what float32 counts in whole numbers: 1 - x1 is even there.
FAR = np.float32([[-3, -(2**24), -3, -(2**24)]] * 2)


def test_two_boxes_at_the_end_of_the_whole_numbers_overlap_wholly():
    """Found by profile certify: x2 - x1 + 1 had become x2 + (1 - x1)."""
    assert reference.iou(FAR, FAR).tolist() == [[1, 1], [1, 1]]
    assert tf.function(iou)(tf.constant(FAR), tf.constant(FAR)).numpy().tolist() == [[1, 1], [1, 1]]
    assert nms(tf.constant(FAR), tf.constant([1.0, 1.0]), 0.3).numpy().tolist() == [0]


def test_the_suite_passes_in_a_graph_as_it_does_eagerly(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    _, [report] = run_suite(tmp_path, "graph_backend:GraphBackend", clauses=CLAUSES)
    bad = [(result["test"], result["reason"]) for result in report[1] if result["outcome"] not in ("passed", "skipped")]
    assert not bad, "\n".join(f"{test}: {reason}" for test, reason in bad)
    assert {id for id, outcome in report[2]["clauses"].items() if outcome == "passed"} >= set(CLAUSES)


@pytest.mark.parametrize("profile", ["exact", "caffe-2015"])
def test_xla_which_asserts_nothing_gives_nan_for_a_label_that_is_no_class(profile):
    scores, deltas, targets = tf.ones((3, 4)), tf.zeros((3, 16)), tf.zeros((3, 4))
    lost = tf.function(
        lambda labels: multi_task_loss(scores, deltas, labels, targets, profile=profile), jit_compile=True
    )
    for labels, wrong in (([0, 3, 1], False), ([0, 9, 1], True), ([0, -1, 1], True)):
        assert np.isnan(lost(tf.constant(labels))[0]) == wrong
