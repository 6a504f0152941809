"""What the encoders ask of the device that their tokens lie on."""

import torch
from torch import Tensor


def takes_levels_together(levels: list[Tensor]) -> bool:
    """Whether one pass over all levels is faster than one pass a level.

    A GPU waits for the host to launch each small kernel, so it wants few large ones. A CPU does not
    wait, and putting levels together would only cost it copies.
    """
    return levels[0].device.type != "cpu"


def float32_only(tensor: Tensor) -> torch.autocast:
    """A context in which products on the tensor's device keep their precision."""
    return torch.autocast(tensor.device.type, enabled=False)
