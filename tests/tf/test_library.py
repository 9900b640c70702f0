"""When the ops are compiled, and that the number of threads and of callers is nobody's business."""

import os
import subprocess
import sys

import pytest

from frcnn.backends import UnavailableBackend
from frcnn.backends.tf import library

THREADED = """
import hashlib, sys
import numpy as np, tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(int(sys.argv[1]))
from frcnn.backends.tf import roi_pool
draw = np.random.default_rng(0)
input = tf.constant(draw.normal(size=(2, 20, 30, 96)), tf.float32)
boxes = np.c_[draw.integers(0, 2, 200), draw.uniform(-50, 500, (200, 4))].astype(np.float32)
with tf.GradientTape(persistent=True) as tape:
    tape.watch(input)
    with tf.GradientTape() as inner:
        inner.watch(input)
        output = roi_pool(input, boxes, 7, 1 / 16)
    first = inner.gradient(output, input, output**2)
second = tape.gradient(first, input)
print(hashlib.sha256(b"".join(t.numpy().tobytes() for t in (output, first, second))).hexdigest())
"""

CROWDED = """
from concurrent.futures import ThreadPoolExecutor
import numpy as np, tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(3)
from frcnn.backends.tf import roi_pool
draw = np.random.default_rng(0)
input = tf.constant(draw.normal(size=(1, 20, 30, 96)), tf.float32)
boxes = np.c_[np.zeros(100), draw.uniform(-50, 500, (100, 4))].astype(np.float32)
def pooled(R):
    with tf.GradientTape() as tape:
        tape.watch(input)
        output = roi_pool(input, boxes[:R], 7, 1 / 16)
    return output.numpy().tobytes() + tape.gradient(output, input).numpy().tobytes()
alone = [pooled(R) for R in range(101)]
with ThreadPoolExecutor(8) as callers:
    assert list(callers.map(pooled, [*range(101)] * 20)) == alone * 20
"""

EXHAUSTED = """
import resource, sys
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(2)
from frcnn.backends.tf import library
def pulled_back(N, side):  # beside its output each thread keeps 32 times a map of one channel
    return library.load().frcnn_roi_pool_grad(
        grad=tf.ones((1, 1, 1, 1)), argmax=tf.zeros((1, 1, 1, 1), tf.int32), boxes=[[0.0] * 5], spatial_scale=1.0,
        input_size=[N, side, side, 1])
before = pulled_back(2, 400)
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**30, resource.RLIM_INFINITY))
for N in (1, 2):  # one thread, two threads
    try:
        pulled_back(N, 4096)
    except tf.errors.ResourceExhaustedError as error:
        assert "not enough memory for what Frcnn>RoiPoolGrad keeps beside its output" in error.message
    else:
        raise AssertionError("there was memory enough")
assert (pulled_back(2, 400).numpy() == before.numpy()).all()
"""

UNALLOCATED = """
import resource
import tensorflow as tf
from frcnn.backends.tf import library, roi_pool
def call(op, boxes):
    argmax, map = tf.zeros((len(boxes), 1, 1, 0), tf.int32), tf.zeros((1, 2, 2, 0))
    if op == "RoiPool":
        return roi_pool(map, boxes, 1)
    shared = {"argmax": argmax, "boxes": boxes, "spatial_scale": 1.0}
    if op == "RoiPoolGather":
        return library.load().frcnn_roi_pool_gather(grad=map, **shared)
    grad = tf.zeros((len(boxes), 1, 1, 0))
    return library.load().frcnn_roi_pool_grad(grad=grad, input_size=map.shape, **shared)
few, many = tf.zeros((5, 5)), tf.zeros((5_000_000, 5), tf.float16)  # of which the op makes 120 MB
ops = ("RoiPool", "RoiPoolGrad", "RoiPoolGather")
before = [call(op, few) for op in ops]
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**26, resource.RLIM_INFINITY))
for op in ops:
    try:
        call(op, many)
    except tf.errors.ResourceExhaustedError as error:
        assert f"not enough memory for what Frcnn>{op} keeps beside its output" in error.message
    else:
        raise AssertionError("there was memory enough")
assert [call(op, few).shape for op in ops] == [each.shape for each in before]
"""

