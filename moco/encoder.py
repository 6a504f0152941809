"""The hierarchical encoder: two branches that see a clip at G granularities.

Axes: N clips, T tokens of a level, F input features, d hidden size, G granularities.
A branch embeds its tokens, halves them G - 1 times (unified downsampling), lets one sequence
encoder look at every level apart, and keeps the maximum over each level's tokens.

Source: HiCo (arXiv 2212.02082), section 3.2.
"""

import copy
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco.dropout import dropout

KINDS = ("GRU", "LSTM", "Transformer")
MAX_GRANULARITY = 6  # the 50 space tokens are down to one after five halvings


class Views(NamedTuple):
    """One view of a batch in the two layouts that the two branches read.

    Attributes:
        time: (N, 64, 150), one token a frame; features ordered body, joint, coordinate.
        space: (N, 50, 192), one token a joint; features ordered frame, coordinate.
    """

    time: Tensor
    space: Tensor


class Features(NamedTuple):
    """What the two branches say of a batch, finest granularity first.

    Attributes:
        clip: (N, G, d) of the temporal branch.
        part: (N, G, d) of the spatial branch.
    """

    clip: Tensor
    part: Tensor

    @property
    def instance(self) -> Tensor:
        """(N, 2·G·d): both branches and all levels, temporal first; the downstream feature."""
        return torch.cat([self.clip.flatten(1), self.part.flatten(1)], dim=1)


@dataclass(frozen=True)
class EncoderConfig:
    """Kind and sizes of the hierarchical encoder; the defaults are the published ones.

    Raises:
        ValueError: a size that no encoder can have.
    """

    kind: str = "Transformer"
    hidden_size: int = 512
    num_heads: int = 4
    num_layers: int = 1
    granularity: int = 4
    time_features: int = 150
    space_features: int = 192
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"encoder {self.kind}: choose one of {', '.join(KINDS)}")
        if not 1 <= self.granularity <= MAX_GRANULARITY:
            raise ValueError(f"granularity {self.granularity}: choose 1 to {MAX_GRANULARITY}")
        parts = self.num_heads if self.kind == "Transformer" else 2
        if parts < 1 or self.hidden_size < parts or self.hidden_size % parts:
            what = "attention heads" if self.kind == "Transformer" else "directions"
            raise ValueError(f"hidden size {self.hidden_size} does not divide into {parts} {what}")
        if min(self.num_layers, self.time_features, self.space_features) < 1:
            raise ValueError("num_layers, time_features and space_features must be at least 1")

    @property
    def feature_size(self) -> int:
        """2·G·d, the length of the downstream feature."""
        return 2 * self.granularity * self.hidden_size


class Downsample(nn.Module):
    """Unified downsampling: depthwise convolution, LayerNorm, ReLU, maximum of token pairs."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(hidden_size, hidden_size, 5, padding=2, groups=hidden_size)
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Halve the tokens: (N, T, d) to (N, T // 2, d); an odd last token is dropped."""
        # As an image of height 1 the tokens already lie channels-last: nothing is transposed.
        image = tokens.transpose(1, 2).unsqueeze(2)  # (N, d, 1, T)
        mixed = F.conv2d(
            image,
            self.conv.weight.unsqueeze(2),
            self.conv.bias,
            padding=(0, 2),
            groups=self.conv.groups,
        )
        mixed = F.relu(self.norm(mixed.squeeze(2).transpose(1, 2)))  # (N, T, d)
        half = tokens.shape[1] // 2
        return torch.maximum(mixed[:, 0 : 2 * half : 2], mixed[:, 1 : 2 * half : 2])


class RecurrentEncoder(nn.Module):
    """Bidirectional GRU or LSTM, d/2 units each way, shared by the levels."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        kind = nn.GRU if config.kind == "GRU" else nn.LSTM
        self.rnn = kind(
            config.hidden_size,
            config.hidden_size // 2,
            config.num_layers,
            batch_first=True,
            bidirectional=True,
        )

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Encode each level and keep its maximum over tokens: G times (N, T, d) to (N, G, d)."""
        return torch.stack([self.rnn(tokens)[0].amax(dim=1) for tokens in levels], dim=1)


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
        N = len(heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (N, heads, T, d / heads)
        probability = self.dropout if self.training else 0.0
        if probability and heads.device.type == "cpu":
            # The same sums as PyTorch's, without its slow dropout and its scaled copies.
            query, key, value = (part.flatten(0, 1) for part in (query, key, value))
            scores = query.new_empty(()).expand(len(query), heads.shape[1], heads.shape[1])
            scale = query.shape[-1] ** -0.5
            scores = torch.baddbmm(scores, query, key.mT, beta=0, alpha=scale)
            weights = dropout(scores.softmax(dim=-1), probability, training=True)
            mixed = (weights @ value).unflatten(0, (N, -1))
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=probability)
        return mixed.transpose(1, 2).flatten(2)  # (N, T, d)


class TransformerLayer(nn.Module):
    """Post-norm Transformer layer: self-attention, then a feed-forward net of width d with ReLU."""

    def __init__(self, config: EncoderConfig) -> None:
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


class TransformerEncoder(nn.Module):
    """Transformer layers shared by the levels; no positional encoding, as published."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        layer = TransformerLayer(config)
        self.layers = nn.ModuleList(copy.deepcopy(layer) for _ in range(config.num_layers))

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Encode each level and keep its maximum over tokens: G times (N, T, d) to (N, G, d)."""
        # What treats tokens one by one may take all levels at once: few large kernels for a GPU.
        # A CPU does better with one level at a time, which needs no copies.
        apart = levels[0].device.type == "cpu"
        groups = [[level] for level in levels] if apart else [levels]
        encoded = [level for group in groups for level in self._encode(group)]
        return torch.stack([level.amax(dim=1) for level in encoded], dim=1)

    def _encode(self, levels: list[Tensor]) -> tuple[Tensor, ...]:
        lengths = [level.shape[1] for level in levels]
        tokens = levels[0] if len(levels) == 1 else torch.cat(levels, dim=1)  # (N, S, d)
        for layer in self.layers:
            tokens = layer(tokens, lengths)
        return tokens.split(lengths, dim=1)


class Branch(nn.Module):
    """Embedding, unified downsampling and sequence encoder of one of the two layouts."""

    def __init__(self, in_features: int, config: EncoderConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.granularity = config.granularity
        self.embedding = nn.Sequential(
            nn.Linear(in_features, d), nn.LayerNorm(d), nn.ReLU(), nn.Linear(d, d)
        )
        self.downsample = Downsample(d)
        kind = TransformerEncoder if config.kind == "Transformer" else RecurrentEncoder
        self.sequence = kind(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, F) tokens to (N, G, d) features, finest granularity first."""
        levels = [self.embedding(tokens)]
        for _ in range(self.granularity - 1):
            levels.append(self.downsample(levels[-1]))  # tokens of the level above, not encoded
        return self.sequence(levels)


class HierarchicalEncoder(nn.Module):
    """The temporal and the spatial branch, of one shape, sharing no weights."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.time = Branch(config.time_features, config)
        self.space = Branch(config.space_features, config)
        if config.kind == "Transformer":
            # The published branches copy one Transformer; Xavier redraws only its matrices.
            self.space.sequence.load_state_dict(self.time.sequence.state_dict())

    def forward(self, views: Views) -> Features:
        """Encode both layouts of a batch.

        Args:
            views: time (N, 64, time_features) and space (N, 50, space_features).

        Returns:
            Features, clip (N, G, d) and part (N, G, d).
        """
        return Features(self.time(views.time), self.space(views.space))
