"""From clips to what the encoder reads: two random views for pre-training, one fixed downstream.

Axes: N clips, B batch, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres).
One view: window -> resample -> spatial augmentation -> stream -> the two layouts.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from dataset.augment import (
    PROBE_SHORTEST_CROP,
    Window,
    centre_window,
    draw_crop,
    draw_spatial,
    sample_window,
    transform_joints,
)
from dataset.batches import PackedSplit, draw_order
from dataset.streams import to_stream

VIEWS = 2  # query and key


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


class EpochDraws(NamedTuple):
    """All that is random in one epoch of pre-training, for S steps of B clips.

    Attributes:
        clips: (S, B) which clips.
        window: start and length, each (S, 2, B): query view, key view.
        matrices: (S, 2, B, V, 3, 3) spatial augmentation.
    """

    clips: Tensor
    window: Window
    matrices: Tensor

    @classmethod
    def draw(cls, num_frames: Tensor, batch_size: int, generator: torch.Generator) -> "EpochDraws":
        """Draw an epoch at once: order, crops, spatial augmentations, in this order.

        Args:
            num_frames: (N,) frames of each clip, int64 on the CPU.
            batch_size: B.
            generator: of the CPU.

        Returns:
            EpochDraws of N // B steps.

        Raises:
            ValueError: fewer clips than a batch holds.
        """
        clips = draw_order(len(num_frames), batch_size, generator)
        steps = len(clips)
        window = draw_crop(num_frames[clips][:, None].expand(-1, VIEWS, -1), generator)
        matrices = draw_spatial(steps * VIEWS * batch_size, generator)
        return cls(clips, window, matrices.unflatten(0, (steps, VIEWS, batch_size)))


class PretrainingBatches:
    """Pairs of views of shuffled batches, epoch by epoch, all drawn from one generator."""

    def __init__(
        self, split: PackedSplit, stream: str, batch_size: int, generator: torch.Generator
    ) -> None:
        """Nothing is drawn yet.

        Args:
            split: clips to train on.
            stream: "joint", "motion" or "bone".
            batch_size: B; the last partial batch of an epoch is dropped.
            generator: of the CPU; its state at the start of an epoch fixes the epoch.
        """
        self.split = split
        self.stream = stream
        self.batch_size = batch_size
        self.generator = generator
        self.epoch_state = generator.get_state()
        self._draws: EpochDraws | None = None

    def __len__(self) -> int:
        return len(self.split) // self.batch_size

    def start_epoch(self) -> None:
        """Draw the next epoch; changes the generator."""
        self.epoch_state = self.generator.get_state()
        self._draws = EpochDraws.draw(self.split.num_frames, self.batch_size, self.generator)

    def batch(self, step: int) -> tuple[Layouts, Layouts]:
        """Query and key view of one batch of the epoch that was started.

        Args:
            step: 0 to len(self) - 1; any order, any number of times.

        Returns:
            Two Layouts of B clips each, on the split's device.

        Raises:
            RuntimeError: no epoch was started.
        """
        if self._draws is None:
            raise RuntimeError("start_epoch() comes before batch()")
        clips, window, matrices = self._draws
        # Both views of a clip are read in one pass: the query views, then the key views.
        both = Window(window.start[step].flatten(), window.length[step].flatten())
        joints = self.split.sample(clips[step].repeat(VIEWS), sample_window(both))
        joints = transform_joints(joints, matrices[step].flatten(0, 1).to(joints.device))
        time, space = lay_out(to_stream(joints, self.stream))
        query, key = (Layouts(*pair) for pair in zip(time.chunk(2), space.chunk(2), strict=True))
        return query, key


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
