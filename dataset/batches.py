"""A split resident in memory, packed: of each clip only the frames that a crop can read.

Axes: N clips, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres).
A published array holds 300 frames of two bodies for every clip. Packed, each body of a clip is a
run of its first `num_frame` rows in one table, and a body that is absent has none: about a third of
the size for NTU RGB+D, small enough to stay on the device that trains.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dataset.arrays import SplitArrays
from dataset.augment import Samples
from dataset.skeleton import NUM_BODIES, NUM_COORDINATES, NUM_JOINTS

CHUNK = 256
"""Clips read at a time: 46 MB, which bounds the memory that loading needs beside the table."""
SHARE_OF_DEVICE = 0.7
"""A table that would fill more of the device's free memory stays in host memory."""


@dataclass(frozen=True)
class PackedSplit:
    """Clips of one split, with names and labels.

    Attributes:
        frames: (R, V, C) float32, rows of all bodies of all clips; row 0 is an absent body.
        first_row: (N, M) row of each body's first frame, integer, beside `frames`; 0 if absent.
        num_frames: (N,) int64, on the CPU.
        labels: (N,) int64 0-based classes, on the CPU.
        names: N file names.
        device: where batches are wanted.
    """

    frames: Tensor
    first_row: Tensor
    num_frames: Tensor
    labels: Tensor
    names: list[str]
    device: torch.device

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_arrays(cls, arrays: SplitArrays, device: torch.device | str = "cpu") -> "PackedSplit":
        """Read a split once, a chunk of clips at a time.

        Args:
            arrays: the split on disk.
            device: where batches are wanted; the table goes there too if it fits.

        Returns:
            PackedSplit.

        Raises:
            ValueError: a coordinate that is not finite; names the file and the clip.
        """
        device = torch.device(device)
        num_frames = torch.from_numpy(np.array(arrays.num_frames, dtype=np.int64))
        # Untouched memory costs nothing, so the table starts as large as it could become.
        most = 1 + NUM_BODIES * int(num_frames.sum())
        table = torch.empty(most, NUM_JOINTS, NUM_COORDINATES)
        table[0] = 0
        first_row, used = [], 1
        for rows, counts in _read_packed(arrays):
            table[used : used + len(rows)] = rows
            starts = used + counts.flatten().cumsum(0).view_as(counts) - counts
            first_row.append(torch.where(counts > 0, starts, 0))
            used += len(rows)
        place = _place(table[:used].nbytes, device)
        return cls(
            frames=table[:used].to(place),
            first_row=torch.cat(first_row).to(place),
            num_frames=num_frames,
            labels=torch.from_numpy(np.array(arrays.labels, dtype=np.int64)),
            names=list(arrays.names),
            device=device,
        )

    def sample(self, clips: Tensor, samples: Samples) -> Tensor:
        """Read samples of some clips, interpolating linearly between frames.

        Args:
            clips: (B,) which clips, integer.
            samples: where to read each, (B, T), frames within the clip.

        Returns:
            (B, T, M, V, C) on the split's device.
        """
        place = self.frames.device
        first = self.first_row[clips.to(place)]  # (B, M)
        low, high, weight = (x.to(place, non_blocking=True)[:, :, None] for x in samples)
        present = first[:, None] > 0
        before, after = (
            self.frames.index_select(0, ((first[:, None] + frame) * present).flatten())
            for frame in (low, high)
        )
        mixed = before.unflatten(0, (*low.shape[:2], NUM_BODIES))  # (B, T, M, V, C)
        mixed.lerp_(after.view_as(mixed), weight[..., None, None])
        return mixed.to(self.device, non_blocking=True)


def _read_packed(arrays: SplitArrays) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the rows (R, V, C) of each chunk of clips and their counts (n, M) for each body."""
    for begin in range(0, len(arrays.names), CHUNK):
        part = slice(begin, begin + CHUNK)
        lengths = torch.from_numpy(np.array(arrays.num_frames[part], dtype=np.int64))
        dense = torch.from_numpy(np.array(arrays.data[part, :, : int(lengths.max())]))
        bodies = dense.permute(0, 4, 2, 3, 1)  # (n, M, T, V, C)
        valid = torch.arange(dense.shape[2]) < lengths[:, None, None]  # (n, 1, T)
        present = ((bodies != 0).any(dim=4).any(dim=3) & valid).any(dim=2)  # (n, M)
        rows = bodies[valid & present[:, :, None]]
        counts = present * lengths[:, None]
        if not torch.isfinite(rows).all():
            bad = (~torch.isfinite(bodies.flatten(2)).all(dim=2)).any(dim=1)
            name = arrays.names[begin + int(bad.int().argmax())]
            raise ValueError(
                f"{arrays.path}: clip {name} has a coordinate that is not finite; "
                "prepare the data again or leave the clip out"
            )
        yield rows, counts


def _place(nbytes: int, device: torch.device) -> torch.device:
    """The device itself if the table fits there beside the training, else the host."""
    if device.type != "cuda":
        return device
    free, _ = torch.cuda.mem_get_info(device)
    return device if nbytes <= SHARE_OF_DEVICE * free else torch.device("cpu")


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
    steps = count // batch_size
    if steps == 0:
        raise ValueError(
            f"{count} clips do not fill one batch; choose --batch-size {count} or less"
        )
    return torch.randperm(count, generator=generator)[: steps * batch_size].view(steps, batch_size)
