"""The backend under test, and the asserting. Every comparison of the suite is made here, bit for bit or within a bound.

A failure says the clause's expectation with index, expected and got, and carries lines to paste that repeat it. A
backend is handed copies, which it may not change, and what it answers is copied: a buffer that it uses again changes
neither what is compared nor what the lines say.
"""

import re
import unittest
from contextlib import nullcontext, suppress
from functools import cached_property

import numpy as np

from frcnn import reference
from frcnn.backends import Missing
from frcnn.conformance import naive, tolerance
from frcnn.conformance.cases import Call, Pooling, Unpooling, written

FORWARD = ("output", "argmax")  # what roi_pool gives
ARGMAX = "argmax"  # what a backend for inference alone lacks


class Nonconforming(AssertionError):
    """The backend's answer is not the spec's."""


class Broken(Nonconforming):
    """The backend gave no answer, and refused nothing either: it raised another error than ValueError or TypeError."""


class NoOperator(Missing, unittest.SkipTest):
    """The backend lacks the whole operator. Hypothesis ends the test there: no other input would differ."""


class Subject:
    """A backend, and what is counted of it within one test.

    The reference itself is held to the naive second formulation, every other backend to the reference.
    """

    def __init__(self, backend, loading=None, during_call=nullcontext):
        """loading: the call of `backends.load` that gave the backend, for the lines that repeat a failure.

        during_call() is entered for each call and left after it.
        """
        self.backend = backend
        self.during_call = during_call
        self.loading = loading or f"load({backend.name!r})"
        self.is_reference = backend.executed == "numpy" and backend.name == "reference"
        self.begin()

    def begin(self):
        """Forget the counts of the test before."""
        self.examples = 0
        self.worst_margin = None
        self.facts = {}
        self._case = None  # the latest call
        self._to_be_refused = False

    # calls

    def pool(self, case):
        """The backend's (output, argmax) for a Pooling; argmax is None where the backend has none to give."""
        arguments = (case.features, case.rois, case.output_size, case.spatial_scale)
        options = {"profile": case.profile, "validate": case.validate, "with_argmax": case.with_argmax}
        try:
            answer = self._called("roi_pool", arguments, options, case)
        except Missing:
            if not case.with_argmax:
                raise
            self.facts["lacks"] = ARGMAX
            return self.pool(case.having(with_argmax=False))
        wanted = (np.ndarray, np.ndarray if case.with_argmax else np.ndarray | None)
        if not (isinstance(answer, tuple) and len(answer) == 2 and all(map(isinstance, answer, wanted))):
            self._fail(f"roi_pool must give a tuple of two arrays, output and argmax, got {_kind(answer)}", None, case)
        return answer

    def without_argmax(self, case):
        """The same Pooling without an argmax. Raises Missing of a backend that has none to leave out."""
        if self.pool(case)[1] is None:
            raise Missing(ARGMAX)
        return case.having(with_argmax=False)

    def unpool(self, case):
        """The backend's grad_features for an Unpooling."""
        arguments = (case.grad_output, case.argmax, case.rois, case.features_shape, case.spatial_scale)
        options = {"profile": case.profile}
        if case.deterministic is not None:
            options["deterministic"] = case.deterministic
        answer = self._called("roi_pool_backward", arguments, options, case)
        if not isinstance(answer, np.ndarray):
            self._fail(f"roi_pool_backward must give an array, got {_kind(answer)}", None, case)
        return answer

    def call(self, operator, *arguments, **options):
        """The backend's answer to any operator: an array or a tuple of arrays. Of RoI pooling see `pool`."""
        try:
            return self._called(operator, arguments, options, Call(operator, arguments, options))
        except Missing:
            if operator != "roi_pool" or not options.get("with_argmax", True):
                raise
            self.facts["lacks"] = ARGMAX
            return self.call(operator, *arguments, **{**options, "with_argmax": False})

    def _called(self, operator, arguments, options, case):
        method = getattr(self.backend, operator, None)
        if method is None:
            self.facts["lacks"] = operator
            raise NoOperator(operator)
        self._case = case
        copies: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        handed = _copied(arguments, copies)
        handed_options = {name: _copied(value, copies) for name, value in options.items()}
        try:
            with self.during_call():
                answer = method(*handed, **handed_options)
        except Missing:
            if operator != "roi_pool_backward" or not self._has_a_gradient:
                self.facts["lacks"] = operator
            raise
        except (Exception, SystemExit) as error:
            self.examples += 1
            if self._to_be_refused and isinstance(error, Exception):
                raise
            refused = isinstance(error, (ValueError, TypeError))
            said = f"{'a lawful call was refused' if refused else 'the call ended'}, {type(error).__name__}: {error}"
            self._fail(said, None, case, error)
        self.examples += 1
        answer = _copied(answer, {})
        if any(original.tobytes() != copy.tobytes() for original, copy in copies.values()):
            self._fail("the call changed an array that it was given", None, case)
        return answer

    @cached_property
    def _has_a_gradient(self):
        """Whether the backend takes any gradient back, be it in one mode alone."""
        one = np.zeros((1, 1, 1, 1), np.float32), np.zeros((1, 1, 1, 1), np.int64), np.zeros((1, 5), np.float32)
        for options in ({}, {"deterministic": False}):
            try:
                with self.during_call():
                    self.backend.roi_pool_backward(*one, (1, 1, 1, 1), 1.0, profile="exact", **options)
            except Missing:
                continue
            except Exception:  # one that fails is there
                pass
            return True
        return False

    def expected(self, case):
        """What the spec says of a Pooling: (output, argmax), the latter whether or not it is asked for."""
        arguments = (case.features, case.rois, case.output_size, case.spatial_scale)
        if self.is_reference and case.validate:
            return naive.roi_pool.roi_pool(*arguments, case.profile)
        return reference.roi_pool(*arguments, profile=case.profile, validate=case.validate)

    # assertions

    def check_forward(self, case, expected=None):
        """Output and argmax are bit for bit the spec's; the argmax is None where it is not asked for, or not there."""
        __tracebackhide__ = True
        got = self.pool(case)
        case = self._case  # as the backend was asked in the end
        (output, argmax), (want_output, want_argmax) = got, expected or self.expected(case)
        self.require_same("output", want_output, output, case)
        if case.with_argmax:
            self.require_same("argmax", want_argmax, argmax, case)
        elif argmax is not None:
            self._fail("argmax must be None where it is not asked for", argmax, case)
        return got

    def check_backward(self, case, expected=None):
        """Every cell's gradient is within the bound of clause roi-pool.backward-sum; a cell that none reaches is 0."""
        __tracebackhide__ = True
        got = self.unpool(case)
        total, bound = self.gradient_bound(case)
        if expected is not None:
            total = expected.astype(np.float64)
        if got.shape != case.features_shape or got.dtype != case.grad_output.dtype:
            self._fail(f"grad_features must be {case.grad_output.dtype} {case.features_shape}", got, case)
        error = _error(total, got.astype(np.float64))
        wrong = ~(error <= bound)
        if wrong.any():
            place = tuple(map(int, np.argwhere(wrong)[0]))
            self._fail(
                f"grad_features{list(place)}: expected {total[place]!r} within {bound[place]:.3g}, got {got[place]!r}; "
                f"{int(wrong.sum())} of {wrong.size} gradients are beyond the bound",
                None,
                case,
            )
        reached = bound > 0
        if reached.any():
            self.note_margin(float((error[reached] / bound[reached]).max()))
        return got

    def gradient_bound(self, case):
        """(sum, bound) of every cell in float64: clause roi-pool.backward-sum. What is not finite has a bound of 0."""

        def add_up(gradients):
            if self.is_reference and case.grad_output.size < 4096:
                function, profile = naive.roi_pool.roi_pool_backward, (case.profile,)
                return function(gradients, case.argmax, case.rois, case.features_shape, case.spatial_scale, *profile)
            return reference.roi_pool_backward(
                gradients, case.argmax, case.rois, case.features_shape, case.spatial_scale, profile=case.profile
            )

        gradients = case.grad_output.astype(np.float64)
        total, sizes, terms = add_up(gradients), add_up(np.abs(gradients)), add_up(np.ones_like(gradients))
        in_order = case.deterministic is not False
        with np.errstate(invalid="ignore"):
            bound = tolerance.sum_bound(terms, sizes, total, case.grad_output.dtype.name, in_order)
        return total, np.where((terms > 0) & np.isfinite(total), bound, 0.0)

    def check(self, operator, *arguments, expected=None, bound=None, **options):
        """The answer is bit for bit the spec's, or, where bound is given, within it, array by array.

        expected: an array or a tuple of them; by default the reference's answer, or the second formulation's where the
            reference is the subject. None among them is for an array that the spec leaves free.
        bound: for each array of the answer None (bit for bit) or what tolerance.py says, an array or a number.
        """
        __tracebackhide__ = True
        if expected is None:
            formulation = naive.OPERATORS[operator] if self.is_reference else getattr(reference, operator)
            expected = formulation(*arguments, **options)
        case = Call(operator, arguments, options)
        answer = self.call(operator, *arguments, **options)
        expected, got, bounds = (as_tuple(value) for value in (expected, answer, bound))
        if len(got) != len(expected) or not all(isinstance(have, _ARRAY_OR_NUMBER) for have in got):
            wanted = "an array" if len(expected) == 1 else f"a tuple of {len(expected)} arrays"
            self._fail(f"{operator} must give {wanted}, got {_kind(answer)}", None, case)
        bounds = bounds * len(expected) if len(bounds) == 1 else bounds
        for number, (want, have, allowed) in enumerate(zip(expected, got, bounds, strict=True)):
            name = operator if len(expected) == 1 else f"{operator}'s result {number}"
            if want is None:
                continue
            if allowed is None:
                self.require_same(name, np.asarray(want), np.asarray(have), case)
            else:
                self.require_close(name, np.asarray(want), np.asarray(have), allowed, case)
        return got[0] if len(got) == 1 else got

    def require_close(self, name, expected, got, bound, case):
        """Equal shape, and each number within its bound; infinities and NaNs in the same places."""
        __tracebackhide__ = True
        if got.shape != expected.shape:
            self._fail(f"{name} must have shape {expected.shape}", got, case)
        want, have = expected.astype(np.float64), got.astype(np.float64)
        error = _error(want, have)
        wrong = ~(error <= bound)
        if wrong.any():
            place = tuple(map(int, np.argwhere(wrong)[0])) if wrong.ndim else ()
            allowed = np.broadcast_to(bound, wrong.shape)[place]
            self._fail(
                f"{name}{list(place)}: expected {want[place]!r} within {allowed:.3g}, got {have[place]!r}; "
                f"{int(wrong.sum())} of {wrong.size} are beyond the bound",
                None,
                case,
            )
        allowed = np.broadcast_to(bound, error.shape)
        if (allowed > 0).any():
            self.note_margin(float((error[allowed > 0] / allowed[allowed > 0]).max()))

    def check_refused(self, call, *names):
        """The call raises ValueError or TypeError whose message holds one of the names, as a word of its own.

        A name of one letter, which may be a word of English too, counts in quotes or before "=", ":", "[" or a verb.
        """
        __tracebackhide__ = True
        asked, self._to_be_refused = " or ".join(names), True
        try:
            call()
            error = None
        except (Missing, NameError, Nonconforming):  # a program that is broken has refused nothing
            raise
        except Exception as raised:
            error = raised
        finally:
            self._to_be_refused = False
        if error is None:
            self._fail(f"expected an error that names {asked}, got none", None, self._case)
        said = f"{type(error).__name__}: {error}"
        if not isinstance(error, (ValueError, TypeError)):
            self._fail(f"expected a ValueError or TypeError that names {asked}, got {said}", None, self._case)
        if "unexpected keyword argument" in str(error):  # Python's, of a method that has no such parameter
            self._fail(
                f"expected an error that names {asked}, but the backend has no such option: {said}", None, self._case
            )
        if not any(_names(str(error), name) for name in names):
            self._fail(f"the error must name {asked}, but says: {said}", None, self._case)

    def require_same(self, name, expected, got, case):
        """Equal shape, type and bits; a NaN equals any NaN."""
        __tracebackhide__ = True
        if got.shape != expected.shape or got.dtype != expected.dtype:
            self._fail(f"{name} must be {expected.dtype} {expected.shape}", got, case)
        wrong = differing(expected, got)
        if wrong.any():
            place = tuple(map(int, np.argwhere(wrong)[0]))
            message = f"{name}{list(place)}: expected {expected[place]!r}, got {got[place]!r}; "
            message += f"{int(wrong.sum())} of {wrong.size} differ"
            smaller = isinstance(case, Pooling) and self._smaller(case, name, place, expected[place])
            self._fail(f"{message}; the first of them alone:" if smaller else message, None, smaller or case)
        self.note_margin(0.0)

    def note_margin(self, margin):
        """Share of the allowed error that was used; the largest of the test is reported."""
        self.worst_margin = max(margin, self.worst_margin or 0.0)

    def _smaller(self, case, name, place, expected):
        """A Pooling of the wrong RoI in the wrong channel, or in all, that is wrong too; None where neither is.

        By the clauses roi-pool.roi-order and roi-pool.channel it should tell as much as the whole, but some backends go
        about many RoIs in another way.
        """
        r, c, p, q = place
        roi = case.having(rois=case.rois[r : r + 1])
        for smaller, channel in ((roi.having(features=np.ascontiguousarray(case.features[:, c : c + 1])), 0), (roi, c)):
            with suppress(Exception):  # whoever refuses the smaller call does not repeat the larger one's answer
                got = dict(zip(FORWARD, self.pool(smaller), strict=True))[name][0, channel, p, q]
                if differing(np.atleast_1d(expected), np.atleast_1d(got)).any():
                    return smaller
        return None

    def _fail(self, message, got, case, cause=None):
        """Raise. case: None for a call that was not made here. cause: what the backend raised, if it did.

        An error of a kind that refuses nothing makes the failure Broken.
        """
        __tracebackhide__ = True
        if got is not None:
            message += f", got {got.dtype} {got.shape}"
        kind = Nonconforming if cause is None or isinstance(cause, (ValueError, TypeError)) else Broken
        raise kind(message if case is None else f"{message}\n{written(case, self.loading)}\n") from cause


