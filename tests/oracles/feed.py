"""What feeds the published loop: worker processes that make the views of one clip at a time."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from tests.oracles.augment import two_views
from tests.oracles.model import View


class PlainClips(Dataset):
    """Clips by number; each look draws its two views anew."""

    def __init__(self, data: np.ndarray, num_frames: np.ndarray, stream: str) -> None:
        self.data, self.num_frames, self.stream = data, num_frames, stream

    def __len__(self) -> int:
        return len(self.num_frames)

    def __getitem__(self, clip: int) -> tuple[tuple[np.ndarray, ...], ...]:
        seed = int(torch.randint(2**31, ()))  # of the worker's own generator
        random = np.random.default_rng(seed)
        return two_views(self.data[clip], int(self.num_frames[clip]), self.stream, random)


def batches_for_ever(
    clips: PlainClips, batch_size: int, workers: int, device: torch.device
) -> Iterator[tuple[View, View]]:
    """Shuffled batches on the device, epoch after epoch."""
    loader = DataLoader(
        clips,
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )
    while True:
        for query, key in loader:
            yield tuple(
                tuple(part.to(device, non_blocking=True) for part in view) for view in (query, key)
            )


def one_batch(clips: PlainClips, chosen: Sequence[int], device: torch.device) -> tuple[View, View]:
    """The two views of some clips, made one clip after the other, on the device."""
    query, key = default_collate([clips[clip] for clip in chosen])
    return tuple(tuple(part.to(device) for part in view) for view in (query, key))
