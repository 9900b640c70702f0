"""Training in TensorFlow: forward pass, loss, gradients and update of one minibatch. The loop is training.py's."""

import os

import tensorflow as tf

from frcnn.backends.tf import library, multi_task_loss, sgd_step
from frcnn.machine import processors
from frcnn.repro import tf_network
from frcnn.repro.updates import learning, options_of

PRECISIONS = ("float32",)  # TF32 is a GPU's, and there is no RoI pooling on one in TensorFlow
DEVICE = "/CPU:0"


def check(device, precision):
    """Raises ValueError for a device or a precision that there is not."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)} in TensorFlow, got {precision!r}")
    tf_network.check_device(device)


class Trainer:
    """A network's parameters with their velocities.

    network: a Network. recipe: a Recipe; of it the frozen layers, momentum, decay, the biases' multipliers, the weight
    of the box loss and the profile are used.
    arrays: name -> array of every parameter, all float32 or all float64, which is what is computed in; and
    "velocity/<name>" where there is one already.
    device: "cpu", the one that frcnn's operators for TensorFlow have. precision: "float32" (or what the arrays are).
    Raises ValueError as `check` does.
    """

    def __init__(self, network, recipe, arrays, *, device="cpu", precision="float32"):
        check(device, precision)
        library.load()  # compiles, if nobody has yet: no iteration's time is to have it
        self.network, self.recipe, self.precision = network, recipe, precision
        with tf.device(DEVICE):
            given = {name: arrays[name] for name in network.shapes(1)}
            self._learned = {name: tf.Variable(given[name]) for name in learning(network, recipe, given)}
            self._frozen = {name: tf.constant(given[name]) for name in given if name not in self._learned}
            self._order = list(given)
            self._velocity = {
                name: tf.constant(arrays[f"velocity/{name}"]) if f"velocity/{name}" in arrays else tf.zeros_like(blob)
                for name, blob in self._learned.items()
            }
        self._dtype = tf.as_dtype(arrays["cls_score/w"].dtype)
        floats = ((None, 3, None, None), (None, 5), (None, 4))
        masks = {layer: tf.TensorSpec((None, width), self._dtype) for layer, width in network.dropout_widths.items()}
        # Compiled once for all sizes. The update stays outside: a new rate would be a new function.
        self._compiled = tf.function(
            self._losses_and_gradients,
            autograph=False,  # nothing in it branches on a tensor
            input_signature=[
                *(tf.TensorSpec(shape, self._dtype) for shape in floats),
                tf.TensorSpec((None,), tf.int64),
                masks,
            ],
        )

    def step(self, batch, rate):
        """Update once. batch: a Batch. rate: of this iteration. Returns the losses from before the update, floats."""
        kind = self._dtype.as_numpy_dtype
        masks = {
            layer: tf.constant(batch.mask(layer, width).astype(kind))
            for layer, width in self.network.dropout_widths.items()
        }
        floats = [tf.constant(array.astype(kind)) for array in (batch.images, batch.rois, batch.targets)]
        with tf.device(DEVICE):
            losses, gradients = self._compiled(*floats, tf.constant(batch.labels), masks)
            for name, blob in self._learned.items():
                weights, self._velocity[name] = sgd_step(
                    blob, gradients[name], self._velocity[name], rate, **options_of(self.recipe, name)
                )
                blob.assign(weights)
        return dict(zip(("loss", "cls_loss", "box_loss"), map(float, losses), strict=True))

    def arrays(self):
        """The parameters, and "velocity/<name>" of those that learn: what a checkpoint holds."""
        blobs = self._learned | self._frozen
        velocity = {f"velocity/{name}": blob for name, blob in self._velocity.items()}
        return {name: blob.numpy() for name, blob in ({name: blobs[name] for name in self._order} | velocity).items()}

    def made_by(self):
        """What bits depend on."""
        threads = tf.config.threading.get_intra_op_parallelism_threads() or processors()
        return {
            "framework": f"tensorflow {tf.__version__}",
            "device": DEVICE,
            "threads": threads,
            "precision": self.precision,
        }

    def _losses_and_gradients(self, images, rois, targets, labels, masks):
        with tf.GradientTape() as tape:
            scores, deltas = tf_network.forward(
                self.network, self._learned | self._frozen, images, rois, masks, profile=self.recipe.profile
            )
            losses = multi_task_loss(
                scores, deltas, labels, targets, lambda_=self.recipe.box_loss_weight, profile=self.recipe.profile
            )
        return losses, tape.gradient(losses[0], self._learned)


def scalar_writer(folder, first):
    """A function (step, name -> number) that writes TensorBoard's events, and one that ends it.

    first: not used; each run's events are a file of their own, and TensorBoard shows the later ones.
    """
    writer = tf.summary.create_file_writer(os.fspath(folder))

    def write(step, values):
        with writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    return write, writer.close
