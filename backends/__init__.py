"""What a backend is, and how one is found.

Requirements, and their reasons:

- A backend takes and gives NumPy arrays (bfloat16 as ml_dtypes has it) in NCHW. The suite then never imports a
  framework, and every backend is compared in one currency.
- Nothing is imported until it is asked for. Listing the backends must work where no framework is installed.
- What a backend cannot do it says by raising Missing. That is an outcome of its own; it is never a pass.
- What a caller got wrong is a ValueError or TypeError that names the argument, whatever the framework calls it.
- `executed` says what really ran: a kernel that went through an interpreter is not a kernel that ran on a GPU.
"""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np

ENTRY_POINTS = "frcnn.backends"


class Missing(Exception):
    """The backend does not have this operator, type, profile or option; the message says which."""


class UnknownBackend(LookupError):
    """No backend goes by this name."""


class UnavailableBackend(RuntimeError):
    """The backend exists but cannot run here: its framework, device or compiler is not there."""


class Backend(Protocol):
    """One implementation of the operators, held to the spec by `frcnn conformance`.

    RoI pooling is spelled out below. Every other operator is a method of the name, arguments and results that it has in
    frcnn.reference, taking and giving NumPy arrays; one that is not there is missing.
    """

    name: str
    version: str
    """Of the framework or library that computes, such as "torch 2.13.0"; never a branch's name."""
    executed: str
    """"numpy", "native", "cuda", or "interpreter": what the operators of this object really run on."""

    def __init__(self, device: str = "cpu") -> None:
        """Raises UnavailableBackend where this machine cannot run it on `device`."""

    def roi_pool(
        self,
        features: np.ndarray,
        rois: np.ndarray,
        output_size: Any,
        spatial_scale: float = 1.0,
        *,
        profile: str = "exact",
        with_argmax: bool = True,
        validate: bool = True,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As frcnn.reference.roi_pool; the second result is None where with_argmax is False."""
        ...

    def roi_pool_backward(
        self,
        grad_output: np.ndarray,
        argmax: np.ndarray,
        rois: np.ndarray,
        features_shape: tuple[int, int, int, int],
        spatial_scale: float = 1.0,
        *,
        profile: str = "exact",
        deterministic: bool = True,
    ) -> np.ndarray:
        """As frcnn.reference.roi_pool_backward."""
        ...


def names() -> list[str]:
    """The backends that installed packages register, by name; none of them is imported."""
    return sorted({point.name for point in entry_points(group=ENTRY_POINTS)})


def load(name: str, device: str = "cpu") -> Backend:
    """The backend registered as `name`, or the class that `package.module:Class` names, made for `device`.

    Raises UnknownBackend or UnavailableBackend, each with what to do about it.
    """
    registered = {point.value: point for point in entry_points(group=ENTRY_POINTS) if point.name == name}
    if len(registered) > 1:
        raise UnavailableBackend(
            f"backend {name} is registered as {' and as '.join(sorted(registered))}; name one of these classes instead"
        )
    module_name, _, class_name = name.partition(":")
    for point in registered.values():
        module_name, class_name = point.module, point.attr
    if not class_name:
        if registered:
            raise UnavailableBackend(f"backend {name} is registered as {module_name}, which names no class of it")
        raise UnknownBackend(
            f"no backend is called {name!r}; registered: {', '.join(names())}; or name a class, package.module:Class"
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not registered and f"{module_name}.".startswith(f"{error.name}."):
            raise UnknownBackend(f"{name}: there is no module {error.name}") from error
        ours = module_name.startswith("frcnn.backends.")
        how = f": pip install 'frcnn[{module_name.split('.')[2]}]'" if ours else ""
        raise UnavailableBackend(f"backend {name} needs {error.name}, which is not installed{how}") from error
    except ValueError as error:  # no name, as in ":Class"
        raise UnknownBackend(f"{name}: {error}") from error
    factory = getattr(module, class_name, None)
    if factory is None:
        raise UnknownBackend(f"{name}: module {module_name} has no {class_name}")
    try:
        return factory(device=device)
    except TypeError as error:
        raise UnavailableBackend(
            f"backend {name} cannot be made by {class_name}(device={device!r}): {error}"
        ) from error
