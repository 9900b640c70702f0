"""What a backend does to arrays, containers and errors hides no wrong answer; a failure is repeated by its lines."""

import contextlib
import io

import numpy as np
import pytest
from faulty_backends import Right

from frcnn import reference
from frcnn.conformance.cases import Pooling, Unpooling
from frcnn.conformance.subject import Broken, Nonconforming, NoOperator, Subject

ROIS = np.array([[0, 0, 0, 1, 1], [0, 1, 0, 1, 1]], np.float32)
POOLING = Pooling(np.array([[[[1, 2], [np.nan, 4]]]], np.float32), ROIS, (1, 1))
GRAD = np.array([500.0, 2.0], np.float32).reshape(2, 1, 1, 1)
UNPOOLING = Unpooling(GRAD, np.array([3, 1]).reshape(2, 1, 1, 1), ROIS, (1, 1, 2, 2))


def failure_of(call, *arguments, kind=Nonconforming):
    with pytest.raises(kind) as failure:
        call(*arguments)
    return str(failure.value)


def test_whoever_writes_into_an_argument_fails_by_the_lines_of_what_was_asked():
    class ClipsInPlace(Right):
        def roi_pool_backward(self, grad_output, *arguments, **options):
            np.clip(grad_output, -100, 100, out=grad_output)
            return super().roi_pool_backward(grad_output, *arguments, **options)

    assert "[[500.0]]" not in repr(UNPOOLING)
    said = failure_of(Subject(ClipsInPlace()).check_backward, UNPOOLING)
    assert "the call changed an array that it was given" in said
    assert "[[[[500.0]]], [[[2.0]]]]" in said
    assert GRAD.max() == 500


def test_a_buffer_that_is_used_again_does_not_make_two_answers_one():
    class Workspace(Right):
        def __init__(self):
            super().__init__()
            self.answers, self.room = iter((0.0, 1.0)), np.zeros((1, 1, 2, 2), np.float32)

        def roi_pool_backward(self, *_, **__):
            self.room[...] = next(self.answers)
            return self.room

    subject = Subject(Workspace())
    assert subject.unpool(UNPOOLING).max() == 0
    assert subject.unpool(UNPOOLING).max() == 1
    subject = Subject(Workspace())
    once, again = subject.unpool(UNPOOLING), subject.unpool(UNPOOLING)
    assert "differ" in failure_of(subject.require_same, "grad_features", once, again, UNPOOLING)


def test_an_argument_that_is_to_be_left_alone_is_watched():
    class Writes(Right):
        def sgd_step(self, weights, *arguments, **options):
            weights += 1
            return reference.sgd_step(weights, *arguments, **options)

    one = np.ones(2, np.float32)
    said = failure_of(Subject(Writes()).call, "sgd_step", one, one, one, 0.1)
    assert "changed an array that it was given" in said
    Subject(Right()).call("sgd_step", one, one, one, 0.1)
    assert one.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "got a NoneType"),
        (np.zeros((2, 1, 1, 1), np.float32), "got a ndarray"),
        ([np.zeros(1), np.zeros(1)], "got a list of 2"),
        ((np.zeros(1), None), "got a tuple of ndarray, NoneType"),
        (([1.0], [0]), "got a tuple of list, list"),
    ],
)
def test_an_answer_in_another_container_is_said_with_the_lines_to_repeat_it(answer, said):
    class Gives(Right):
        def roi_pool(self, *_, **__):
            return answer

    found = failure_of(Subject(Gives()).check_forward, POOLING)
    assert "roi_pool must give a tuple of two arrays, output and argmax, " + said in found
    assert "To repeat it:" in found


def test_a_list_where_a_tuple_is_due_is_not_called_one_array():
    class Lists(Right):
        def encode_boxes(self, *arguments, **options):
            return list(reference.encode_boxes(*arguments, **options))

    boxes = np.array([[0, 0, 4, 4]], np.float32)
    assert "encode_boxes must give an array, got a list of 1" in failure_of(
        Subject(Lists()).check, "encode_boxes", boxes, boxes
    )


def test_an_error_of_another_kind_is_said_with_its_kind_and_the_lines_to_repeat_it():
    class Asserts(Right):
        def roi_pool(self, *_, **__):
            raise AssertionError

    said = failure_of(Subject(Asserts()).check_forward, POOLING, kind=Broken)
    assert said.startswith("the call ended, AssertionError: ")
    assert "To repeat it:" in said


def test_a_backend_without_the_operator_misses_it_roi_pooling_too():
    class OnlyBoxes(Right):
        roi_pool = None

    with pytest.raises(NoOperator):
        Subject(OnlyBoxes()).check_forward(POOLING)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("bad value"), "the error must name a, but says: ValueError: bad value"),
        (RuntimeError("a is bad"), "expected a ValueError or TypeError that names a, got RuntimeError: a is bad"),
        (TypeError("iou() got an unexpected keyword argument 'a'"), "but the backend has no such option: TypeError"),
        (None, "expected an error that names a, got none"),
    ],
    ids=str,
)
def test_a_refusal_names_the_argument_as_a_word_and_is_no_accident_of_python_s(error, said):
    class Refuses(Right):
        def iou(self, *_, **__):
            if error:
                raise error
            return np.zeros((0, 0), np.float32)

    subject = Subject(Refuses())
    found = failure_of(subject.check_refused, lambda: subject.call("iou", None, np.zeros((1, 4))), "a")
    assert said in found
    assert "To repeat it:" in found
    assert subject.examples == 1


def test_lines_run_and_show_the_type_and_every_digit():
    class Wide(Right):
        def roi_pool(self, *arguments, **options):
            output, argmax = super().roi_pool(*arguments, **options)
            return output.astype(np.float64) + 2.0**-50, argmax.astype(np.int32)

    lines = failure_of(Subject(Wide()).check_forward, POOLING).partition("To repeat it:")[2]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(lines.replace("load('wide')", "backend()").replace("load('right')", "backend()"), {"backend": Wide})
    theirs, _, ours = printed.getvalue().partition("\n(")
    assert "4.000000000000001" in theirs
    assert "dtype=int32" in theirs
    assert "dtype=float32" in ours


def test_a_call_with_an_array_that_nobody_would_paste_says_so():
    class Wrong(Right):
        def roi_pool(self, *_, **__):
            raise ValueError("no")

    large = POOLING.having(features=np.zeros((1, 1, 70, 70), np.float32))
    said = failure_of(Subject(Wrong()).check_forward, large)
    assert "No lines repeat it, since float32[1, 1, 70, 70] is too long to print" in said
