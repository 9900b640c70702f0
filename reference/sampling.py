"""Which RoIs and which images make up a minibatch, given the random numbers: `spec/sampling.md`, executable.

R proposals and G ground-truth boxes of one image. A box is a row (x1, y1, x2, y2) in image pixels, both corners inside.
Class 0 is background. The smallest keys win, so that whoever has the same keys has the same minibatch.
"""

import numpy as np

from frcnn.reference.arguments import MOST, as_array, as_whole, check_profile
from frcnn.reference.box_arguments import as_boxes, as_scores, check_places, check_same_type
from frcnn.reference.boxes import iou
from frcnn.reference.sampling_arguments import as_classes, as_keys, as_share, as_thresholds


def match_rois(proposals, ground_truth, ground_truth_class, *, profile="exact"):
    """The RoIs of an image, each with its best overlap and the class of the ground truth that it overlaps so.

    proposals: (R, 4), float32 or float64; image pixels. ground_truth: (G, 4) of the same type.
    ground_truth_class: (G,), int32 or int64; at least 1.
    profile: "exact" has overlaps in the boxes' type; "caffe-2015" computes them in float64 and rounds them to float32.

    Returns the RoIs (G + R, 4) of the boxes' type, ground truth first; their overlaps (G + R,); their classes (G + R,),
    int64, 0 where nothing is overlapped.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 2.3, "Mini-batch sampling". Clauses: roi-sampling.joined, roi-sampling.own, roi-sampling.best,
    roi-sampling.none, roi-sampling.overlap-type, roi-sampling.error-boxes, roi-sampling.error-classes,
    roi-sampling.error-profile.

    >>> rois, overlaps, classes = match_rois(np.float32([[0, 0, 9, 4]]), np.float32([[0, 0, 9, 9]]), np.array([7]))
    >>> overlaps.tolist(), classes.tolist()
    ([1.0, 0.5], [7, 7])
    """
    check_profile(profile)  # roi-sampling.error-profile
    proposals, ground_truth = as_boxes("proposals", proposals), as_boxes("ground_truth", ground_truth)
    check_same_type("ground_truth", ground_truth, "proposals", proposals)  # roi-sampling.error-boxes
    check_places("proposals", proposals)
    check_places("ground_truth", ground_truth)
    G = len(ground_truth)
    own = as_classes("ground_truth_class", ground_truth_class, G, least=1)  # roi-sampling.error-classes
    wide = ground_truth.dtype if profile == "exact" else np.float64  # roi-sampling.overlap-type
    shares = iou(proposals.astype(wide), ground_truth.astype(wide))
    # roi-sampling.none: a column of no overlap with class 0 in front of all others wins where none is larger than 0.
    shares = np.concatenate([np.zeros((len(proposals), 1), wide), shares], axis=1)
    best = shares.argmax(axis=1)  # roi-sampling.best: the first maximum
    overlaps = np.concatenate([np.ones(G, wide), shares.max(axis=1)])  # roi-sampling.own
    classes = np.concatenate([own, np.concatenate([[0], own])[best]]).astype(np.int64)
    rois = np.concatenate([ground_truth, proposals])  # roi-sampling.joined
    return rois, overlaps if profile == "exact" else overlaps.astype(np.float32), classes


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
):
    """The RoIs of one image that go into the minibatch, and their labels.

    overlaps_max: (R,), float32 or float64; each RoI's IoU with its best ground truth, as match_rois gives it.
    overlap_class: (R,), int32 or int64; that ground truth's class.
    keys: (R,), float32, float64, int32 or int64; random numbers, as draw_keys gives them.
    rois_per_image: how many RoIs at most; fg_fraction: the share of them, at most, that is foreground.
    fg_threshold: foreground overlaps at least so much; bg_threshold_lo, bg_threshold_hi: background lies in [lo, hi).

    Returns indices, int64, foreground by rising key and then background by rising key; and labels, int64, 0 for
    background. Either may hold fewer than asked, or none.
    Raises ValueError or TypeError naming the argument and the first offending row.
    Source: section 2.3, "Mini-batch sampling". Clauses: those named below, roi-sampling.error-overlaps,
    roi-sampling.error-classes, roi-sampling.error-keys, roi-sampling.error-numbers, roi-sampling.error-thresholds.

    >>> overlaps, classes, keys = np.float32([0.9, 0.2, 0.6, 0.3, 0.0]), np.array([5, 5, 8, 8, 0]), np.arange(5)
    >>> [array.tolist() for array in sample_rois(overlaps, classes, keys, rois_per_image=2, fg_fraction=0.5)]
    [[0, 1], [5, 0]]
    """
    overlaps = as_scores("overlaps_max", overlaps_max, as_array("overlaps_max", overlaps_max).size)
    bad = np.flatnonzero(~((overlaps >= 0) & (overlaps <= 1)))  # roi-sampling.error-overlaps
    if len(bad):
        raise ValueError(f"overlaps_max[{bad[0]}] is {overlaps[bad[0]]}; an overlap lies in 0..1")
    classes = as_classes("overlap_class", overlap_class, len(overlaps), least=0)
    keys = as_keys("keys", keys, len(overlaps))
    places, fraction = as_whole("rois_per_image", rois_per_image, 1, MOST), as_share("fg_fraction", fg_fraction)
    # roi-sampling.thresholds: rounded to the overlaps' type by as_thresholds.
    lo, hi, fg = as_thresholds(bg_threshold_lo, bg_threshold_hi, fg_threshold, overlaps.dtype.type)
    foreground = overlaps >= fg  # roi-sampling.foreground
    background = (overlaps >= lo) & (overlaps < hi)  # roi-sampling.background
    without = np.flatnonzero(foreground & (classes == 0))  # roi-sampling.error-classes
    if len(without):
        raise ValueError(f"overlap_class[{without[0]}] is 0, but overlap {overlaps[without[0]]} may be foreground")
    quota = round(fraction * places)  # roi-sampling.quota: Python's round takes a half to the even neighbour
    order = np.argsort(keys, kind="stable")  # roi-sampling.keys, roi-sampling.order; stable is roi-sampling.tie
    drawn = order[foreground[order]][:quota]
    others = order[background[order]][: places - len(drawn)]  # roi-sampling.remainder: a slice is never longer
    labels = np.concatenate([classes[drawn], np.zeros(len(others))])  # roi-sampling.labels
    return np.concatenate([drawn, others]).astype(np.int64), labels.astype(np.int64)


