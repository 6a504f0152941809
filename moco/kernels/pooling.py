"""The maximum over tokens, whose gradient tied tokens share."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def maximum(tokens: Tensor, dim: int) -> Tensor:
    """Take the maximum over an axis, as `Tensor.amax` does; its backward reads the tokens less.

    Args:
        tokens: any shape.
        dim: the axis, which goes.

    Returns:
        The maxima. Where several tokens are equal to one, each gets the same share of its gradient.
    """
    return _Maximum.apply(tokens, dim)


class _Maximum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, dim: int) -> Tensor:
        """Keep what backward compares."""
        most = tokens.amax(dim=dim)
        ctx.save_for_backward(tokens, most)
        ctx.dim = dim
        return most

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """Find the tokens that are equal to the maximum; split its gradient among them."""
        tokens, most = ctx.saved_tensors
        shares = torch.empty_like(tokens)
        torch.eq(tokens, most.unsqueeze(ctx.dim), out=shares)
        grad = grad / shares.sum(dim=ctx.dim)
        return shares.mul_(grad.unsqueeze(ctx.dim)), None
