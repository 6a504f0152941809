"""Nearest training clips of each test clip: ours against scikit-learn's brute force."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from tools.benchmark.floor import FLOAT, knn_work
from tools.benchmark.measure import Row, measure
from tools.benchmark.plain import oracle
from tools.benchmark.recordings import CLASSES
from tools.benchmark.sizes import Sizes
from tools.benchmark.timing import Side
from tools.evaluation.neighbours import rank


def rows(sizes: Sizes) -> Iterator[Row]:
    """Measure the look-up of all test clips at once.

    Ours ranks the whole gallery for the mean average precision too; scikit-learn looks up one
    neighbour, on the host whatever the device.
    """
    train, test = sizes.knn_clips
    size = sizes.run.encoder.feature_size
    features, labels = random_features(train + test, size)
    beside = FLOAT * (train + test) * size / 2**20
    yield measure(
        "knn, all clips",
        ours=our_side(features.to(sizes.device), labels.to(sizes.device), train),
        plain=plain_side(features, train),
        least=knn_work(train, test, size),
        sizes=sizes.few_turns,
        note=f"{train:,} x {test:,} clips; the features are {beside:,.0f} MiB; plain: "
        "scikit-learn, the nearest clip alone",
    )


def random_features(clips: int, size: int) -> tuple[Tensor, Tensor]:
    """Draw features as a network makes them: not negative, those of a class close together.

    Returns:
        (clips, size) float32 features and (clips,) classes, on the CPU.
    """
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (clips,), generator=generator)
    centres = torch.randn(CLASSES, size, generator=generator)
    features = torch.randn(clips, size, generator=generator)
    for part, classes in zip(features.split(1024), labels.split(1024), strict=True):
        part.add_(centres[classes]).relu_()
    return features, labels


def our_side(features: Tensor, labels: Tensor, train: int) -> Side:
    """Five neighbours and average precisions; the first `train` clips are the gallery."""
    gallery = features[:train], labels[:train]
    return partial(rank, *gallery, test=features[train:], test_labels=labels[train:], most=5)


def plain_side(features: Tensor, train: int) -> Side:
    """The (Q, 1) nearest clips alone."""
    nearest, numbers = oracle("neighbours").nearest, features.numpy()
    return lambda: nearest(numbers[:train], numbers[train:])
