"""A split from disk to where it is trained on: packed, against the whole array as it lies there."""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dataset.arrays import SplitArrays
from dataset.packed import PackedSplit
from dataset.protocols import NTU120
from tools.benchmark.floor import load_work
from tools.benchmark.measure import Row, measure
from tools.benchmark.plain import oracle
from tools.benchmark.recordings import random_arrays
from tools.benchmark.sizes import Sizes
from tools.benchmark.timing import wait

POOL = 256
"""Different clips in the file; they are quicker repeated than drawn."""
LARGEST = NTU120.rules["cross_subject"].counts["train"]
"""Clips of the cross-subject training part of NTU RGB+D 120."""


def rows(sizes: Sizes) -> Iterator[Row]:
    """Measure the time a clip takes; memory is the host's, and so are the rates of the floor."""
    clips = sizes.load_clips
    with tempfile.TemporaryDirectory(prefix="hico-benchmark-") as folder:
        arrays = stored_arrays(Path(folder), clips)
        table = PackedSplit.from_arrays(arrays, sizes.device).frames
        on_cpu = table.device.type == "cpu"  # where room that was not used takes no memory
        stored = table.nbytes if on_cpu else table.untyped_storage().nbytes()
        size = stored * LARGEST / clips / 2**30
        yield measure(
            "load, a clip",
            ours=partial(our_load, arrays, sizes.device),
            plain=partial(plain_load, arrays, sizes.device),
            least=load_work(arrays.num_frames, len(table)),
            sizes=replace(sizes, device=torch.device("cpu")),
            ours_per=clips,
            plain_per=clips,
            note=f"{clips:,} clips, file in cache, memory of the host; "
            f"table {size:.2f} GiB at {LARGEST:,} clips",
        )


def stored_arrays(folder: Path, clips: int) -> SplitArrays:
    """Write a split of random recordings to a folder, a chunk at a time, and map it."""
    pool = random_arrays(min(POOL, clips))
    path = folder / "train_data_joint.npy"
    shape = (clips, *pool.data.shape[1:])
    data = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for begin in range(0, clips, POOL):
        part = data[begin : begin + POOL]
        part[:] = pool.data[: len(part)]
    data.flush()
    return SplitArrays(
        path,
        data=np.lib.format.open_memmap(path, mode="r"),
        num_frames=np.resize(pool.num_frames, clips),
        labels=np.resize(pool.labels, clips),
        names=[f"random{i:06d}" for i in range(clips)],
    )


def our_load(arrays: SplitArrays, device: torch.device) -> PackedSplit:
    """Pack the split."""
    split = PackedSplit.from_arrays(arrays, device)
    wait(device)
    return split


def plain_load(arrays: SplitArrays, device: torch.device) -> Tensor:
    """Everything that lies on disk, (N, 3, T, 25, 2)."""
    dense = oracle("load").dense(arrays.path, device)
    wait(device)
    return dense
