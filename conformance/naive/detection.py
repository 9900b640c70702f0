"""The choice of scale and the limits on detections, one number at a time."""

from fractions import Fraction

import numpy as np


def select_scale(boxes, scales):
    """As frcnn.reference.select_scale, for input that is known to be good: every operation exact, then rounded."""

    def rounded(number):
        return Fraction(float(number))

    chosen = []
    for corners in boxes.tolist():
        x1, y1, x2, y2 = map(Fraction, corners)
        w, h = (rounded(rounded(last - first) + 1) for first, last in ((x1, x2), (y1, y2)))
        area, best = rounded(w * h), None
        for index, scale in enumerate(map(Fraction, np.asarray(scales, np.float64).tolist())):
            distance = abs(rounded(rounded(area * rounded(scale * scale)) - 50176))
            if best is None or distance < best[0]:
                best = distance, index
        chosen.append(best[1])
    return np.array(chosen, np.int64)
