"""Features of a frozen encoder, before the heads or behind them, and the file that holds them.

Axes: N clips, G granularities, d hidden size, D projection size, F = 2·G·d.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dataset.packed import PackedSplit
from dataset.views import downstream_views
from moco import Views
from moco.encoders.hierarchical import Features
from moco.heads import Levels
from moco.method import Method
from tools.files import write_whole


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Keep a model in eval mode for a while, and leave it in the mode that it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def extract(model: Method, split: PackedSplit, stream: str, **how: Any) -> Tensor:
    """Compute the feature that is scored: (N, F), the level "instance" of `extract_levels`."""
    return extract_levels(model, split, stream, ("instance",), **how)["instance"]


def extract_levels(
    model: Method,
    split: PackedSplit,
    stream: str,
    levels: Sequence[str],
    *,
    projections: bool = False,
    batch_size: int = 256,
    generator: torch.Generator | None = None,
    clips: Tensor | None = None,
) -> dict[str, Tensor]:
    """Compute features of every clip of a split at several levels in one pass.

    Args:
        model: in eval mode for the duration.
        split: clips, on the model's device.
        stream: "joint", "motion" or "bone".
        levels: of moco.heads.LEVELS.
        projections: behind the heads, where the contrast is, instead of before them.
        batch_size: clips a pass; changes speed and memory only.
        generator: draws crops of 50 to 100 % of the frames; None for the middle 95 %.
        clips: (N,) which clips and in which order, int64 on the CPU; None for all.

    Returns:
        (N, …) float32 by level, see `before_heads`; projections (N, G, D) and (N, D).
    """
    clips = torch.arange(len(split)) if clips is None else clips
    read, found = model.query.heads if projections else before_heads, {}
    with evaluating(model):
        for begin in range(0, len(clips), batch_size):
            rows = slice(begin, begin + batch_size)
            with torch.inference_mode():
                views = Views(*downstream_views(split, clips[rows], stream, generator))
                seen = read(model.encoder(views))
            for level in levels:
                some = getattr(seen, level)  # (B, …)
                if level not in found:  # outside inference mode, so that one can train on it
                    found[level] = torch.empty(len(clips), *some.shape[1:], device=split.device)
                found[level][rows] = some
    return found


def before_heads(features: Features) -> Levels[Tensor]:
    """The features that each level's head looks at.

    Returns:
        clip and part (N, G, d) of the temporal and the spatial branch, temporal and spatial
        (N, G·d) the same side by side, instance (N, 2·G·d) both; the last is what is scored.
    """
    return Levels(
        clip=features.clip,
        part=features.part,
        temporal=features.clip.flatten(1),
        spatial=features.part.flatten(1),
        instance=features.instance,
    )


def part_arrays(
    part: str, values: Mapping[str, Tensor], labels: Tensor, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Some clips as a features file holds them.

    Args:
        part: what they are called there.
        values: (N, …) features by name.
        labels: (N,) classes from 0 on, on the CPU.
        names: N sample names.

    Returns:
        PART_NAME (N, …) float32 for each feature, PART_labels (N,) int64, PART_names (N,) text.
    """
    features = {f"{part}_{name}": each.cpu().numpy() for name, each in values.items()}
    return features | {f"{part}_labels": labels.numpy(), f"{part}_names": np.array(names)}


def write_features(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the arrays of `part_arrays` to an .npz file, whole or not at all."""
    write_whole(path, lambda file: np.savez(file, **arrays))
