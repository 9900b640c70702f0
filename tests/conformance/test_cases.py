"""A failed call is written down so that it can be repeated."""

import numpy as np

from frcnn.conformance.cases import Pooling, channels_last, literal


def test_an_array_with_its_channels_last_in_memory_is_written_so():
    array = channels_last(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4))
    again = eval(literal(array), {"np": np, "float32": np.float32})
    assert np.array_equal(again, array)
    assert again.strides == array.strides != np.ascontiguousarray(array).strides
    assert "channels last in memory" in repr(Pooling(array, np.zeros((0, 5), np.float32), (1, 1)))


def test_an_array_in_the_usual_order_is_written_plainly():
    array = np.float32([[1.5, np.nan]])
    assert literal(array) == "np.array([[1.5, nan]], float32).reshape((1, 2))"
