"""What each divergence of the register comes to on real photographs: how many bins, RoIs, targets, boxes, how much AP.

A measure is a function of scenes (`scenes.py` says how they stand in for what only a trained network has) whose
docstring is the sentence that the register prints. It compares two readings and gives shares.

R proposals, G objects; a box is (x1, y1, x2, y2), inclusive corners in pixels of the photograph, zero-based. A box that
is read without the + 1 is one whose last corners lie one pixel before: its extents are then x2 - x1 and y2 - y1.
"""

from frcnn.conformance.measures import boxes, evaluation, roi_pooling, suppression, training
from frcnn.conformance.measures.effect import MEAN_AP, MEASURES, Effect, Measure

__all__ = ["MEAN_AP", "MEASURES", "Effect", "Measure", "boxes", "evaluation", "roi_pooling", "suppression", "training"]
