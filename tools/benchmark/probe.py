"""The linear probe of 80 epochs: features computed once against features of every epoch."""

from collections.abc import Iterator, Sequence

import torch

from dataset.arrays import SplitArrays
from dataset.packed import PackedSplit
from moco import HiCo
from options.classification import ClassifierOptions, usual
from tools.benchmark.floor import probe_work
from tools.benchmark.measure import Row, measure
from tools.benchmark.plain import oracle, plain_model
from tools.benchmark.recordings import random_arrays
from tools.benchmark.sizes import Sizes
from tools.benchmark.timing import Side
from tools.evaluation.features import extract
from tools.evaluation.probe import LinearProbe, train_probe

CLASSES = 60
TURNS = 3
"""Turns enough for a work that takes seconds."""
PLAIN_EPOCHS = 1
"""Epochs of the plain side that are run; all are alike, so the others are counted, not run."""


def rows(sizes: Sizes) -> Iterator[Row]:
    """Measure a whole probe on few clips; both sides are linear in their number."""
    model = HiCo(sizes.run.encoder, sizes.run.contrast).eval()
    training = usual(ClassifierOptions(epochs=sizes.probe_epochs))
    train, test = (random_arrays(n, CLASSES, seed) for seed, n in enumerate(sizes.probe_clips))
    plain = plain_side(model, train, test, training, sizes.device)
    yield measure(
        "probe, Transformer",
        ours=our_side(model.to(sizes.device), (train, test), training, sizes.device),
        plain=plain,
        least=probe_work(model.config, sizes.probe_clips, CLASSES, training.epochs),
        sizes=sizes.at_most(TURNS),
        plain_per=PLAIN_EPOCHS / training.epochs,
        note=f"{len(train.names)} + {len(test.names)} clips; plain: {PLAIN_EPOCHS} epoch run, "
        f"x {training.epochs}",
    )


def our_side(
    model: HiCo, parts: Sequence[SplitArrays], training: ClassifierOptions, device: torch.device
) -> Side:
    """Features of both parts once, then all epochs on them."""
    train, test = (PackedSplit.from_arrays(part, device) for part in parts)

    def _probe() -> LinearProbe:
        features = [extract(model, split, "joint") for split in (train, test)]
        probe = LinearProbe(
            model.config.feature_size,
            CLASSES,
            training,
            generator=torch.Generator().manual_seed(0),
            device=device,
        )
        return train_probe(probe, features[0], train.labels, features[1], test.labels)

    return _probe


def plain_side(
    model: HiCo,
    train: SplitArrays,
    test: SplitArrays,
    training: ClassifierOptions,
    device: torch.device,
) -> Side:
    """One epoch that computes the features of both parts again."""
    plain = oracle("probe")
    network = plain_model(model).encoder_q.eval().to(device)
    features = [plain.recomputed(network, p.data, p.num_frames, "joint") for p in (train, test)]
    labels = [torch.from_numpy(part.labels).to(device) for part in (train, test)]
    classifier = torch.nn.Linear(model.config.feature_size, CLASSES).to(device)
    optimizer = torch.optim.SGD(classifier.parameters(), training.lr, training.momentum)
    batch = training.batch_size

    def _epochs() -> None:
        for _ in range(PLAIN_EPOCHS):
            order = torch.randperm(len(labels[0])).tolist()
            plain.learn(classifier, optimizer, features[0], labels[0], order, batch)
            plain.score(classifier, features[1], labels[1], batch)

    return _epochs
