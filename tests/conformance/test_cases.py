"""A failed call is written down so that it can be repeated."""

import numpy as np
import pytest
from faulty_backends import Right, WithoutClipping

from frcnn.conformance.cases import Call, Pooling, channels_last, literal, written
from frcnn.conformance.subject import Nonconforming, Subject


def test_an_array_with_its_channels_last_in_memory_is_written_so():
    array = channels_last(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4))
    again = eval(literal(array), {"np": np})
    assert np.array_equal(again, array)
    assert again.strides == array.strides != np.ascontiguousarray(array).strides
    assert "channels last in memory" in repr(Pooling(array, np.zeros((0, 5), np.float32), (1, 1)))


def test_an_array_in_the_usual_order_is_written_plainly():
    array = np.float32([[1.5, np.nan]])
    assert literal(array) == "np.array([[1.5, nan]], 'float32').reshape((1, 2))"


def test_a_call_that_draws_from_a_generator_says_that_no_lines_repeat_it():
    said = written(Call("draw_normals", ((2, 3), np.random.default_rng(3)), {}), "load('right')")
    assert said.endswith("No lines repeat it, since the generator has moved on; the test makes the call again.")


class WrongForMany(Right):
    """Goes about three RoIs and more in another way, wrongly."""

    name = "wrong-for-many"

    def roi_pool(self, features, rois, *arguments, **options):
        output, argmax = super().roi_pool(features, rois, *arguments, **options)
        return output + (len(rois) > 2), argmax


class WrongWithoutArgmax(Right):
    """Goes another way where the argmax is not asked for, wrongly."""

    name = "wrong-without-argmax"

    def roi_pool(self, *arguments, with_argmax=True, **options):
        output, argmax = super().roi_pool(*arguments, with_argmax=with_argmax, **options)
        return output + (not with_argmax), argmax


ROIS = np.array([[0, 0, 0, 1, 1], [0, 1, 1, 3, 4], [0, 0, 0, 3, 3]], np.float32)
CASE = Pooling(np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4), ROIS, (1, 1))


def failure_of(backend, case):
    with pytest.raises(Nonconforming) as failure:
        Subject(backend()).check_forward(case)
    return str(failure.value)


def test_a_failed_pooling_is_cut_to_the_roi_and_the_channel_that_fail_alone():
    said = failure_of(WithoutClipping, CASE.having(features=CASE.features - 30))
    assert "the first of them alone" in said
    assert "rois=[[0.0, 1.0, 1.0, 3.0, 4.0]] float32" in said
    assert "features=float32[1, 1, 3, 4]" in said


def test_a_pooling_that_fails_for_many_rois_alone_is_written_down_whole():
    said = failure_of(WrongForMany, CASE)
    assert "alone" not in said
    assert f"rois={ROIS.tolist()}" in said
    assert "features=float32[1, 2, 3, 4]" in said


def test_a_pooling_that_fails_without_the_argmax_is_repeated_without_it():
    said = failure_of(WrongWithoutArgmax, CASE.having(with_argmax=False))
    assert "with_argmax=False)\nTo repeat it:" in said
    lines = said.partition("To repeat it:")[2].strip().splitlines()
    assert [line.count("with_argmax=False") for line in lines if line.startswith("print(")] == [1, 1]
