"""The sizes at which works are measured: the published ones, or few enough for a laptop."""

from dataclasses import dataclass, replace
from typing import Any

import torch

NTU60_CLIPS = (40_091, 16_487)
"""Training and test clips of NTU RGB+D 60, cross-subject."""
HALF = (20_000, 8_000)
"""About half of either, which a CPU looks up in seconds."""


@dataclass(frozen=True)
class Settings:
    """What is measured, and how often.

    Attributes:
        device: where ours and the plain model compute.
        batch: clips in a batch of pre-training.
        hidden_size: d of the encoder.
        queue_size: K.
        kinds: encoders whose training step is measured.
        precisions: in which it is.
        train_kinds: encoders whose step is measured with its views; on a CPU, where those are one
            part in a hundred, one will do.
        train_precisions: in which it is.
        train_clips: clips in the split that those steps train on.
        train_steps: steps in a turn.
        workers: processes that make the oracle's views.
        repetitions: least number of timed turns of a step; other works follow it.
        data_clips: clips in the split that views are drawn from.
        load_clips: clips in the file that is loaded, 0.18 MB each.
        probe_clips: clips that the probe trains on and is tested on.
        probe_epochs: epochs of the probe.
        knn_clips: clips to find and clips to look up.
        raw_performers: people in the raw recordings that are prepared, 48 files each, and then of
            twice as many; 3 or more, so that every part of both protocols gets some.
        plain_files: how many of those files the oracle prepares.
    """

    device: torch.device
    batch: int = 64
    hidden_size: int = 512
    queue_size: int = 2048
    kinds: tuple[str, ...] = ("Transformer", "GRU", "LSTM")
    precisions: tuple[str, ...] = ("fp32", "bf16")
    train_kinds: tuple[str, ...] = ("Transformer",)
    train_precisions: tuple[str, ...] = ("fp32",)
    train_clips: int = 512
    train_steps: int = 4
    workers: int = 2
    repetitions: int = 7
    data_clips: int = 512
    load_clips: int = 4096
    probe_clips: tuple[int, int] = (1024, 512)
    probe_epochs: int = 80
    knn_clips: tuple[int, int] = HALF
    raw_performers: int = 6
    plain_files: int = 16


def choose(device: torch.device, quick: bool) -> Settings:
    """Settings for a careful run, or for one that a laptop ends in a few minutes.

    Args:
        device: where to compute.
        quick: fewer clips and turns; the model keeps its full size.

    Returns:
        Settings.
    """
    settings = Settings(device)
    if device.type == "cuda":
        settings = replace(settings, **ON_A_GPU)
    if quick:
        settings = replace(settings, **QUICK)
    return settings


ON_A_GPU: dict[str, Any] = {
    "precisions": ("fp32", "tf32", "bf16"),
    "train_kinds": Settings.kinds,
    "train_precisions": ("tf32", "bf16"),
    "train_clips": 4096,
    "train_steps": 64,
    "workers": 16,
    "knn_clips": NTU60_CLIPS,
}
QUICK: dict[str, Any] = {
    "repetitions": 3,
    "train_clips": 256,
    "train_steps": 2,
    "data_clips": 128,
    "load_clips": 1024,
    "probe_clips": (256, 128),
    "knn_clips": (6_000, 2_400),
    "raw_performers": 3,
    "plain_files": 8,
}
