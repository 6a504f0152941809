"""From clips to what the encoder reads: two random views for pre-training, one fixed downstream.

Axes: N clips, B batch, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres).
One view: window -> resample -> spatial augmentation -> stream -> the two layouts.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dataset.augment import (
    PROBE_SHORTEST_CROP,
    centre_window,
    draw_crop,
    sample_window,
)
from dataset.packed import PackedSplit
from dataset.streams import to_stream


class Layouts(NamedTuple):
    """One view of a batch, laid out for each branch.

    Attributes:
        time: (B, T, M·V·C), features ordered body, joint, coordinate.
        space: (B, M·V, T·C), tokens ordered body, joint, features ordered frame, coordinate.
    """

    time: Tensor
    space: Tensor


def lay_out(clips: Tensor) -> Layouts:
    """(B, T, M, V, C) to both layouts; the time-major one is a view."""
    time = clips.flatten(2)
    space = clips.permute(0, 2, 3, 1, 4).flatten(1, 2).flatten(2)
    return Layouts(time, space)


def downstream_views(
    split: PackedSplit, clips: Tensor, stream: str, generator: torch.Generator | None = None
) -> Layouts:
    """The view that probe and retrieval see.

    Args:
        split: clips.
        clips: (B,) which clips, int64 on the CPU.
        stream: "joint", "motion" or "bone".
        generator: None for the published centre crop of 95 %; else random crops of [0.5, 1] are
            drawn from it, as the ancestor trains its probe.

    Returns:
        Layouts of B clips, on the split's device.
    """
    num_frames = split.num_frames[clips]
    if generator is None:
        window = centre_window(num_frames)
    else:
        window = draw_crop(num_frames, generator, PROBE_SHORTEST_CROP)
    return lay_out(to_stream(split.sample(clips, sample_window(window)), stream))
