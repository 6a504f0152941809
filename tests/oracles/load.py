"""The published loading of a split, plainly: the whole array in memory, then on the device."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor


def dense(path: Path, device: torch.device) -> Tensor:
    """Read the coordinates of all clips, looped tails and absent bodies too: (N, 3, T, 25, 2)."""
    return torch.from_numpy(np.load(path)).to(device)
