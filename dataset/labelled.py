"""Shuffled batches of labelled clips, epoch by epoch, all drawn from one generator.

Axes: n labelled clips, B clips a batch.
"""

import torch
from torch import Tensor

from dataset.augment import (
    PROBE_SHORTEST_CROP,
    Window,
    centre_window,
    draw_crop,
    sample_window,
)
from dataset.batches import PackedSplit
from dataset.streams import to_stream
from dataset.views import Layouts, lay_out


class LabelledBatches:
    """Batches to train a classifier on; the last partial one is kept.

    Attributes:
        epoch_state: of the generator when the epoch began; it fixes the epoch.
    """

    def __init__(
        self,
        split: PackedSplit,
        clips: Tensor,
        stream: str,
        batch_size: int,
        generator: torch.Generator,
        random_crop: bool = True,
    ) -> None:
        """Nothing is drawn yet.

        Args:
            split: the training part.
            clips: (n,) which of its clips have labels to use, int64 on the CPU.
            stream: "joint", "motion" or "bone".
            batch_size: B.
            generator: of the CPU.
            random_crop: windows of 50 to 100 % and at least 64 frames; else the middle 95 %.
        """
        self.split, self.clips, self.stream = split, clips, stream
        self.batch_size, self.generator, self.random_crop = batch_size, generator, random_crop
        self.epoch_state = generator.get_state()
        self._order: Tensor | None = None
        self._window: Window

    def __len__(self) -> int:
        return -(-len(self.clips) // self.batch_size)

    def start_epoch(self) -> None:
        """Draw the next epoch, its order first and then its crops; changes the generator."""
        self.epoch_state = self.generator.get_state()
        self._order = self.clips[torch.randperm(len(self.clips), generator=self.generator)]
        num_frames = self.split.num_frames[self._order]
        if self.random_crop:
            self._window = draw_crop(num_frames, self.generator, PROBE_SHORTEST_CROP)
        else:
            self._window = centre_window(num_frames)

    def batch(self, step: int) -> tuple[Layouts, Tensor]:
        """One batch of the epoch that was started.

        Args:
            step: 0 to len(self) - 1; any order, any number of times.

        Returns:
            Layouts of B clips, fewer in the last batch, and their classes (B,), on the split's
            device.

        Raises:
            RuntimeError: no epoch was started.
        """
        if self._order is None:
            raise RuntimeError("start_epoch() comes before batch()")
        rows = slice(step * self.batch_size, (step + 1) * self.batch_size)
        clips = self._order[rows]
        window = Window(*(each[rows] for each in self._window))
        joints = self.split.sample(clips, sample_window(window))
        labels = self.split.labels[clips].to(self.split.device, non_blocking=True)
        return lay_out(to_stream(joints, self.stream)), labels
