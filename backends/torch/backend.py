"""The two backends in torch: `torch` through its public operators, `torch-triton` with the Triton kernels anywhere.

The adapters of the other operators stand beside them, in their own files; torch-triton has RoI pooling alone.

NumPy goes in and comes out, bfloat16 as ml_dtypes has it: torch has no NumPy bfloat16, so its bits cross as int16.
"""

import importlib.metadata

import ml_dtypes
import numpy as np
import torch
from numpy.lib import NumpyVersion

from frcnn.backends import Missing, UnavailableBackend
from frcnn.backends.arguments import as_features_shape
from frcnn.backends.torch import arguments, operator  # noqa: F401  (registers torch.ops.frcnn)
from frcnn.backends.torch.boxes import BoxesAdapter
from frcnn.backends.torch.detection import DetectionAdapter
from frcnn.backends.torch.loss import LossAdapter
from frcnn.backends.torch.nms import NmsAdapter
from frcnn.backends.torch.sampling import SamplingAdapter
from frcnn.backends.torch.sgd import SgdAdapter
from frcnn.backends.torch.spp import SppAdapter
from frcnn.backends.torch.svd import SvdAdapter
from frcnn.backends.torch.targets import TargetsAdapter

_FLOATS = ("float16", "bfloat16", "float32", "float64")


class _Adapter:
    """A Backend over _pool and _backward, which take and give tensors on self.device."""

    name: str

    def _start(self):
        """Set executed; raise UnavailableBackend where the kernels cannot run."""
        raise NotImplementedError

    def _pool(self, *inputs):
        """(output, argmax) of the operator frcnn::roi_pool's inputs."""
        raise NotImplementedError

    def _backward(self, *inputs):
        """The gradient of the operator frcnn::roi_pool_backward's inputs."""
        raise NotImplementedError

    def __init__(self, device="cpu"):
        if device not in ("cpu", "cuda"):
            raise UnavailableBackend(f"backend {self.name} runs on cpu or cuda, not on {device}")
        if device == "cuda" and not torch.cuda.is_available():
            raise UnavailableBackend(f"backend {self.name} finds no CUDA device on this machine; use device cpu")
        self.device = device
        self.version = f"torch {torch.__version__}"
        if device == "cuda":
            self.version += f", CUDA {torch.version.cuda}, {torch.cuda.get_device_name()}"
        self._start()

    def roi_pool(
        self,
        features,
        rois,
        output_size,
        spatial_scale=1.0,
        *,
        profile="exact",
        with_argmax=True,
        validate=True,
    ):
        """As frcnn.reference.roi_pool; argmax is None where with_argmax is False."""
        input, boxes = self._tensor("features", features), self._tensor("rois", rois)
        (P_h, P_w), scale = arguments.as_output_size(output_size), arguments.as_scale(spatial_scale)
        arguments.check_pool(input, boxes, P_h, P_w, scale, profile)
        output, argmax = self._pool(input, boxes, P_h, P_w, scale, profile, with_argmax, validate)
        return _array(output), _array(argmax).astype(np.int64) if with_argmax else None

    def roi_pool_backward(
        self,
        grad_output,
        argmax,
        rois,
        features_shape,
        spatial_scale=1.0,
        *,
        profile="exact",
        deterministic=True,
    ):
        """As frcnn.reference.roi_pool_backward."""
        grad, boxes = self._tensor("grad_output", grad_output), self._tensor("rois", rois)
        scale, features_shape = arguments.as_scale(spatial_scale), as_features_shape(features_shape)
        winners = self._argmax(argmax, features_shape)
        arguments.check_gradient(grad, winners, boxes, features_shape, scale, profile)
        if sentence := arguments.first_unusable(boxes, scale, features_shape[0]):
            raise ValueError(sentence)
        return _array(self._backward(grad, winners, boxes, features_shape, scale, profile, deterministic))

    def _tensor(self, name, value):
        array = np.array(value)  # a copy: torch would share, and warn of, one that may not be written
        if array.dtype.name not in _FLOATS:
            raise TypeError(f"{name} must have one of the types {', '.join(_FLOATS)}, got {array.dtype}")
        if array.dtype == ml_dtypes.bfloat16:
            return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).to(self.device)
        return torch.from_numpy(array).to(self.device)

    def _argmax(self, argmax, features_shape):
        """Clause roi-pool.error-argmax, and int32, which the check has made safe."""
        argmax, (height, width) = np.asarray(argmax), features_shape[2:]
        arguments.check_map(height, width)
        if argmax.dtype.kind not in "iu":
            raise ValueError(f"argmax must hold integers, got {argmax.dtype}")
        if argmax.size and not (argmax.min() >= -1 and argmax.max() < height * width):
            raise ValueError(f"argmax must lie in -1..{height * width - 1} for a map of {height} x {width}")
        return torch.from_numpy(argmax.astype(np.int32)).to(self.device)


class TorchBackend(
    BoxesAdapter,
    NmsAdapter,
    LossAdapter,
    SgdAdapter,
    SppAdapter,
    SamplingAdapter,
    DetectionAdapter,
    SvdAdapter,
    TargetsAdapter,
    _Adapter,
):
    """PyTorch through frcnn's own operators: RoI pooling by native kernels on the CPU and Triton's on CUDA."""

    name = "torch"

    def _start(self):
        self.executed = "native"
        if self.device == "cuda":
            from frcnn.backends.torch import launch

            self.version += f", triton {importlib.metadata.version('triton')}"
            self.executed = launch.executed(self.device)
        else:  # compile now, so that a missing compiler is this backend's absence and not a test's failure
            torch.ops.frcnn.roi_pool(torch.zeros(1, 1, 1, 1), torch.zeros(0, 5), 1, 1, 1.0, "exact", False, True)

    def _pool(self, *inputs):
        return _or_missing(torch.ops.frcnn.roi_pool, inputs)

    def _backward(self, *inputs):
        return _or_missing(torch.ops.frcnn.roi_pool_backward, inputs)


class TorchTritonBackend(_Adapter):
    """The Triton kernels: compiled on CUDA, through Triton's interpreter on the CPU."""

    name = "torch-triton"

    def _start(self):
        try:
            from frcnn.backends.torch import launch
        except ModuleNotFoundError as error:
            raise UnavailableBackend(f"backend torch-triton needs {error.name}: pip install 'frcnn[torch]'") from error
        triton = importlib.metadata.version("triton")
        self.version += f", triton {triton}"
        self.executed = launch.executed(self.device)
        old, new = NumpyVersion(triton) < "3.7.0", NumpyVersion(np.__version__) >= "2.4.0"
        if self.executed == "interpreter" and old and new:
            raise UnavailableBackend(
                f"backend torch-triton: the interpreter of triton {triton} does not run with numpy {np.__version__}: "
                "install triton 3.7, or numpy 2.3"
            )
        self._launch = launch

    def _pool(self, *inputs):
        return _or_missing(self._launch.forward, inputs)

    def _backward(self, *inputs):
        return _or_missing(self._launch.backward, inputs)


def _or_missing(function, inputs):
    """What the kernels do not have, they say by NotImplementedError, which is a backend's Missing."""
    try:
        return function(*inputs)
    except NotImplementedError as error:
        raise Missing(str(error)) from error


def _array(tensor):
    tensor = tensor.cpu()
    if tensor.dtype is torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()
