"""Whole steps of pre-training, views included: ours as it trains, the oracle fed by workers."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import torch

from dataset.arrays import SplitArrays
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from moco import HiCo
from options.pretraining import PretrainingOptions
from tools.benchmark.measure import Row, measure
from tools.benchmark.plain import oracle, plain_model
from tools.benchmark.recordings import random_arrays
from tools.benchmark.sizes import Sizes
from tools.benchmark.step import full_step
from tools.benchmark.timing import Side
from tools.training.trainer import Trainer

CLIPS = 37_646
"""Of the published run on NTU-60 cross-view."""


def rows(sizes: Sizes) -> Iterator[Row]:
    """Measure steps in a row, from the clips in memory to the losses, as the published run."""
    arrays = random_arrays(sizes.train_clips)
    split = PackedSplit.from_arrays(arrays, sizes.device)
    for kind, precision, graph in product(sizes.train_kinds, sizes.train_precisions, sizes.graphs):
        run = sizes.run_of(kind, precision, graph)
        model = HiCo(run.encoder, run.contrast)
        plain = plain_model(model).to(sizes.device)
        row = measure(
            f"train, {kind}, {precision}{', recorded' if graph == 'auto' else ''}",
            ours=our_side(model.to(sizes.device), split, run, sizes),
            plain=plain_side(plain, arrays, run, sizes),
            least=full_step(model, run),
            sizes=sizes.few_turns,
            ours_per=sizes.train_steps,
            plain_per=sizes.train_steps,
            precision=precision,
        )
        epochs, minutes = run.training.epochs, row.ours_ms / 60e3 * (CLIPS // sizes.batch)
        whole = f"{epochs} epochs of {CLIPS:,} clips: {minutes * epochs:,.0f} min"
        yield replace(row, note=f"plain: float32, {sizes.workers} workers; {whole}")


def our_side(model: HiCo, split: PackedSplit, run: PretrainingOptions, sizes: Sizes) -> Side:
    """Steps in a row of the very trainer of pretraining.py, epoch after epoch."""
    generator = torch.Generator().manual_seed(0)
    batches = PretrainingBatches(split, run.data.stream, sizes.batch, generator)
    trainer = Trainer(model.train(), batches, run)

    def _steps() -> None:
        for step in range(sizes.train_steps):
            place = step % len(batches)
            if place == 0:
                batches.start_epoch()
            batches.seek(place)
            trainer.steps()

    return _steps


def plain_side(
    model: torch.nn.Module, arrays: SplitArrays, run: PretrainingOptions, sizes: Sizes
) -> Side:
    """As many steps of the oracle, its batches made by workers meanwhile."""
    feed, steps = oracle("feed"), oracle("step")
    clips = feed.PlainClips(arrays.data, arrays.num_frames, run.data.stream)
    batches = feed.batches_for_ever(clips, sizes.batch, sizes.workers, sizes.device)
    optimizer = steps.plain_optimizer(model)

    def _steps() -> None:
        for _ in range(sizes.train_steps):
            query, key = next(batches)
            steps.plain_step(model, optimizer, query, key)

    return _steps
