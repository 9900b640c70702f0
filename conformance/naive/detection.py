"""The choice of scale and the limits on detections, one number at a time."""

import heapq
from fractions import Fraction

import numpy as np

from frcnn.conformance.naive import nms


def select_scale(boxes, scales):
    """As frcnn.reference.select_scale, for input that is known to be good: every operation exact, then rounded."""

    def rounded(number):
        return Fraction(float(number))

    chosen = []
    for corners in boxes.tolist():
        x1, y1, x2, y2 = map(Fraction, corners)
        w, h = (rounded(rounded(last - first) + 1) for first, last in ((x1, x2), (y1, y2)))
        area, best = rounded(w * h), (Fraction(-1), -1)
        for index, scale in enumerate(map(Fraction, np.asarray(scales, np.float64).tolist())):
            distance = abs(rounded(rounded(area * rounded(scale * scale)) - 50176))
            if index == 0 or distance < best[0]:
                best = distance, index
        chosen.append(best[1])
    return np.array(chosen, np.int64)


def detect(scores, boxes, images, image_count, iou_threshold=0.3, *, per_image=100, per_class=40, profile="exact"):
    """As frcnn.reference.detect, for input that is known to be good: with the original's threshold that rises."""
    detections, present = [], sorted(set(images.tolist()))  # an image without a row changes the limit alone
    for k in range(1, scores.shape[1]):
        score, threshold = scores[:, k].tolist(), float("-inf")
        highest: list = []
        taken: dict = {}
        for image in present:
            above = [row for row in range(len(score)) if images[row] == image and score[row] > threshold]
            taken[image] = [row for _, row in sorted((-score[row], row) for row in above)][:per_image]
            for row in taken[image]:
                heapq.heappush(highest, score[row])
            while len(highest) > per_class * image_count:
                heapq.heappop(highest)
                threshold = highest[0]
        for image in present:
            left = [row for row in taken[image] if score[row] > threshold]
            own_boxes, own_scores = boxes[left, 4 * k : 4 * k + 4], scores[left, k]
            kept = nms.nms(own_boxes, own_scores, iou_threshold, profile=profile).tolist()
            detections += [(k, image, left[place]) for place in kept]
    return np.array(detections, np.int64).reshape(-1, 3)
