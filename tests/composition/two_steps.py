"""Two steps of training a small network, written once from frcnn.reference: the operators compose.

A 3 x 3 convolution of stride 2, ReLU, RoI max pooling, a fully connected layer with ReLU, and its two siblings: class
scores and box offsets. Its gradients are written by hand. N images, C filters, R RoIs, K classes; every array is
float64, and a parameter is (outputs, inputs) or (outputs, inputs, 3, 3).

Whatever is computed goes through `operators` or through @, + and the shapes of arrays, so that bounds.py can follow how
far rounding may take it.
"""

from dataclasses import dataclass, fields
from functools import partial
from types import SimpleNamespace

import numpy as np

from frcnn import reference

FILTERS, HIDDEN, CLASSES = 4, 16, 3
GRID, SCALE = (3, 2), 0.5
IMAGES, HEIGHT, WIDTH = 4, 20, 26
BASE_RATE, DROP = 0.25, 0.1


def relu_backward(gradients, before):
    """The gradients of what went into a ReLU."""
    return gradients * (before > 0)


PLAIN = SimpleNamespace(
    relu=lambda x: np.maximum(x, 0),
    relu_backward=relu_backward,
    roi_pool=reference.roi_pool,
    roi_pool_backward=reference.roi_pool_backward,
    multi_task_loss=reference.multi_task_loss,
    learning_rate=reference.learning_rate,
    sgd_step=reference.sgd_step,
)


@dataclass(frozen=True)
class Minibatch:
    """images (2, 3, H, W); rois (R, 5); labels (R,); targets (R, 4)."""

    images: np.ndarray
    rois: np.ndarray
    labels: np.ndarray
    targets: np.ndarray

    def having(self, convert):
        """The same with each array converted."""
        return Minibatch(*(convert(getattr(self, field.name)) for field in fields(self)))


def initial_parameters():
    """Weights from the paper's kind of filler, made larger so that nothing dies out, and biases that are not zero."""
    random = np.random.default_rng(2015)
    shapes = {
        "conv": (FILTERS, 3, 3, 3),
        "fc": (HIDDEN, FILTERS * GRID[0] * GRID[1]),
        "cls_score": (CLASSES + 1, HIDDEN),
        "bbox_pred": (4 * (CLASSES + 1), HIDDEN),
    }
    parameters = {}
    for name, shape in shapes.items():
        parameters[f"{name}.weight"] = random.normal(0, 0.3, shape)
        parameters[f"{name}.bias"] = random.normal(0, 0.1, shape[0])
    return parameters


def minibatches(library, tensor):
    """One a step, drawn, labelled and encoded by a library's own operators.

    library: frcnn.reference, or a backend with its functions. tensor: takes an array to what the library takes.
    """
    random = np.random.default_rng(4)
    images = random.normal(0, 1, (IMAGES, 3, HEIGHT, WIDTH))
    keys = [reference.draw_keys(30, random) for _ in range(IMAGES)]
    order = library.image_order(tensor(reference.draw_keys(IMAGES, random)), images_per_batch=2)
    return [_minibatch(library, tensor, images, keys, pair) for pair in np.asarray(order)]


def _minibatch(library, tensor, images, keys, pair):
    parts = []
    for place, image in enumerate(pair):
        proposals, objects, classes = _annotated(image)
        found = library.match_rois(tensor(proposals), tensor(objects), tensor(classes))
        boxes, overlaps, best = map(np.asarray, found)
        drawn, labels = library.sample_rois(
            tensor(overlaps), tensor(best), tensor(keys[image][: len(boxes)]), rois_per_image=8, fg_fraction=0.5
        )
        boxes = boxes[np.asarray(drawn)]
        nearest = np.asarray(library.iou(tensor(boxes), tensor(objects))).argmax(axis=1)
        targets = np.asarray(library.encode_boxes(tensor(boxes), tensor(objects[nearest])))
        rois = np.concatenate([np.full((len(boxes), 1), float(place)), boxes], axis=1)
        parts.append((rois, np.asarray(labels), targets))
    return Minibatch(images[pair], *(np.concatenate(part) for part in zip(*parts, strict=True)))


