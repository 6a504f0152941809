"""Dropout, drawn sixteen bits at a time where PyTorch draws a double for each element.

On a CPU, PyTorch's own dropout is a tenth of a Transformer step and runs on one core; on a GPU it
is one fused kernel, which is used there.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

STEPS = 2**16
"""Drop probabilities are rounded to 1/65536: 0.1 becomes 0.100006. The scale follows exactly."""


def dropout(tokens: Tensor, probability: float, training: bool) -> Tensor:
    """Set elements to zero by chance and scale up the others, so that the mean stays.

    Args:
        tokens: any shape.
        probability: of zero, in [0, 1).
        training: False returns the tokens as they are.

    Returns:
        The shape of `tokens`. Draws from torch's global generator of the tokens' device.
    """
    if not training or probability == 0:
        return tokens
    if tokens.device.type != "cpu":
        return F.dropout(tokens, probability)
    return tokens * scaled_mask(tokens.shape, probability, tokens.dtype)


def scaled_mask(shape: torch.Size, probability: float, dtype: torch.dtype) -> Tensor:
    """Draw what dropout multiplies with, on the CPU.

    Args:
        shape: of the mask.
        probability: of zero, in [0, 1), rounded to 1/65536.
        dtype: floating point.

    Returns:
        Zeros and 1 / (1 - probability).
    """
    count = math.prod(shape)
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    draws = words.view(torch.int16)[:count].view(shape)  # uniform over -32768 … 32767
    dropped = round(probability * STEPS)
    keep = torch.empty(shape, dtype=dtype)
    torch.ge(draws, dropped - STEPS // 2, out=keep)
    return keep.mul_(STEPS / (STEPS - dropped))
