"""A split resident in memory, packed: of each clip only the frames that a crop can read.

Axes: N clips, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres).
A published array holds 300 frames of two bodies for every clip. Packed, each body of a clip is a
run of its first `num_frame` rows in one table, and a body that is absent has none: about a third of
the size for NTU RGB+D, small enough to stay on the device that trains.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dataset.arrays import SplitArrays
from dataset.augment import Samples
from dataset.prepared import clips_of
from dataset.skeleton import NUM_BODIES, NUM_COORDINATES, NUM_JOINTS

CHUNK = 64
"""Clips packed at a time, at most 12 MB: the host memory that loading needs beside the table."""
SHARE_OF_DEVICE = 0.7
"""A table that would fill more of the device's free memory stays in host memory."""
SAMPLE = 1024
"""Clips that are looked at beforehand to guess how large the table becomes."""
SLACK = 1.05
"""How much larger the table is made than guessed: five times what the sample is commonly off."""
_ROW_SIZE = 4 * NUM_JOINTS * NUM_COORDINATES  # bytes


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
        source: where they come from, as `dataset.prepared.clips_of` says.
    """

    frames: Tensor
    first_row: Tensor
    num_frames: Tensor
    labels: Tensor
    names: list[str]
    device: torch.device
    source: dict[str, Any] = field(default_factory=dict)

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
        table = _Table.guess(arrays, device)
        first_row = []
        for rows, counts in _read_packed(arrays):
            starts = table.used + counts.flatten().cumsum(0).view_as(counts) - counts
            first_row.append(torch.where(counts > 0, starts, 0))
            table.append(rows)
        return cls(
            frames=table.rows[: table.used],
            first_row=torch.cat(first_row).to(table.rows.device),
            num_frames=num_frames,
            labels=torch.from_numpy(np.array(arrays.labels, dtype=np.int64)),
            names=list(arrays.names),
            device=device,
            source=clips_of(arrays),
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


@dataclass
class _Table:
    """Rows appended one chunk after the other, where they are to stay.

    So the host of another device holds no more than a chunk, and the device no row twice.

    Attributes:
        rows: (most, V, C) float32, of which the first `used` count; row 0 is an absent body.
        used: how many count.
    """

    rows: Tensor
    used: int = 1

    @classmethod
    def guess(cls, arrays: SplitArrays, device: torch.device) -> "_Table":
        """Make an empty table, on the device if it will fit there, about as large as needed."""
        most = 1 + NUM_BODIES * int(arrays.num_frames.sum())
        guessed = most
        if device.type == "cuda":
            guessed = min(most, 1 + int(SLACK * _guess_rows(arrays)))
        place = _place(guessed * _ROW_SIZE, device)
        # On the host untouched memory costs nothing, so there it starts as large as it can become.
        size = most if place.type == "cpu" else guessed
        rows = torch.empty(size, NUM_JOINTS, NUM_COORDINATES, device=place)
        rows[0] = 0
        return cls(rows)

    def append(self, rows: Tensor) -> None:
        """Copy (R, V, C) rows behind the others; a table guessed too small grows."""
        end = self.used + len(rows)
        if end > len(self.rows):
            grown = self.rows.new_empty(int(SLACK * end), *self.rows.shape[1:])
            grown[: self.used] = self.rows[: self.used]
            self.rows = grown
        self.rows[self.used : end] = rows
        self.used = end


def _guess_rows(arrays: SplitArrays) -> float:
    """Guess from a few clips how many rows all bodies of all clips take."""
    count = len(arrays.names)
    chosen = np.random.default_rng(0).choice(count, min(SAMPLE, count), replace=False)
    chosen.sort()
    recorded = arrays.num_frames[chosen]
    found = [
        frames * _present(np.ascontiguousarray(arrays.data[clip])[:, :frames]).sum()
        for clip, frames in zip(chosen, recorded, strict=True)
    ]
    return float(arrays.num_frames.sum()) * int(sum(found)) / int(recorded.sum())


def _read_packed(arrays: SplitArrays) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the rows (R, V, C) of each chunk of clips and their counts (n, M) for each body.

    A clip is packed alone, since it fits the cache: each frame that was recorded is read from
    memory once, and no other. The rows are good until the next chunk is asked for.
    """
    data = np.asarray(arrays.data)  # slices of a memory map as such are slow to make
    packed = np.empty((CHUNK * NUM_BODIES * data.shape[2], NUM_JOINTS, NUM_COORDINATES), np.float32)
    for begin in range(0, len(data), CHUNK):
        lengths = arrays.num_frames[begin : begin + CHUNK].tolist()
        clips = np.ascontiguousarray(data[begin : begin + CHUNK])  # as they are on disk already
        counts = np.zeros((len(lengths), NUM_BODIES), np.int64)
        used = 0
        for row, (clip, frames) in enumerate(zip(clips, lengths, strict=True)):
            recorded = clip[:, :frames]
            for body in _present(recorded).nonzero()[0].tolist():
                rows = packed[used : used + frames]
                for axis in range(NUM_COORDINATES):  # one by one is quicker than all at once
                    rows[..., axis] = recorded[axis, ..., body]
                _check_finite(rows, arrays, begin + row)
                counts[row, body] = frames
                used += frames
        yield torch.from_numpy(packed[:used]), torch.from_numpy(counts)
        _let_go(data)


def _present(recorded: np.ndarray) -> np.ndarray:
    """Say of (C, T, V, M) float32 which bodies have a coordinate other than zero: (M,) boolean.

    The numbers of both bodies lie side by side, so that taken as one integer of twice the size they
    are read at full speed; but for its sign a number is zero if all its bits are.
    """
    bits = np.bitwise_or.reduce(recorded.view(np.uint64), axis=None)
    return (bits.reshape(1).view(np.uint32) & 0x7FFFFFFF) != 0


def _check_finite(rows: np.ndarray, arrays: SplitArrays, clip: int) -> None:
    if not np.isfinite(rows).all():
        raise ValueError(
            f"{arrays.path}: clip {arrays.names[clip]} has a coordinate that is not finite; "
            "prepare the data again or leave the clip out"
        )


def _let_go(data: np.ndarray) -> None:
    """Unload what was read of a memory map; else the whole file ends up in this process' memory."""
    owner = data
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(owner, "madvise") and not data.flags.writeable:
        owner.madvise(mmap.MADV_DONTNEED)


def _place(nbytes: int, device: torch.device) -> torch.device:
    """The device itself if the table fits there beside the training, else the host."""
    if device.type != "cuda":
        return device
    free, _ = torch.cuda.mem_get_info(device)
    return device if nbytes <= SHARE_OF_DEVICE * free else torch.device("cpu")
