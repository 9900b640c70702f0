"""Training in torch: forward pass, loss, gradients and update of one minibatch. The loop around it is training.py."""

import os

import torch

from frcnn.backends.torch import cpu, multi_task_loss, sgd_step
from frcnn.repro import torch_network
from frcnn.repro.updates import learning, options_of

PRECISIONS = ("float32", "tf32", "bfloat16")


def check(device, precision):
    """Raises ValueError for a device that is not there, or a precision that there is not on it."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)} in torch, got {precision!r}")
    torch_network.check_device(device)
    if precision == "tf32" and device == "cpu":
        raise ValueError("precision tf32 is a GPU's: on a CPU it would change nothing, so take float32")


class Trainer:
    """A network's parameters with their velocities.

    network: a Network. recipe: a Recipe; of it the frozen layers, momentum, decay, the biases' multipliers, the weight
    of the box loss and the profile are used.
    arrays: name -> array of every parameter, all float32 or all float64, which is what is computed in; and
    "velocity/<name>" where there is one already.
    precision: "float32" (or what the arrays are); on a GPU also "tf32", products of 10 bits, or "bfloat16", autocast.
    Raises ValueError as `check` does.
    """

    def __init__(self, network, recipe, arrays, *, device="cpu", precision="float32"):
        check(device, precision)
        if device == "cpu":
            cpu.load()  # compiles, if nobody has yet: no iteration's time is to have it
        self.network, self.recipe, self.device, self.precision = network, recipe, torch.device(device), precision
        self._parameters = {name: self._tensor(arrays[name]).clone() for name in network.shapes(1)}
        self._dtype = self._parameters["cls_score/w"].dtype
        self._velocity = {}
        for name in learning(network, recipe, self._parameters):
            blob, given = self._parameters[name].requires_grad_(), arrays.get(f"velocity/{name}")
            self._velocity[name] = torch.zeros_like(blob) if given is None else self._tensor(given).clone()

    def step(self, batch, rate):
        """Update once. batch: a Batch. rate: of this iteration. Returns the losses from before the update, floats."""
        learned = [self._parameters[name] for name in self._velocity]
        with torch_network.tf32(self.precision == "tf32"):
            losses = self._losses(batch)
            gradients = torch.autograd.grad(losses[0], learned)
        for (name, velocity), weights, gradient in zip(self._velocity.items(), learned, gradients, strict=True):
            in_place = (weights.detach(), velocity)
            sgd_step(weights, gradient, velocity, rate, **options_of(self.recipe, name), out=in_place)
        return dict(zip(("loss", "cls_loss", "box_loss"), torch.stack(losses).tolist(), strict=True))

    def arrays(self):
        """The parameters, and "velocity/<name>" of those that learn: what a checkpoint holds."""
        velocity = {f"velocity/{name}": blob for name, blob in self._velocity.items()}
        return {name: blob.detach().cpu().numpy().copy() for name, blob in (self._parameters | velocity).items()}

    def made_by(self):
        """What bits depend on."""
        device = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type
        return {
            "framework": f"torch {torch.__version__}",
            "device": device,
            "threads": torch.get_num_threads(),
            "precision": self.precision,
        }

    def _losses(self, batch):
        masks = {
            layer: self._tensor(batch.mask(layer, width)).to(self._dtype)
            for layer, width in self.network.dropout_widths.items()
        }
        images, rois, targets = (
            self._tensor(array).to(self._dtype) for array in (batch.images, batch.rois, batch.targets)
        )
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            scores, deltas = torch_network.forward(
                self.network, self._parameters, images, rois, masks, profile=self.recipe.profile
            )
        return multi_task_loss(
            scores.to(self._dtype),
            deltas.to(self._dtype),
            self._tensor(batch.labels),
            targets,
            lambda_=self.recipe.box_loss_weight,
            profile=self.recipe.profile,
        )

    def _tensor(self, array):
        return torch.from_numpy(array).to(self.device)


def scalar_writer(folder, first):
    """A function (step, name -> number) that writes TensorBoard's events, and one that ends it.

    first: the first step; what is there of later ones, from before a kill, is no longer shown.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(os.fspath(folder), purge_step=first)

    def write(step, values):
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return write, writer.close
