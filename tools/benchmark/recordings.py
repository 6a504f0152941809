"""Random recordings with the sizes of real ones, for timing only."""

from pathlib import Path

import numpy as np

from dataset.arrays import SplitArrays

CLASSES = 60
FRAMES = (30, 170)
"""Least and most frames of a clip: as in NTU RGB+D, about a third of the 300 that are stored."""
ALONE = 0.8
"""Share of clips with one body: 49 of 60 NTU actions are done alone."""


def random_arrays(clips: int, seed: int = 0) -> SplitArrays:
    """Make a split in memory, of 300 frames a clip, its tails looped as prepared ones are."""
    random = np.random.default_rng(seed)
    num_frames = random.integers(FRAMES[0], FRAMES[1] + 1, clips)
    data = np.zeros((clips, 3, 300, 25, 2), dtype=np.float32)
    for clip, frames, alone in zip(data, num_frames, random.random(clips) < ALONE, strict=True):
        bodies = 1 if alone else 2
        recorded = random.standard_normal((3, frames, 25, bodies), dtype=np.float32)
        clip[..., :bodies] = recorded[:, np.arange(300) % frames]
    labels = random.integers(0, CLASSES, clips)
    names = [f"random{i:06d}" for i in range(clips)]
    return SplitArrays(Path("random"), data, num_frames, labels, names)
