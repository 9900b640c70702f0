"""TensorFlow's run-time errors as the sentences in them."""

import contextlib
import re

import tensorflow as tf


@contextlib.contextmanager
def bare_sentences():
    """An InvalidArgumentError as a ValueError, without the device, op and data that TensorFlow puts around it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        data = re.search(r"Summarized data: b['\"](.*)['\"]$", error.message, re.DOTALL)  # an Assert's, run eagerly
        sentence = data[1] if data else re.sub(r"^\{\{.*?\}\} | \[Op:.*$", "", error.message)
        raise ValueError(sentence) from None
