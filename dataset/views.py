"""From clips to what the encoder reads: two random views for pre-training, one fixed downstream.

Axes: N clips, B batch, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres).
One view: window -> resample -> spatial augmentation -> stream -> the two layouts.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dataset.augment import PROBE_SHORTEST_CROP, Window, centre_window, draw_crop, sample_window
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


def plain_views(split: PackedSplit, clips: Tensor, window: Window, stream: str) -> Layouts:
    """Views without augmentation.

    Args:
        split: clips.
        clips: (B,) which clips, int64 on the CPU.
        window: which of their frames, each (B,).
        stream: "joint", "motion" or "bone".

    Returns:
        Layouts of B clips, on the split's device.
    """
    return lay_out(to_stream(split.sample(clips, sample_window(window)), stream))


def downstream_window(num_frames: Tensor, generator: torch.Generator | None = None) -> Window:
    """The frames that probe and retrieval see: (N,) frames of clips to a Window of N.

    Without a generator the published centre crop of 95 %; else random crops of [0.5, 1] are drawn
    from it, as the ancestor trains its probe.
    """
    if generator is None:
        return centre_window(num_frames)
    return draw_crop(num_frames, generator, PROBE_SHORTEST_CROP)


def downstream_views(
    split: PackedSplit, clips: Tensor, stream: str, generator: torch.Generator | None = None
) -> Layouts:
    """The view that probe and retrieval see: `plain_views` of `downstream_window`."""
    return plain_views(split, clips, downstream_window(split.num_frames[clips], generator), stream)