def _annotated(image):
    """Two objects of an image, and proposals that lie closer to them or farther off."""
    random = np.random.default_rng(100 + image)
    corner = np.array([[1.0, 1.0], [13.0, 6.0]]) + random.uniform(0, 3, (2, 2))
    objects = np.concatenate([corner, corner + random.uniform(6, 10, (2, 2))], axis=1)
    spread = np.repeat([0.5, 1.5, 4.0], 8)[:, None]
    proposals = np.tile(objects, (12, 1)) + spread * random.uniform(-1, 1, (24, 4))
    return proposals, objects, random.integers(1, CLASSES + 1, 2)


def patches(images):
    """Rows (N h w, 27) of what each of the convolution's windows sees: stride 2, one row and column of zeros around."""
    _, C, H, W = images.shape
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = [padded[:, :, y : y + H : 2, x : x + W : 2] for y in range(3) for x in range(3)]
    return np.stack(windows, axis=2).transpose(0, 3, 4, 1, 2).reshape(-1, 9 * C)


def gradients_of(parameters, batch, operators):
    """The loss's gradient to each parameter, in closed form from the last layer to the first."""
    conv, fc, cls, box = (parameters[f"{name}.weight"] for name in ("conv", "fc", "cls_score", "bbox_pred"))
    seen, (N, _, H, W) = patches(batch.images), batch.images.shape
    z = seen @ conv.reshape(FILTERS, -1).T + parameters["conv.bias"]
    features = operators.relu(z).reshape(N, H // 2, W // 2, FILTERS).transpose(0, 3, 1, 2)
    pooled, argmax = operators.roi_pool(features, batch.rois, GRID, SCALE)
    flat = pooled.reshape(len(batch.rois), -1)
    y = flat @ fc.T + parameters["fc.bias"]
    hidden = operators.relu(y)
    scores = hidden @ cls.T + parameters["cls_score.bias"]
    deltas = hidden @ box.T + parameters["bbox_pred.bias"]

    *_, to_scores, to_deltas = operators.multi_task_loss(scores, deltas, batch.labels, batch.targets)
    to_y = operators.relu_backward(to_scores @ cls + to_deltas @ box, y)
    to_pooled = (to_y @ fc).reshape(*pooled.shape)
    to_features = operators.roi_pool_backward(to_pooled, argmax, batch.rois, features.shape, SCALE)
    to_z = operators.relu_backward(to_features.transpose(0, 2, 3, 1).reshape(-1, FILTERS), z)
    layers = {
        "conv": (seen, to_z),
        "fc": (flat, to_y),
        "cls_score": (hidden, to_scores),
        "bbox_pred": (hidden, to_deltas),
    }
    gradients = {}
    for name, (entered, left) in layers.items():
        gradients[f"{name}.weight"] = (left.T @ entered).reshape(*parameters[f"{name}.weight"].shape)
        gradients[f"{name}.bias"] = left.sum(axis=0)
    return gradients


def multipliers(name):
    """As in the original's model files: biases learn twice as fast and do not decay."""
    return {"lr_mult": 2.0, "decay_mult": 0.0} if name.endswith("bias") else {"lr_mult": 1.0, "decay_mult": 1.0}


def train(parameters, velocities, batches, gradients_of, library):
    """The parameters and the velocities after one step a minibatch; the rate drops between the two.

    gradients_of: of parameters and a minibatch. library: whose learning_rate and sgd_step.
    """
    for step, batch in enumerate(batches):
        gradients = gradients_of(parameters, batch)
        rate = library.learning_rate(step, BASE_RATE, DROP, 1)
        stepped = {
            name: library.sgd_step(blob, gradients[name], velocities[name], rate, **multipliers(name))
            for name, blob in parameters.items()
        }
        parameters, velocities = ({name: blobs[i] for name, blobs in stepped.items()} for i in (0, 1))
    return parameters, velocities


def two_steps(batches, operators=PLAIN):
    """The parameters and the velocities after both steps, by the reference's operators or by what stands for them."""
    return train(*start(), batches, partial(gradients_of, operators=operators), operators)


def start(tensor=np.asarray):
    """Parameters and velocities before the first step."""
    parameters = initial_parameters()
    return tuple(
        {name: tensor(blob) for name, blob in blobs.items()}
        for blobs in (parameters, {name: np.zeros_like(blob) for name, blob in parameters.items()})
    )
