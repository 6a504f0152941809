"""One training step of any method."""

import torch

from moco import Method, Views
from moco.method import NamedLosses


def training_step(
    method: Method,
    optimizer: torch.optim.Optimizer,
    query: Views,
    key: Views,
    precision: str = "fp32",
) -> NamedLosses:
    """The method's own step, backward and descent; waits for nothing on the host.

    Args:
        method: in train mode; changes in place.
        optimizer: over what it learns.
        query: first view of the batch.
        key: second view.
        precision: "bf16" runs the networks under autocast; the rest is float32 anyway.

    Returns:
        Losses of the batch before the step, detached.
    """
    with torch.autocast(query.time.device.type, torch.bfloat16, enabled=precision == "bf16"):
        losses = method.step(query, key)
    optimizer.zero_grad(set_to_none=True)
    losses.total.backward()
    optimizer.step()
    return type(losses)(*(value.detach() for value in losses))