def image_order(keys, *, images_per_batch=2, profile="exact"):
    """The minibatches of one epoch: which images, in which order.

    keys: (I,), float32, float64, int32 or int64; a random number for each image, flipped ones counted.
    images_per_batch: a whole number, at most I.
    profile: where I is a multiple of images_per_batch, "caffe-2015" drops the last minibatch.

    Returns (B, images_per_batch), int64: image indices.
    Raises ValueError or TypeError naming the argument: roi-sampling.error-keys, roi-sampling.error-numbers,
    roi-sampling.error-profile.
    Source: section 2.3, "iterate over permutations". Clauses: roi-sampling.permutation, roi-sampling.tail.

    >>> image_order(np.float32([0.5, 0.1, 0.9, 0.3, 0.7])).tolist()
    [[1, 3], [0, 4]]
    """
    check_profile(profile)
    keys = as_keys("keys", keys, as_array("keys", keys).size)
    together = as_whole("images_per_batch", images_per_batch, 1, MOST)
    if together > len(keys):
        raise ValueError(f"images_per_batch must be at most the number of images, {len(keys)}, got {together}")
    batches = len(keys) // together
    if profile == "caffe-2015":
        batches = max((len(keys) - 1) // together, 1)  # roi-sampling.tail: what is left must be more than a minibatch
    order = np.argsort(keys, kind="stable")  # roi-sampling.permutation
    return order[: batches * together].reshape(batches, together).astype(np.int64)


def draw_keys(count, generator):
    """Keys that make every choice equally likely: independent and uniform in [0, 1).

    count: how many, a whole number. generator: a numpy.random.Generator, whose state moves on.

    Returns (count,), float64.
    Raises ValueError or TypeError naming the argument.
    Clause: roi-sampling.keys. Source: section 2.3, "chosen uniformly at random".

    >>> draw_keys(3, np.random.default_rng(3)).shape
    (3,)
    """
    if not isinstance(generator, np.random.Generator):
        raise TypeError(f"generator must be a numpy.random.Generator, got {type(generator).__name__}")
    return generator.random(as_whole("count", count, 0, MOST))
