"""When the ops are compiled, and that the number of threads and of callers is nobody's business."""

import os
import subprocess
import sys

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
