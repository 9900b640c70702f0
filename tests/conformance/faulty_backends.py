"""The reference with one fault each: what the suite must catch, by the clause that names the fault."""

import atexit
import ctypes
import os
import sys
from contextlib import contextmanager
from unittest import mock

import numpy as np

from frcnn.backends import Missing
from frcnn.backends.reference import ReferenceBackend
from frcnn.conformance.cases import DTYPES

roi_pool_module = sys.modules["frcnn.reference.roi_pool"]


@contextmanager
def replaced(name, function):
    """The reference with one of its functions replaced, for one call: the suite beside it keeps the right one."""
    with mock.patch.object(roi_pool_module, name, function):
        yield


class Right(ReferenceBackend):
    """No fault at all: what the machinery must let pass."""

    name = "right"


class HalfToEven(ReferenceBackend):
    """Rounds halves to even, as np.rint and torch.round do."""

    name = "half-to-even"

    def roi_pool(self, *arguments, **options):
        def rounded_corners(rois, scale):
            return np.rint(rois[:, 1:] * scale).astype(np.int64).T

        with replaced("_rounded_corners", rounded_corners):
            return super().roi_pool(*arguments, **options)


class Float32Edges(ReferenceBackend):
    """Computes bin edges in float32 under every profile."""

    name = "float32-edges"

    def roi_pool(self, *arguments, **options):
        bin_edges = roi_pool_module._bin_edges
        with replaced("_bin_edges", lambda n, P, profile: bin_edges(n, P, "caffe-2015")):
            return super().roi_pool(*arguments, **options)


class LastOfEquals(ReferenceBackend):
    """Compares with >= and so keeps the last of equal values."""

    name = "last-of-equals"

    def roi_pool(self, *arguments, **options):
        first_maximum = roi_pool_module._first_maximum

        def last_maximum(window, profile):
            _, h, w = window.shape
            y, x = first_maximum(window[:, ::-1, ::-1], profile)
            return np.where(y < 0, y, h - 1 - y), np.where(y < 0, x, w - 1 - x)

        with replaced("_first_maximum", last_maximum):
            return super().roi_pool(*arguments, **options)


class WithoutClipping(ReferenceBackend):
    """Reads what lies beyond the map, here zeros."""

    name = "without-clipping"
    margin = 128

    def roi_pool(self, features, rois, output_size, spatial_scale=1.0, *, with_argmax=True, **options):
        beyond = self.margin
        features = np.asarray(features)
        if features.ndim != 4:
            return super().roi_pool(features, rois, output_size, spatial_scale, **options)
        around = ((0, 0), (0, 0), (beyond, beyond), (beyond, beyond))
        pool_windows = roi_pool_module.pool_windows

        def unclipped(rchw, output_size, map_size, **profile):
            return pool_windows(rchw + np.array([beyond, beyond, 0, 0]), output_size, map_size, **profile)

        with replaced("pool_windows", unclipped):
            output, argmax = super().roi_pool(np.pad(features, around), rois, output_size, spatial_scale, **options)
        W = features.shape[3]
        row, column = argmax // (W + 2 * beyond) - beyond, argmax % (W + 2 * beyond) - beyond
        return output, (np.where(argmax < 0, -1, row * W + column) if with_argmax else None)


class DropsOverlaps(ReferenceBackend):
    """Writes gradients where it should add them: of those that share a cell the last one stays."""

    name = "drops-overlaps"

    def roi_pool_backward(self, grad_output, argmax, rois, *arguments, **options):
        argmax = np.array(argmax)
        seen = set()
        for i, c, p, q in reversed(list(np.ndindex(argmax.shape))):
            place = (float(rois[i, 0]), c, int(argmax[i, c, p, q]))
            if place in seen:
                argmax[i, c, p, q] = -1
            seen.add(place)
        return super().roi_pool_backward(grad_output, argmax, rois, *arguments, **options)


class DiesOnWrongIndex(ReferenceBackend):
    """Ends its process on a wild image index, as one public runtime does."""

    name = "dies-on-wrong-index"

    def roi_pool(self, features, rois, *arguments, **options):
        if np.any(np.asarray(rois)[..., 0] == 1e9):
            os._exit(134)
        return super().roi_pool(features, rois, *arguments, **options)


class NeverEndsWithoutRois(ReferenceBackend):
    """Waits for ever without a RoI, and lets no other Python run meanwhile."""

    name = "never-ends-without-rois"

    def roi_pool(self, features, rois, *arguments, **options):
        if len(rois) == 0:
            ctypes.PyDLL(None).sleep(10_000)
        return super().roi_pool(features, rois, *arguments, **options)


class Interrupts(ReferenceBackend):
    """Ends the whole run, as Ctrl-C in a terminal does."""

    name = "interrupts"

    def roi_pool(self, features, rois, *arguments, **options):
        if np.shape(features) != (1, 1, 2, 2):  # the first calls, which are to see whether it answers at all
            raise KeyboardInterrupt
        return super().roi_pool(features, rois, *arguments, **options)


