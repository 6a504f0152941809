"""The linear probe of 80 epochs: features computed once against features of every epoch."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import torch

from dataset.arrays import SplitArrays
from dataset.packed import PackedSplit
from moco import EncoderConfig, HiCo
from tools.benchmark.floor import probe_work
from tools.benchmark.measure import measure
from tools.benchmark.plain import oracle
from tools.benchmark.recordings import random_arrays
from tools.benchmark.report import Row
from tools.benchmark.settings import Settings
from tools.benchmark.step import plain_model
from tools.benchmark.timing import Side
from tools.evaluation.features import extract
from tools.evaluation.probe import LinearProbe, ProbeSettings, train_probe

CLASSES = 60
TURNS = 3
"""Turns enough for a work that takes seconds."""
PLAIN_EPOCHS = 1
"""Epochs of the plain side that are run; all are alike, so the others are counted, not run."""


def rows(settings: Settings) -> Iterator[Row]:
    """Measure a whole probe on few clips; both sides are linear in their number."""
    settings = replace(settings, repetitions=min(TURNS, settings.repetitions))
    config = EncoderConfig("Transformer", settings.hidden_size)
    model = HiCo(config, queue_size=settings.queue_size).eval()
    parts = [random_arrays(count, CLASSES, seed) for seed, count in enumerate(settings.probe_clips)]
    plain = plain_side(model, parts, settings)
    train, test = settings.probe_clips
    yield measure(
        "probe, Transformer",
        our_side(model.to(settings.device), parts, settings),
        plain,
        probe_work(config, settings.probe_clips, CLASSES, settings.probe_epochs),
        settings,
        plain_per=PLAIN_EPOCHS / settings.probe_epochs,
        note=f"{train} + {test} clips; plain: {PLAIN_EPOCHS} epoch run, x {settings.probe_epochs}",
    )


def our_side(model: HiCo, parts: list[SplitArrays], settings: Settings) -> Side:
    """Features of both parts once, then all epochs on them."""
    splits = [PackedSplit.from_arrays(part, settings.device) for part in parts]
    return partial(_our_probe, model, splits, settings)


def plain_side(model: HiCo, parts: list[SplitArrays], settings: Settings) -> Side:
    """One epoch that computes the features of both parts again."""
    plain = oracle("probe")
    network = plain_model(model).encoder_q.eval().to(settings.device)
    features = [plain.recomputed(network, p.data, p.num_frames, "joint") for p in parts]
    labels = [torch.from_numpy(part.labels).to(settings.device) for part in parts]
    classifier = torch.nn.Linear(model.config.feature_size, CLASSES).to(settings.device)
    recipe = ProbeSettings()
    optimizer = torch.optim.SGD(classifier.parameters(), recipe.lr, recipe.momentum)

    def _epochs() -> None:
        for _ in range(PLAIN_EPOCHS):
            order = torch.randperm(len(labels[0])).tolist()
            plain.learn(classifier, optimizer, features[0], labels[0], order, recipe.batch_size)
            plain.score(classifier, features[1], labels[1], recipe.batch_size)

    return _epochs


def _our_probe(model: HiCo, splits: list[PackedSplit], settings: Settings) -> LinearProbe:
    train, test = (extract(model, split, "joint") for split in splits)
    probe = LinearProbe(
        model.config.feature_size,
        CLASSES,
        ProbeSettings(epochs=settings.probe_epochs),
        torch.Generator().manual_seed(0),
        settings.device,
    )
    return train_probe(probe, train, splits[0].labels, test, splits[1].labels)