def _names(message, name):
    """Whether a message names an argument."""
    if len(name) > 1:
        return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", message)
    return re.search(rf"""(?<!\w)(['"`]{name}['"`]|{name}( ?[=:\[]| (must|has|is|should)\b))""", message)


_ARRAY_OR_NUMBER = (np.ndarray, np.generic, int, float)


def _kind(answer):
    """What an answer is, where it is not what it should be: "a list of 2", "a NoneType"."""
    if isinstance(answer, tuple):
        return f"a tuple of {', '.join(type(one).__name__ for one in answer) or 'nothing'}"
    return f"a {type(answer).__name__}" + (f" of {len(answer)}" if isinstance(answer, list) else "")


def _copied(value, copies):
    """Arrays copied as they lie in memory, in tuples and lists too. copies: those that were, by id; one stays one."""
    if type(value) in (tuple, list):
        return type(value)(_copied(one, copies) for one in value)
    if not isinstance(value, np.ndarray):
        return value
    return copies.setdefault(id(value), (value, _copy_of(value)))[1]


def _copy_of(array):
    """A copy with the same strides, gaps of memory among the numbers included, and as writable."""
    if array.flags.forc or not array.size:
        copy = array.copy(order="K")
    else:
        reach = [(length - 1) * stride for length, stride in zip(array.shape, array.strides, strict=True)]
        first, last = sum(step for step in reach if step < 0), sum(step for step in reach if step > 0)
        memory = np.full(last - first + array.itemsize, 0xFF, np.uint8)
        copy = np.ndarray(array.shape, array.dtype, memory.data, -first, array.strides)
        copy[...] = array
    copy.flags.writeable = array.flags.writeable
    return copy


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


def _error(want, have):
    """How far two float64 arrays are apart; equal infinities and two NaNs are not."""
    same = (want == have) | (np.isnan(want) & np.isnan(have))
    with np.errstate(invalid="ignore"):
        return np.where(same, 0.0, np.abs(have - want))


def differing(expected, got):
    """Where two arrays of one type differ in their bits, NaNs apart."""
    if expected.dtype.kind in "iub":
        return expected != got
    bits = f"u{expected.dtype.itemsize}"
    wide_expected, wide_got = expected.astype(np.float64), got.astype(np.float64)
    both_nan = np.isnan(wide_expected) & np.isnan(wide_got)
    apart = np.ascontiguousarray(expected).view(bits) != np.ascontiguousarray(got).view(bits)
    return apart.reshape(expected.shape) & ~both_nan  # a single number has become a row of one


def rows(answer, chosen):
    """Those of an (output, argmax), which may have no argmax."""
    return tuple(None if array is None else array[chosen] for array in answer)


def unpooling_of(case, argmax, grad_output):
    """The backward call that follows a forward one."""
    shape = tuple(case.features.shape)
    return Unpooling(grad_output, argmax, case.rois, shape, case.spatial_scale, case.profile)
