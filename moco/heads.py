"""The five projection heads: from features to the spaces where contrast happens.

Axes: N clips, G granularities, d hidden size, D projection size.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco.config import EncoderConfig
from moco.encoders.hierarchical import Features

One = TypeVar("One")


@dataclass(frozen=True)
class Levels(Generic[One]):
    """One thing for each of the five levels of the contrast."""

    clip: One
    part: One
    temporal: One
    spatial: One
    instance: One

    def __iter__(self) -> Iterator[One]:
        return (getattr(self, level) for level in LEVELS)

    def items(self) -> Iterator[tuple[str, One]]:
        """Each level's name with what belongs to it."""
        return zip(LEVELS, self, strict=True)


LEVELS = tuple(each.name for each in fields(Levels))


def head(in_features: int, hidden_size: int, projection_size: int) -> nn.Sequential:
    """Linear, ReLU, Linear."""
    return nn.Sequential(
        nn.Linear(in_features, hidden_size), nn.ReLU(), nn.Linear(hidden_size, projection_size)
    )


class Heads(nn.Module):
    """Clip and part look at single granularities, the domains at one branch, instance at both."""

    def __init__(self, config: EncoderConfig, projection_size: int) -> None:
        super().__init__()
        d, G = config.hidden_size, config.granularity
        self.clip = head(d, d, projection_size)
        self.part = head(d, d, projection_size)
        self.temporal = head(G * d, d, projection_size)
        self.spatial = head(G * d, d, projection_size)
        self.instance = head(2 * G * d, d, projection_size)

    def forward(self, features: Features, granularities: int | None = None) -> Levels[Tensor]:
        """Project and L2-normalise.

        Args:
            features: clip (N, G, d) and part (N, G, d).
            granularities: how many levels of clip and part to project, finest first; None is all.
                The contrast needs one of the query and all of the key.

        Returns:
            clip and part (N, granularities, D), the other three (N, D); unit vectors.
        """
        projections = Levels(
            clip=self.clip(features.clip[:, :granularities]),
            part=self.part(features.part[:, :granularities]),
            temporal=self.temporal(features.clip.flatten(1)),
            spatial=self.spatial(features.part.flatten(1)),
            instance=self.instance(features.instance),
        )
        return Levels(*(F.normalize(at_least_float32(each), dim=-1) for each in projections))


def at_least_float32(tensor: Tensor) -> Tensor:
    """The contrast is computed in float32, whatever lower precision the networks ran in."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def pack(keys: Levels[Tensor]) -> Tensor:
    """Put the keys of a clip side by side: five levels, as `Heads` gives them, to (N, 2G+3, D)."""
    domains = torch.stack([keys.temporal, keys.spatial, keys.instance], dim=1)
    return torch.cat([keys.clip, keys.part, domains], dim=1)


def unpack(packed: Tensor) -> Levels[Tensor]:
    """The inverse of `pack`."""
    G = (packed.shape[1] - 3) // 2
    clip, part, domains = packed.split([G, G, 3], dim=1)
    return Levels(clip, part, *domains.unbind(dim=1))


def xavier_matrices(module: nn.Module) -> None:
    """Redraw every 2-D parameter Xavier-uniform, in place, from torch's global generator.

    Stacked recurrent gates and attention in-projections count as one matrix, as published.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)
