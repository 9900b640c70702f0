"""TensorFlow's backend under the suite's own asserting: bit for bit, or within the derived bound."""

import pytest

pytest.importorskip("tensorflow")

from frcnn.backends.tf.backend import TensorFlowBackend
from frcnn.conformance.subject import Subject


@pytest.fixture(scope="session")
def backend():
    return TensorFlowBackend()


@pytest.fixture(scope="session")
def subject(backend):
    return Subject(backend)


@pytest.fixture(scope="session", params=["exact", "caffe-2015"])
def profile(request):
    return request.param
