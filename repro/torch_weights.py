"""What a .pth file of torch holds, read without running anything of it."""

import pickle

import torch


def read_state(path):
    """The tensors of a state dict.

    Returns a dict name -> array, float32 where it was bfloat16.
    Raises ValueError naming the file.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]  # behind which torch advises to run what it holds
        raise ValueError(f"{path} is no file of tensors alone, which is all that is read of a .pth: {reason}") from None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ValueError(f"{path} is no state dict: wanted names and tensors, as torchvision publishes them")
    return {
        str(name): (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        for name, tensor in state.items()
    }