class SaysGoodbye(ReferenceBackend):
    """Prints when its process ends, as a framework's banner or a profiler does."""

    name = "says-goodbye"

    def __init__(self, device="cpu"):
        super().__init__(device)
        atexit.register(print, "goodbye")


class WithoutHalfTypes(ReferenceBackend):
    name = "without-half-types"

    def roi_pool(self, features, *arguments, **options):
        return super().roi_pool(wide(features), *arguments, **options)

    def roi_pool_backward(self, grad_output, *arguments, **options):
        return super().roi_pool_backward(wide(grad_output), *arguments, **options)


def wide(array):
    if array.dtype in (DTYPES["float16"], DTYPES["bfloat16"]):
        raise Missing(f"{array.dtype} features")
    return array


class WrongEverySeventhTime(ReferenceBackend):
    name = "wrong-every-seventh-time"
    calls = 0

    def roi_pool(self, *arguments, **options):
        output, argmax = super().roi_pool(*arguments, **options)
        self.calls += 1
        return (output + 1 if self.calls % 7 == 0 else output), argmax


class WithoutBackward(ReferenceBackend):
    """An inference runtime: it has no gradient."""

    name = "without-backward"

    def roi_pool_backward(self, *arguments, **options):
        raise Missing("roi_pool_backward")


class ForInference(WithoutBackward):
    """No argmax either."""

    name = "for-inference"

    def roi_pool(self, *arguments, with_argmax=True, **options):
        if with_argmax:
            raise Missing("argmax")
        return super().roi_pool(*arguments, with_argmax=False, **options)


class WrongForInference(ForInference):
    name = "wrong-for-inference"

    def roi_pool(self, *arguments, **options):
        output, _ = super().roi_pool(*arguments, **options)
        return np.where(output == 0, output.dtype.type(-1), output), None


class WithoutDeterministicMode(ReferenceBackend):
    name = "without-deterministic-mode"

    def roi_pool_backward(self, *arguments, deterministic=True, **options):
        if deterministic:
            raise Missing("deterministic")
        return super().roi_pool_backward(*arguments, deterministic=False, **options)


class MissingInTwoWays(ReferenceBackend):
    """Lacks calls for two reasons, which Hypothesis finds in one test; under caffe-2015 one of them is an error."""

    name = "missing-in-two-ways"

    def roi_pool(self, features, rois, *arguments, **options):
        if len(rois) > 1:
            raise Missing("more than one RoI")
        raise RuntimeError("no RoI") if options.get("profile") == "caffe-2015" and not len(rois) else Missing("one RoI")


class NextRelease(ReferenceBackend):
    """Does not say which version it is."""

    name = "next-release"
    version = "main"


class Namesake(ReferenceBackend):
    """Its report would have the file of another's."""

    executed = "native"


class Nameless(ReferenceBackend):
    name = None


class RunsByMagic(ReferenceBackend):
    executed = "magic"


class Aborts(ReferenceBackend):
    """Takes its process with it, at the first call."""

    def roi_pool(self, *arguments, **options):
        os.abort()


class WithoutCaffe2015(ReferenceBackend):
    """Has the profile exact alone, of every operator."""

    name = "without-caffe-2015"

    def __init__(self, device="cpu"):
        super().__init__(device)
        for operator in self.operators.__all__:
            setattr(self, operator, self._in_exact_alone(getattr(self, operator)))

    @staticmethod
    def _in_exact_alone(operator):
        def called(*arguments, **options):
            if options.get("profile") == "caffe-2015" or "caffe-2015" in [
                one for one in arguments if isinstance(one, str)
            ]:
                raise Missing("profile caffe-2015")
            return operator(*arguments, **options)

        return called


class WithoutUnchecked(ReferenceBackend):
    name = "without-unchecked"

    def roi_pool(self, *arguments, validate=True, **options):
        if not validate:
            raise Missing("validate=False")
        return super().roi_pool(*arguments, **options)


class WrongOnCuda(Right):
    """Keeps boxes in the wrong order, on CUDA alone."""

    name = "wrong-on-cuda"
    executed = "cuda"

    def __init__(self, device):
        super().__init__()
        self.device = device

    def nms(self, *arguments, **options):
        kept = super().__getattr__("nms")(*arguments, **options)
        return kept[::-1] if self.device == "cuda" else kept


class SaysWhatIsNoText(Right):
    """Prints a byte that is no UTF-8 when it is loaded, and fails with a character that no file holds."""

    name = "says-what-is-no-text"

    def __init__(self, device="cpu"):
        super().__init__(device)
        os.write(1, b"d\xe9marrage\n")

    def nms(self, *arguments, **options):
        raise RuntimeError("cannot open \udcff")
