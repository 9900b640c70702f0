"""The forward passes of testing in torch: trunk once an image, head for some RoIs at a time. NumPy in and out."""

import torch

from frcnn.backends.torch import roi_pool
from frcnn.repro import torch_network


class Tester:
    """A network with its parameters on a device.

    network: a Network. arrays: name -> array, as Network.shapes has them. device: "cpu" or "cuda".
    profile: of RoI pooling. Raises ValueError for a device that is not there.
    """

    def __init__(self, network, arrays, device="cpu", profile="exact"):
        torch_network.check_device(device)
        self.network, self.device, self.profile = network, device, profile
        self.parameters = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}

    @torch.inference_mode()
    def trunk(self, image):
        """The map, on the device, of an image (3, H, W); computed when this returns, so that it can be timed."""
        with torch_network.tf32(False):
            features = torch_network.trunk(self.network, self.parameters, self._tensor(image)[None])
        if self.device != "cpu":
            torch.cuda.synchronize()
        return features

    @torch.inference_mode()
    def head(self, features, rois):
        """Scores (R, K1), before softmax, and deltas (R, 4 K1) of RoIs (R, 5) on a map that `trunk` gave."""
        pooled = roi_pool(
            features, self._tensor(rois), self.network.grid, self.network.spatial_scale, profile=self.profile
        )
        with torch_network.tf32(False):
            scores, deltas = torch_network.head(self.network, self.parameters, pooled)
        return scores.cpu().numpy(), deltas.cpu().numpy()

    def _tensor(self, array):
        return torch.from_numpy(array).to(self.device)
