"""Attention with dropout: on a CPU without PyTorch's slow dropout and its scaled copies."""

import torch
import torch.nn.functional as F
from torch import Tensor

from moco.kernels.dropout import dropout


def attention(query: Tensor, key: Tensor, value: Tensor, drop: float) -> Tensor:
    """softmax(q kᵀ / √D) v, as F.scaled_dot_product_attention computes it.

    Args:
        query: (N, H, T, D), N clips, H heads, T tokens, D features of a head.
        key: (N, H, T, D).
        value: (N, H, T, D).
        drop: probability of dropping an attention weight; 0 outside of training.

    Returns:
        (N, H, T, D).
    """
    if not drop or query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, dropout_p=drop)
    N, _, T, D = query.shape
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))  # (N·H, T, D)
    scores = query.new_empty(()).expand(len(query), T, T)
    scores = torch.baddbmm(scores, query, key.mT, beta=0, alpha=D**-0.5)
    weights = dropout(scores.softmax(dim=-1), drop, training=True)
    return (weights @ value).unflatten(0, (N, -1))
