"""Two random views of a batch, each stream: batched against one clip after the other."""

from collections.abc import Iterator

import numpy as np
import torch

from dataset.arrays import SplitArrays
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from dataset.protocols import STREAMS
from moco.config import encoder_config
from tools.benchmark.floor import FLOAT, Work, view_floats
from tools.benchmark.measure import Row, measure
from tools.benchmark.plain import oracle
from tools.benchmark.recordings import random_arrays
from tools.benchmark.sizes import Sizes
from tools.benchmark.timing import Side, one_thread


def rows(sizes: Sizes) -> Iterator[Row]:
    """Measure two views of a batch for joint, motion and bone.

    On a CPU both sides have one core. On a GPU ours computes there, the oracle stays on one core
    of the host and its batch is copied to the GPU.
    """
    arrays = random_arrays(max(sizes.batch, sizes.data_clips))
    split = PackedSplit.from_arrays(arrays, sizes.device)
    with one_thread(sizes.device):
        for stream in STREAMS:
            generator = torch.Generator().manual_seed(0)
            batches = PretrainingBatches(split, stream, sizes.batch, generator)
            yield measure(
                f"data, {stream}",
                ours=our_side(batches),
                plain=plain_side(arrays, stream, sizes),
                least=data_work(arrays, sizes.batch),
                sizes=sizes,
                ours_per=len(batches),
                note="two views of a batch, one core a side",
            )


def our_side(batches: PretrainingBatches) -> Side:
    """All batches of an epoch."""

    def _epoch() -> None:
        batches.start_epoch()
        for step in range(len(batches)):
            batches.batch(step)

    return _epoch


def plain_side(arrays: SplitArrays, stream: str, sizes: Sizes) -> Side:
    """One batch of the oracle, clip after clip."""
    feed, random = oracle("feed"), np.random.default_rng(0)
    clips = feed.PlainClips(arrays.data, arrays.num_frames, stream)
    return lambda: feed.one_batch(
        clips, random.choice(len(clips), sizes.batch, replace=False), sizes.device
    )


def data_work(arrays: SplitArrays, batch: int) -> Work:
    """Read the recorded frames of the bodies once, write two views in both layouts.

    The three products a joint are too few to count.
    """
    bodies = arrays.data.any(axis=(1, 2, 3)).sum(axis=1)  # (N,)
    read = float((bodies * arrays.num_frames).mean()) * 25 * 3
    return Work(0, FLOAT * batch * (read + 2 * view_floats(encoder_config())))
