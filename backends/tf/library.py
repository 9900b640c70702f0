"""The ops of binding.cpp, compiled against the installed TensorFlow when they are first needed."""

import functools
import importlib
from pathlib import Path

import tensorflow as tf

from frcnn.backends import UnavailableBackend
from frcnn.backends.native import build


@functools.cache
def load():
    """The module with one function an op; registers the ops. Compiles (some ten seconds, once) or takes the cache.

    A saved model that holds these ops needs this call before tf.saved_model.load, and nothing more for its gradients.
    Raises UnavailableBackend where there is no compiler, or what was compiled cannot be loaded.
    """
    binding = Path(__file__).with_name("binding.cpp")
    flags = [*tf.sysconfig.get_compile_flags(), *tf.sysconfig.get_link_flags()]
    path = build.shared_library("tf", binding, flags=flags, framework=f"tensorflow {tf.__version__}")
    try:
        ops = tf.load_op_library(str(path))
    except tf.errors.OpError as error:
        raise UnavailableBackend(
            f"{path} cannot be loaded ({error.message}); delete it, or set FRCNN_CACHE_DIR to a folder from which "
            f"programs may be loaded"
        ) from error
    importlib.import_module("frcnn.backends.tf.operator")  # which registers their gradients, and imports this module
    return ops
