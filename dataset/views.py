"""From clips to what the encoder reads: two random views for pre-training, one fixed downstream.

Axes: N clips, B batch, S streams (1, or 3 side by side), T frames, M=2 bodies, V=25 joints, C=3
coordinates (metres).
One view: window -> resample -> spatial augmentation -> stream -> the two layouts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dataset.augment import PROBE_SHORTEST_CROP, Window, centre_window, draw_crop, sample_window
from dataset.packed import PackedSplit
from dataset.streams import to_streams


class Layouts(NamedTuple):
    """One view of a batch, laid out for each branch.

    Attributes:
        time: (B, T, S·M·V·C), features ordered stream, body, joint, coordinate.
        space: (B, M·V, S·T·C), tokens ordered body, joint, features ordered stream, frame,
            coordinate.
    """

    time: Tensor
    space: Tensor


def lay_out(streams: Sequence[Tensor]) -> Layouts:
    """S times (B, T, M, V, C) to both layouts; the time-major one of one stream is a view."""
    time = [clips.flatten(2) for clips in streams]
    space = [clips.permute(0, 2, 3, 1, 4).flatten(1, 2).flatten(2) for clips in streams]
    return Layouts(_side_by_side(time), _side_by_side(space))


def _side_by_side(layouts: Sequence[Tensor]) -> Tensor:
    """One layout of each stream to one of all; that of one stream is not copied."""
    return torch.cat(layouts, dim=2) if len(layouts) > 1 else layouts[0]


def plain_views(split: PackedSplit, clips: Tensor, window: Window, stream: str) -> Layouts:
    """Views without augmentation.

    Args:
        split: clips.
        clips: (B,) which clips, int64 on the CPU.
        window: which of their frames, each (B,).
        stream: a name of dataset.protocols.STREAMS.

    Returns:
        Layouts of B clips, on the split's device.
    """
    return lay_out(to_streams(split.sample(clips, sample_window(window)), stream))


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
