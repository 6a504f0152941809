"""Whole steps of pre-training, views included: ours as it trains, the oracle fed by workers."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import torch

from dataset.arrays import SplitArrays
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from moco import EncoderConfig, HiCo
from tools.benchmark.measure import measure
from tools.benchmark.plain import oracle
from tools.benchmark.recordings import random_arrays
from tools.benchmark.report import Row
from tools.benchmark.settings import Settings
from tools.benchmark.step import RATES, full_step, in_float32, plain_model
from tools.benchmark.timing import Side
from tools.runtime import set_precision
from tools.training.trainer import Plan, Trainer

CLIPS, EPOCHS = 37_646, 451
"""Of the published run on NTU-60 cross-view."""
STREAM = "joint"
TURNS = 3
"""Turns enough for a work of many steps."""


def rows(settings: Settings) -> Iterator[Row]:
    """Measure steps in a row, from the clips in memory to the losses, as the published run."""
    settings = replace(settings, repetitions=min(TURNS, settings.repetitions))
    arrays = random_arrays(settings.train_clips)
    split = PackedSplit.from_arrays(arrays, settings.device)
    for kind in settings.train_kinds:
        for precision in settings.train_precisions:
            yield _row(kind, precision, arrays, split, settings)


def _row(
    kind: str, precision: str, arrays: SplitArrays, split: PackedSplit, settings: Settings
) -> Row:
    model = HiCo(EncoderConfig(kind, settings.hidden_size), queue_size=settings.queue_size)
    plain = plain_model(model)
    row = measure(
        f"train, {kind}, {precision}",
        our_side(model.to(settings.device), split, precision, settings),
        plain_side(plain.to(settings.device), arrays, settings),
        full_step(model, settings),
        settings,
        ours_per=settings.train_steps,
        plain_per=settings.train_steps,
        precision=precision,
    )
    minutes = row.ours_ms / 60e3 * (CLIPS // settings.batch) * EPOCHS
    fed = f"plain: float32, {settings.workers} workers"
    return replace(row, note=f"{fed}; {EPOCHS} epochs of {CLIPS:,} clips: {minutes:,.0f} min")


def our_side(model: HiCo, split: PackedSplit, precision: str, settings: Settings) -> Side:
    """Steps in a row of the very trainer of pretraining.py, epoch after epoch."""
    generator = torch.Generator().manual_seed(0)
    batches = PretrainingBatches(split, STREAM, settings.batch, generator)
    lr, momentum, decay = RATES
    plan = Plan(EPOCHS, lr, momentum=momentum, weight_decay=decay, precision=precision)
    trainer = Trainer(model.train(), batches, plan, Path(), {})
    return partial(_our_steps, trainer, settings)


def _our_steps(trainer: Trainer, settings: Settings) -> None:
    set_precision(trainer.plan.precision, settings.device)
    for step in range(settings.train_steps):
        place = step % len(trainer.batches)
        if place == 0:
            trainer.batches.start_epoch()
        trainer.batches.seek(place)
        trainer.steps()


def plain_side(model: torch.nn.Module, arrays: SplitArrays, settings: Settings) -> Side:
    """As many steps of the oracle, its batches made by workers meanwhile."""
    feed, steps = oracle("feed"), oracle("step")
    clips = feed.PlainClips(arrays.data, arrays.num_frames, STREAM)
    batches = feed.batches_for_ever(clips, settings.batch, settings.workers, settings.device)
    optimizer = steps.plain_optimizer(model, *RATES)
    return in_float32(partial(_plain_steps, steps, model, optimizer, batches, settings), settings)


def _plain_steps(
    steps: ModuleType,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple],
    settings: Settings,
) -> None:
    for _ in range(settings.train_steps):
        query, key = next(batches)
        steps.plain_step(model, optimizer, query, key)
