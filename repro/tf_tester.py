"""The forward passes of testing in TensorFlow: trunk once an image, head for some RoIs at a time. NumPy in and out."""

import tensorflow as tf

from frcnn.backends.tf import roi_pool
from frcnn.repro import tf_network


class Tester:
    """A network with its parameters.

    network: a Network. arrays: name -> array, as Network.shapes has them. device: "cpu", the one that frcnn's operators
    for TensorFlow have. profile: of RoI pooling. Raises ValueError for another device.
    """

    def __init__(self, network, arrays, device="cpu", profile="exact"):
        tf_network.check_device(device)
        self.network, self.profile = network, profile
        with tf.device("CPU"):
            self.parameters = {name: tf.constant(array) for name, array in arrays.items()}

    def trunk(self, image):
        """The map, channels last, of an image (3, H, W)."""
        with tf.device("CPU"):
            features = tf_network.trunk(self.network, self.parameters, tf.constant(image[None]))
            return tf.transpose(features, (0, 2, 3, 1))

    def head(self, features, rois):
        """Scores (R, K1), before softmax, and deltas (R, 4 K1) of RoIs (R, 5) on a map that `trunk` gave."""
        with tf.device("CPU"):
            pooled = roi_pool(
                features, tf.constant(rois), self.network.grid, self.network.spatial_scale, profile=self.profile
            )
            scores, deltas = tf_network.head(self.network, self.parameters, tf.transpose(pooled, (0, 3, 1, 2)))
        return scores.numpy(), deltas.numpy()
