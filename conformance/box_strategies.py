"""Hypothesis strategies for boxes: shared corners, equal boxes, single pixels, broken numbers, malformed, far."""

import numpy as np
from hypothesis import strategies as st

from frcnn.conformance.cases import DTYPES

WHOLE = tuple(float(n) for n in range(-3, 13))
BROKEN = (0.1, 0.3, 1 / 3, 2.5, 7.25, 9.999, 33.3, 0.7)
FAR = (2.0**24, -(2.0**24), 2.0**24 - 1, 16777213.0, 1e6 + 0.5)

types = st.sampled_from(("float32", "float64"))
coordinates = st.one_of(st.sampled_from(WHOLE), st.sampled_from(BROKEN), st.sampled_from(FAR[:1] + WHOLE + FAR))
extents = st.sampled_from((0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 9.0, 15.0, 0.5, 0.1, 29.3, 99.7))


@st.composite
def box_arrays(draw, dtype_name, least=0, most=6, malformed=True):
    """Boxes (R, 4) of the type; without `malformed` no last corner lies before its first."""
    rows: list = []
    for _ in range(draw(st.integers(least, most))):
        if rows and draw(st.integers(0, 4)) == 0:
            rows.append(draw(st.sampled_from(rows)))
        elif malformed and draw(st.integers(0, 4)) == 0:
            rows.append([draw(coordinates) for _ in range(4)])
        else:
            x, y = draw(coordinates), draw(coordinates)
            rows.append([x, y, min(x + draw(extents), 2.0**24), min(y + draw(extents), 2.0**24)])
    return np.array(rows, np.float64).reshape(-1, 4).astype(DTYPES[dtype_name])
