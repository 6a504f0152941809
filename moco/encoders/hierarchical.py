"""The hierarchical encoder: two branches that see a clip at G granularities.

Axes: N clips, T tokens of a level, F input features, d hidden size, G granularities.
A branch embeds its tokens, halves them G - 1 times (unified downsampling), lets one sequence
encoder look at every level apart, and keeps the maximum over each level's tokens.

Source: HiCo (arXiv 2212.02082), section 3.2.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco.config import EncoderConfig, build_sequence_encoder
from moco.kernels.convolution import depthwise
from moco.kernels.pooling import maximum

BELOW = ("embedding", "downsample")
"""Modules of a branch below its sequence encoder, from the input up."""


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


class Downsample(nn.Module):
    """Unified downsampling: depthwise convolution, LayerNorm, ReLU, maximum of token pairs."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(hidden_size, hidden_size, 5, padding=2, groups=hidden_size)
        self.norm = nn.LayerNorm(hidden_size)

    def forward(self, tokens: Tensor) -> Tensor:
        """Halve the tokens: (N, T, d) to (N, T // 2, d); an odd last token is dropped."""
        mixed = F.relu(self.norm(depthwise(tokens, self.conv)))  # (N, T, d)
        half = tokens.shape[1] // 2
        return maximum(mixed[:, : 2 * half].unflatten(1, (half, 2)), dim=2)


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
        self.sequence = build_sequence_encoder(config)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T, F) tokens to (N, G, d) features, finest granularity first."""
        levels = [self.embedding(tokens)]
        for _ in range(self.granularity - 1):
            levels.append(self.downsample(levels[-1]))  # tokens of the level above, not encoded
        return self.sequence(levels)


class HierarchicalEncoder(nn.Module):
    """The temporal and the spatial branch, of one shape, sharing no weights.

    Who trains its layers at different rates asks `depth_of(name)` of each parameter: 0 for the
    embedding, 1 for downsampling, 2 to `depth` - 1 for the layers of the sequence encoder.

    Attributes:
        config: kind and sizes.
        depth: layers in all, 2 + config.num_layers.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.depth = len(BELOW) + config.num_layers
        self.time = Branch(config.time_features, config)
        self.space = Branch(config.space_features, config)
        if self.time.sequence.same_start:
            self.space.sequence.load_state_dict(self.time.sequence.state_dict())

    def forward(self, views: Views) -> Features:
        """Encode both layouts of a batch.

        Args:
            views: time (N, 64, time_features) and space (N, 50, space_features).

        Returns:
            Features, clip (N, G, d) and part (N, G, d).
        """
        return Features(self.time(views.time), self.space(views.space))

    def depth_of(self, name: str) -> int:
        """Which layer a parameter belongs to, counted from the input.

        Args:
            name: as named_parameters() says it.

        Returns:
            0 embedding, 1 downsampling, 2 the first layer of the sequence encoder, and so on.
        """
        _, module, inside = name.split(".", 2)  # without the branch: both are of one depth
        if module in BELOW:
            return BELOW.index(module)
        return len(BELOW) + self.time.sequence.layer_of(inside)
