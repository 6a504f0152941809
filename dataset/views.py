"""From clips to what the encoder reads: two random views for pre-training, one fixed downstream.

Axes: N clips, B batch, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres).
One view: window -> resample -> spatial augmentation -> stream -> the two layouts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dataset.augment import (
    PROBE_SHORTEST_CROP,
    SpatialDraws,
    Window,
    centre_window,
    draw_crop,
    draw_spatial,
    sample_window,
    spatial_matrices,
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
        spatial: augmentation of each view, each (S, 2, B, …).
    """

    clips: Tensor
    window: Window
    spatial: SpatialDraws

    @classmethod
    def draw(cls, num_frames: Tensor, batch_size: int, generator: torch.Generator) -> "EpochDraws":
        """Draw an epoch at once: order, crops, spatial augmentations, in this order.

        Args:
            num_frames: (N,) frames of each clip, int64 on the CPU.
            batch_size: B.
            generator: of the CPU.

        Returns:
            EpochDraws of N // B steps, on the CPU.

        Raises:
            ValueError: fewer clips than a batch holds.
        """
        clips = draw_order(len(num_frames), batch_size, generator)
        steps = len(clips)
        window = draw_crop(num_frames[clips][:, None].expand(-1, VIEWS, -1), generator)
        spatial = draw_spatial(steps * VIEWS * batch_size, generator)
        sizes = (steps, VIEWS, batch_size)
        return cls(clips, window, SpatialDraws(*(part.unflatten(0, sizes) for part in spatial)))

    def tensors(self) -> list[Tensor]:
        """All of them, in one order."""
        return [self.clips, *self.window, *self.spatial]

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> "EpochDraws":
        """The inverse of `tensors`."""
        return cls(tensors[0], Window(*tensors[1:3]), SpatialDraws(*tensors[3:]))


class PretrainingBatches:
    """Pairs of views of shuffled batches, epoch by epoch, all drawn from one generator.

    The draws of an epoch are made on the CPU and lie where the clips lie. From there on nothing
    comes from the host: `views` reads the draws at a position that is itself on the device, so a
    recorded step may be replayed at any position of any epoch.
    """

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
        self._draws: list[Tensor] = []
        self._position = torch.zeros(1, dtype=torch.int64, device=split.frames.device)

    def __len__(self) -> int:
        return len(self.split) // self.batch_size

    def start_epoch(self) -> None:
        """Draw the next epoch; changes the generator."""
        self.epoch_state = self.generator.get_state()
        draws = EpochDraws.draw(self.split.num_frames, self.batch_size, self.generator).tensors()
        if not self._draws:
            self._draws = [torch.empty_like(part, device=self._position.device) for part in draws]
        for mine, drawn in zip(self._draws, draws, strict=True):
            mine.copy_(drawn)  # in place: a recorded step reads it there

    def seek(self, step: int) -> None:
        """Choose the batch that `views` makes.

        Args:
            step: 0 to len(self) - 1; any order, any number of times.

        Raises:
            RuntimeError: no epoch was started.
            IndexError: no such batch.
        """
        if not self._draws:
            raise RuntimeError("start_epoch() comes before batch()")
        if not 0 <= step < len(self):
            raise IndexError(f"batch {step} of an epoch of {len(self)}")
        self._position.fill_(step)

    def views(self) -> tuple[Layouts, Layouts]:
        """Query and key view of the batch that was sought; waits for nothing on the host.

        Returns:
            Two Layouts of B clips each, on the split's device.
        """
        draws = [part.index_select(0, self._position)[0] for part in self._draws]
        clips, window, spatial = EpochDraws.of(draws)
        # Both views of a clip are read in one pass: the query views, then the key views.
        both = Window(*(part.flatten() for part in window))
        joints = self.split.sample(clips.repeat(VIEWS), sample_window(both))
        matrices = spatial_matrices(SpatialDraws(*(part.flatten(0, 1) for part in spatial)))
        joints = transform_joints(joints, matrices.to(joints.device, non_blocking=True))
        time, space = lay_out(to_stream(joints, self.stream))
        query, key = (Layouts(*pair) for pair in zip(time.chunk(2), space.chunk(2), strict=True))
        return query, key

    def batch(self, step: int) -> tuple[Layouts, Layouts]:
        """Query and key view of one batch of the epoch that was started: `seek`, then `views`."""
        self.seek(step)
        return self.views()


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
