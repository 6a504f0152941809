"""Two random views of a batch, each stream: batched against one clip after the other."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch

from dataset.arrays import SplitArrays
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from dataset.protocols import STREAMS
from moco import EncoderConfig
from tools.benchmark.floor import FLOAT, Work, view_floats
from tools.benchmark.measure import measure
from tools.benchmark.plain import oracle
from tools.benchmark.recordings import random_arrays
from tools.benchmark.report import Row
from tools.benchmark.settings import Settings
from tools.benchmark.timing import Side, one_thread


def rows(settings: Settings) -> Iterator[Row]:
    """Measure two views of a batch for joint, motion and bone.

    On a CPU both sides have one core. On a GPU ours computes there, the oracle stays on one core
    of the host and its batch is copied to the GPU.
    """
    arrays = random_arrays(max(settings.batch, settings.data_clips))
    split = PackedSplit.from_arrays(arrays, settings.device)
    with one_thread(settings.device):
        for stream in STREAMS:
            batches = PretrainingBatches(
                split, stream, settings.batch, torch.Generator().manual_seed(0)
            )
            yield measure(
                f"data, {stream}",
                partial(_one_epoch, batches),
                plain_batch(arrays, stream, settings),
                data_work(arrays, settings.batch),
                settings,
                ours_per=len(batches),
                note="two views of a batch, one core a side",
            )


def plain_batch(arrays: SplitArrays, stream: str, settings: Settings) -> Side:
    """The oracle's side: draw, cut and lay out each clip of a batch alone, then collate."""
    return partial(
        _plain_batch,
        oracle("augment").two_views,
        arrays,
        stream,
        settings,
        np.random.default_rng(0),
    )


def _plain_batch(
    two_views: Callable[..., tuple],
    arrays: SplitArrays,
    stream: str,
    settings: Settings,
    random: np.random.Generator,
) -> list[torch.Tensor]:
    """Query time, query space, key time, key space, each (batch, tokens, features)."""
    clips = random.choice(len(arrays.names), settings.batch, replace=False)
    made = [two_views(arrays.data[i], int(arrays.num_frames[i]), stream, random) for i in clips]
    parts = zip(*(query + key for query, key in made), strict=True)
    stacked = (torch.stack([torch.from_numpy(clip) for clip in part]) for part in parts)
    return [part.to(settings.device) for part in stacked]


def data_work(arrays: SplitArrays, batch: int) -> Work:
    """Read the recorded frames of the bodies once, write two views in both layouts.

    The three products a joint are too few to count.
    """
    bodies = arrays.data.any(axis=(1, 2, 3)).sum(axis=1)  # (N,)
    read = float((bodies * arrays.num_frames).mean()) * 25 * 3
    return Work(0, FLOAT * batch * (read + 2 * view_floats(EncoderConfig())))


def _one_epoch(batches: PretrainingBatches) -> None:
    batches.start_epoch()
    for step in range(len(batches)):
        batches.batch(step)
