"""Shuffled batches, epoch by epoch, all drawn from one generator: what a step reads.

Axes: N clips, n labelled clips, B clips a batch, S steps an epoch.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dataset.augment import HICO, Pipeline, Window, draw_crop, load_pipeline, sample_window
from dataset.packed import PackedSplit
from dataset.views import Layouts, downstream_window, lay_out, plain_views

VIEWS = 2  # query and key


def whole_batches(count: int, batch_size: int) -> int:
    """How many batches some clips fill; a ValueError where they do not fill one."""
    if count < batch_size:
        raise ValueError(
            f"{count} clips do not fill one batch; choose --batch-size {count} or less"
        )
    return count // batch_size


def draw_order(count: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """Shuffle clips into batches and drop the last partial one.

    Args:
        count: N clips.
        batch_size: B.
        generator: of the CPU.

    Returns:
        (N // B, B) clip numbers, int64.

    Raises:
        ValueError: fewer clips than a batch holds.
    """
    steps = whole_batches(count, batch_size)
    return torch.randperm(count, generator=generator)[: steps * batch_size].view(steps, batch_size)


class EpochDraws(NamedTuple):
    """All that is random in one epoch of pre-training, for S steps of B clips.

    Attributes:
        clips: (S, B) which clips.
        window: start and length, each (S, 2, B): query view, key view.
        stages: draws of each stage of the pipeline for each view, each (S, 2, B, …).
    """

    clips: Tensor
    window: Window
    stages: tuple[Any, ...]

    @classmethod
    def draw(
        cls,
        num_frames: Tensor,
        batch_size: int,
        generator: torch.Generator,
        pipeline: Pipeline = HICO,
    ) -> "EpochDraws":
        """Draw an epoch at once: order, crops, then stage by stage.

        Args:
            num_frames: (N,) frames of each clip, int64 on the CPU.
            batch_size: B.
            generator: of the CPU.
            pipeline: whose stages are drawn.

        Returns:
            EpochDraws of N // B steps, on the CPU.

        Raises:
            ValueError: fewer clips than a batch holds.
        """
        clips = draw_order(len(num_frames), batch_size, generator)
        window = draw_crop(num_frames[clips][:, None].expand(-1, VIEWS, -1), generator)
        views = window.length.shape  # (S, 2, B)
        drawn = [stage.draw(views.numel(), generator) for stage in pipeline.stages]
        stages = tuple(_each(draws, lambda part: part.unflatten(0, views)) for draws in drawn)
        return cls(clips, window, stages)

    def each(self, change: Callable[[Tensor], Tensor]) -> "EpochDraws":
        """Change every tensor, order and names kept."""
        stages = tuple(_each(draws, change) for draws in self.stages)
        return EpochDraws(change(self.clips), _each(self.window, change), stages)

    def share(self, rows: slice) -> "EpochDraws":
        """Keep some of the B clips of each batch."""
        return self.each(lambda part: part[:, rows] if part is self.clips else part[:, :, rows])

    def tensors(self) -> list[Tensor]:
        """All of them, in one order."""
        return [self.clips, *self.window, *(part for draws in self.stages for part in draws)]


def _each(draws: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Change every tensor of a NamedTuple."""
    return type(draws)(*map(change, draws))


class PretrainingBatches:
    """Pairs of views of shuffled batches, epoch by epoch, all drawn from one generator.

    The draws of an epoch are made on the CPU and lie where the clips lie. From there on nothing
    comes from the host: `views` reads the draws at a position that is itself on the device, so a
    recorded step may be replayed at any position of any epoch.
    """

    def __init__(
        self,
        split: PackedSplit,
        stream: str,
        batch_size: int,
        generator: torch.Generator,
        augmentation: str = "hico",
        rows: slice = slice(None),  # noqa: B008
    ) -> None:
        """Nothing is drawn yet.

        Args:
            split: clips to train on.
            stream: "joint", "motion" or "bone".
            batch_size: B; the last partial batch of an epoch is dropped.
            generator: of the CPU; its state at the start of an epoch fixes the epoch.
            augmentation: name of a pipeline, a row of `dataset.protocols.AUGMENTATIONS`.
            rows: which clips of each batch are made, where several processes share it out.

        Raises:
            ValueError: no such pipeline, or fewer clips than a batch holds.
        """
        whole_batches(len(split), batch_size)  # refused before a run has begun
        self.split, self.stream = split, stream
        self.batch_size, self.generator, self.rows = batch_size, generator, rows
        self.pipeline = load_pipeline(augmentation)
        self.epoch_state = generator.get_state()
        self._draws: EpochDraws | None = None
        self._position = torch.zeros(1, dtype=torch.int64, device=split.frames.device)

    def __len__(self) -> int:
        return len(self.split) // self.batch_size

    def start_epoch(self) -> None:
        """Draw the next epoch; changes the generator."""
        self.epoch_state = self.generator.get_state()
        draws = EpochDraws.draw(
            self.split.num_frames, self.batch_size, self.generator, self.pipeline
        ).share(self.rows)
        if self._draws is None:
            place = self._position.device
            self._draws = draws.each(lambda part: torch.empty_like(part, device=place))
        for mine, drawn in zip(self._draws.tensors(), draws.tensors(), strict=True):
            mine.copy_(drawn)  # in place: a recorded step reads it there

    def seek(self, step: int) -> None:
        """Choose the batch that `views` makes.

        Args:
            step: 0 to len(self) - 1; any order, any number of times.

        Raises:
            RuntimeError: no epoch was started.
            IndexError: no such batch.
        """
        if self._draws is None:
            raise RuntimeError("start_epoch() comes before batch()")
        if not 0 <= step < len(self):
            raise IndexError(f"batch {step} of an epoch of {len(self)}")
        self._position.fill_(step)

    def views(self) -> tuple[Layouts, Layouts]:
        """Query and key view of the batch that was sought; waits for nothing on the host.

        Returns:
            Two Layouts of B clips each, on the split's device.
        """
        draws = self._draws.each(lambda part: part.index_select(0, self._position)[0])
        # Both views of a clip are read in one pass: the query views, then the key views.
        window = sample_window(_each(draws.window, torch.flatten))
        joints = self.split.sample(draws.clips.repeat(VIEWS), window)

        def _beside(part: Tensor) -> Tensor:
            return part.flatten(0, 1).to(joints.device, non_blocking=True)  # (2, B, …) to (2B, …)

        stages = [_each(stage, _beside) for stage in draws.stages]
        time, space = lay_out(self.pipeline.apply(joints, stages, self.stream))
        query, key = (Layouts(*pair) for pair in zip(time.chunk(2), space.chunk(2), strict=True))
        return query, key

    def clips(self) -> Tensor:
        """Which clips the batch that was sought is made of: (B,) int64, on the split's device."""
        chosen = self._draws.clips.index_select(0, self._position)[0]
        return chosen.to(self.split.device, non_blocking=True)

    def batch(self, step: int) -> tuple[Layouts, Layouts]:
        """Query and key view of one batch of the epoch that was started: `seek`, then `views`."""
        self.seek(step)
        return self.views()


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
        crops = self.generator if self.random_crop else None
        self._window = downstream_window(self.split.num_frames[self._order], crops)

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
        window = _each(self._window, lambda part: part[rows])
        labels = self.split.labels[clips].to(self.split.device, non_blocking=True)
        return plain_views(self.split, clips, window, self.stream), labels
