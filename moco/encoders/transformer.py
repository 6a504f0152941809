"""The Transformer of a branch: one or more post-norm layers, shared by its levels.

Axes: N clips, T tokens of a level, S tokens of several levels, d hidden size, G granularities.

Source: Vaswani et al. 2017 (arXiv:1706.03762).
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco.config import TransformerConfig
from moco.encoders.sequence import SequenceEncoder
from moco.kernels.attention import attention
from moco.kernels.device import takes_levels_together
from moco.kernels.dropout import dropout
from moco.kernels.pooling import maximum


class SelfAttention(nn.Module):
    """Multi-head attention of tokens to the tokens of their own level."""

    def __init__(self, hidden_size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * hidden_size))
        self.out_proj = nn.Linear(hidden_size, hidden_size)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, tokens: Tensor, lengths: list[int]) -> Tensor:
        """Attend within each level.

        Args:
            tokens: (N, S, d), the levels one after another, S = sum(lengths).
            lengths: tokens of each level.

        Returns:
            (N, S, d).
        """
        N, S, d = tokens.shape
        stacked = F.linear(tokens, self.in_proj_weight, self.in_proj_bias)
        heads = stacked.view(N, S, 3, self.num_heads, d // self.num_heads)
        mixed = [self._attend(level) for level in heads.split(lengths, dim=1)]
        return self.out_proj(torch.cat(mixed, dim=1))

    def _attend(self, heads: Tensor) -> Tensor:
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (N, heads, T, d / heads)
        mixed = attention(query, key, value, self.dropout if self.training else 0.0)
        return mixed.transpose(1, 2).flatten(2)  # (N, T, d)


class TransformerLayer(nn.Module):
    """Post-norm Transformer layer: self-attention, then a feed-forward net of width d with ReLU."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.self_attn = SelfAttention(d, config.num_heads, config.dropout)
        self.linear1 = nn.Linear(d, d)
        self.linear2 = nn.Linear(d, d)
        self.norm1 = nn.LayerNorm(d)
        self.norm2 = nn.LayerNorm(d)
        self.dropout = config.dropout

    def forward(self, tokens: Tensor, lengths: list[int]) -> Tensor:
        """(N, S, d) to (N, S, d); `lengths` as in SelfAttention."""
        tokens = self.norm1(tokens + self._drop(self.self_attn(tokens, lengths)))
        hidden = self._drop(F.relu(self.linear1(tokens)))
        return self.norm2(tokens + self._drop(self.linear2(hidden)))

    def _drop(self, tokens: Tensor) -> Tensor:
        return dropout(tokens, self.dropout, self.training)


class TransformerEncoder(SequenceEncoder):
    """Transformer layers shared by the levels; no positional encoding, as published."""

    same_start = True  # the published branches copy one Transformer

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        layer = TransformerLayer(config)
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(config.num_layers))

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Encode each level and keep its maximum over tokens: G times (N, T, d) to (N, G, d)."""
        # All but attention treats tokens one by one, so it may take several levels at once.
        groups = [levels] if takes_levels_together(levels) else [[level] for level in levels]
        encoded = [level for group in groups for level in self.encode(group)]
        return torch.stack([maximum(level, dim=1) for level in encoded], dim=1)

    def encode(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        """Encode levels side by side: each (N, T, d) to (N, T, d), blind to the others."""
        lengths = [level.shape[1] for level in levels]
        tokens = levels[0] if len(levels) == 1 else torch.cat(levels, dim=1)  # (N, S, d)
        for layer in self.layers:
            tokens = layer(tokens, lengths)
        return tokens.split(lengths, dim=1)

    def layer_of(self, name: str) -> int:
        """Names are layers.N.…."""
        return int(name.split(".")[1])
