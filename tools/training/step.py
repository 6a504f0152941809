"""One training step of any method, and views of noise to try one on."""

import torch
from torch import Tensor

from moco import EncoderConfig, Method, Views
from moco.method import NamedLosses
from tools.training.ranks import ALONE, Ranks

TIME_TOKENS, SPACE_TOKENS = 64, 50
"""Tokens of a clip in the two layouts of a view."""


def random_views(config: EncoderConfig, clips: int, device: torch.device | str = "cpu") -> Views:
    """One view of a batch for an encoder: noise in both layouts, drawn on the CPU."""
    time = torch.randn(clips, TIME_TOKENS, config.time_features)
    space = torch.randn(clips, SPACE_TOKENS, config.space_features)
    return Views(time.to(device), space.to(device))


def training_step(
    method: Method,
    optimizer: torch.optim.Optimizer,
    query: Views,
    key: Views,
    precision: str = "fp32",
    ranks: Ranks = ALONE,
    clips: Tensor | None = None,
) -> NamedLosses:
    """The method's own step, backward and descent; waits for nothing on the host.

    Args:
        method: in train mode; changes in place.
        optimizer: over what it learns.
        query: first view of the batch.
        key: second view.
        precision: "bf16" runs the networks under autocast; the rest is float32 anyway.
        ranks: the processes that share out the batch.
        clips: (B,) which clips they are, for methods that ask.

    Returns:
        Losses of this process' part of the batch before the step, detached.
    """
    with torch.autocast(query.time.device.type, torch.bfloat16, enabled=precision == "bf16"):
        losses = method.step(query, key, clips)
    optimizer.zero_grad(set_to_none=True)
    losses.total.backward()
    ranks.average_gradients(method.learned().values())
    optimizer.step()
    return type(losses)(*(value.detach() for value in losses))
