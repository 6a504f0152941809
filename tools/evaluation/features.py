"""Frozen features of a split: one pass of the query encoder, before the heads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dataset.packed import PackedSplit
from dataset.views import downstream_views
from moco import HiCo, Views

CROPS = ("centre", "random")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def extract(
    model: HiCo,
    split: PackedSplit,
    stream: str,
    *,
    batch_size: int = 256,
    crop: str = "centre",
    generator: torch.Generator | None = None,
    clips: Tensor | None = None,
) -> Tensor:
    """Compute the downstream feature of every clip, in the split's order, or of some clips.

    Args:
        model: its query encoder, in eval mode for the duration.
        split: clips, on the model's device.
        stream: "joint", "motion" or "bone".
        batch_size: clips a pass; changes speed and memory only.
        crop: "centre" as published, or "random" crops of [0.5, 1].
        generator: draws the random crops.
        clips: (N,) which clips and in which order, int64 on the CPU; None for all.

    Returns:
        (N, 2·G·d) float32 on the split's device, no gradient.

    Raises:
        ValueError: another crop, or a random one without generator.
    """
    if crop not in CROPS or (crop == "random" and generator is None):
        raise ValueError(f"crop {crop}: choose centre, or random with a generator")
    draws = generator if crop == "random" else None
    clips = torch.arange(len(split)) if clips is None else clips
    features = torch.empty(len(clips), model.config.feature_size, device=split.device)
    with _evaluating(model), torch.inference_mode():
        for rows in torch.arange(len(clips)).split(batch_size):
            views = Views(*downstream_views(split, clips[rows], stream, draws))
            features[rows[0] : rows[-1] + 1] = model.features(views)
    return features
