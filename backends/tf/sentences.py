"""TensorFlow's run-time errors as the sentences in them."""

import contextlib
import re

import tensorflow as tf


@contextlib.contextmanager
def bare_sentences():
    """An InvalidArgumentError as a ValueError, without the device and the op that TensorFlow puts around it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(re.sub(r"^\{\{.*?\}\} | \[Op:.*$", "", error.message)) from None
