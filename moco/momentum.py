"""The key network: a frozen copy of the query network that follows it slowly.

Source: He et al. 2020 (MoCo, arXiv:1911.05722), Eq. 2.
"""

import copy

import torch
from torch import nn


def frozen_copy(module: nn.Module) -> nn.Module:
    """Return a copy with the same values whose parameters take no gradient."""
    return copy.deepcopy(module).requires_grad_(False)


@torch.no_grad()
def move_towards(target: nn.Module, source: nn.Module, momentum: float) -> None:
    """Set target to momentum · target + (1 - momentum) · source, in place.

    Args:
        target: the key network.
        source: the query network, of the same shape.
        momentum: in [0, 1]; 1 leaves the target where it is.
    """
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), 1 - momentum)