GIVEN_UP = """
import resource
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
from frcnn.backends.tf import library, roi_pool, sgd_step
def pool(R):
    return roi_pool(tf.ones((1, 4, 4, 512)), tf.zeros((R, 5)), 7, differentiable=False)
def step(weights):
    return sgd_step(weights, weights, weights, 0.01)[0]
pool(1)
blob = tf.zeros(60_000_000)
library.load().frcnn_roi_pool_grad(  # with 800 MB of sums, all in memory that is kept
    grad=tf.ones((1, 1, 1, 1)), argmax=tf.zeros((1, 1, 1, 1), tf.int32), boxes=[[0.0] * 5], spatial_scale=1.0,
    input_size=[1, 2500, 2500, 1])
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 100_000_000, resource.RLIM_INFINITY))
"""

SAVED = """
import sys
import tensorflow as tf
from frcnn.backends.tf import roi_pool
module = tf.Module()
module.pool = tf.function(lambda input, boxes: roi_pool(input, boxes, 2))
module.pool.get_concrete_function(tf.TensorSpec((None, None, None, 1)), tf.TensorSpec((None, 5)))
tf.saved_model.save(module, sys.argv[1])
"""

LOADED = """
import sys
import tensorflow as tf
from frcnn.backends.tf import library
library.load()
pool = tf.saved_model.load(sys.argv[1]).pool
input = tf.reshape(tf.range(16.0), (1, 4, 4, 1))
with tf.GradientTape() as tape:
    tape.watch(input)
    output = pool(input, tf.constant([[0.0, 0, 0, 3, 3]]))
print(tf.where(tape.gradient(output, input)[0, :, :, 0]).numpy().tolist())
"""


def run(program, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_importing_compiles_nothing_and_imports_no_tensorflow(tmp_path):
    program = """
import sys
import frcnn.backends.tf
assert "tensorflow" not in sys.modules
import frcnn.backends.tf.backend
frcnn.backends.tf.roi_pool
"""
    run(program, FRCNN_CACHE_DIR=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_number_of_threads_changes_no_bit(backend):
    assert len({run(THREADED, str(threads)) for threads in (1, 2, 5)}) == 1


def test_callers_who_call_at_once_get_what_one_alone_gets(backend):
    run(CROWDED)


def test_where_memory_runs_out_the_op_says_so_and_the_process_lives(backend):
    run(EXHAUSTED)


def test_where_memory_runs_out_before_the_work_begins_the_op_says_so_and_the_process_lives(backend):
    run(UNALLOCATED)


@pytest.mark.parametrize(("of_500_MB", "length"), [("pool(5000)", 5000), ("step(blob)", 60_000_000)])
def test_what_is_kept_of_large_sums_is_given_up_before_an_address_limit_refuses_an_output(backend, of_500_MB, length):
    assert run(f"{GIVEN_UP}print(len({of_500_MB}))") == f"{length}\n"


def test_a_library_that_cannot_be_loaded_is_named_with_what_to_do(backend, tmp_path, monkeypatch):
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"")
    monkeypatch.setattr(library.build, "shared_library", lambda *arguments, **options: broken)
    with pytest.raises(UnavailableBackend, match=r"broken\.so cannot be loaded .* delete it, or set FRCNN_CACHE_DIR"):
        library.load.__wrapped__()


def test_a_loaded_model_has_its_gradients_once_the_library_is_loaded(backend, tmp_path):
    run(SAVED, str(tmp_path))
    assert run(LOADED, str(tmp_path)) == "[[1, 1], [1, 3], [3, 1], [3, 3]]\n"
