"""frcnn on TensorFlow: `roi_pool`, channels last, eagerly and in tf.function.

Importing this package imports no TensorFlow and compiles nothing; the first use of `roi_pool` does.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from frcnn.backends.tf.operator import roi_pool

__all__ = ["roi_pool"]


def __getattr__(name: str) -> Any:
    # Not a plain import: the adapter in backend.py quiets TensorFlow's start-up, and must come before TensorFlow.
    if name in __all__:
        from frcnn.backends.tf import operator

        return getattr(operator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
