"""Every operator a second time, as naively as can be: what the reference itself is held to.

Nothing is shared with `frcnn.reference`. Where that has closed formulas on arrays, this has exact fractions, one number
at a time. `OPERATORS` maps an operator's name to its second formulation, called with the same arguments.
"""

from frcnn.conformance.naive import roi_pool

OPERATORS: dict = {}

__all__ = ["OPERATORS", "roi_pool"]
