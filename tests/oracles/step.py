"""One training step in the published order, with what the published loop does around it."""

import torch
from torch import nn

from tests.oracles.model import PlainHiCo, View, plain_losses


def plain_optimizer(
    model: nn.Module, lr: float = 0.01, momentum: float = 0.9, weight_decay: float = 1e-4
) -> torch.optim.SGD:
    """SGD over every parameter, the key network's (which never have a gradient) too."""
    return torch.optim.SGD(model.parameters(), lr, momentum=momentum, weight_decay=weight_decay)


def plain_step(
    model: PlainHiCo, optimizer: torch.optim.Optimizer, query: View, key: View
) -> dict[str, float]:
    """Query pass, key update, key pass, logits, enqueue, backward, SGD; losses as host numbers."""
    logits = model(query, key)
    losses = plain_losses(logits, model.granularity)
    optimizer.zero_grad()
    losses["total"].backward()
    optimizer.step()
    return {name: loss.item() for name, loss in losses.items()}
