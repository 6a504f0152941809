"""The linear probe of 80 epochs: features computed once against features of every epoch."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from dataset.arrays import SplitArrays
from dataset.packed import PackedSplit
from moco import HiCo
from options.classification import ClassifierOptions, usual
from tools.benchmark.floor import probe_work
from tools.benchmark.measure import Row, measure
from tools.benchmark.plain import oracle, plain_model
from tools.benchmark.recordings import CLASSES, random_arrays
from tools.benchmark.sizes import Sizes
from tools.benchmark.timing import Side
from tools.evaluation.features import extract
from tools.evaluation.probe import LinearProbe, train_probe


def rows(sizes: Sizes) -> Iterator[Row]:
    """Measure a whole probe on few clips; both sides are linear in their number."""
    model = HiCo(sizes.run.encoder, sizes.run.contrast).eval()
    training = usual(ClassifierOptions(epochs=sizes.probe_epochs))
    parts = [random_arrays(count, seed) for seed, count in enumerate(sizes.probe_clips)]
    plain = plain_side(model, parts, training, sizes.device)
    train, test = sizes.probe_clips
    yield measure(
        "probe, Transformer",
        ours=our_side(model.to(sizes.device), parts, training, sizes.device),
        plain=plain,
        least=probe_work(model.config, sizes.probe_clips, CLASSES, training.epochs),
        sizes=sizes.few_turns,
        plain_per=1 / training.epochs,  # all are alike, so the others are counted, not run
        note=f"{train} + {test} clips; plain: 1 epoch run, x {training.epochs}",
    )


def our_side(
    model: HiCo, parts: Sequence[SplitArrays], training: ClassifierOptions, device: torch.device
) -> Side:
    """Features of both parts once, then all epochs on them."""
    train, test = (PackedSplit.from_arrays(part, device) for part in parts)
    size = model.config.feature_size

    def _probe() -> LinearProbe:
        features = [extract(model, split, "joint") for split in (train, test)]
        generator = torch.Generator().manual_seed(0)
        probe = LinearProbe(size, CLASSES, training, generator=generator, device=device)
        return train_probe(probe, features[0], train.labels, features[1], test.labels)

    return _probe


def plain_side(
    model: HiCo, parts: Sequence[SplitArrays], training: ClassifierOptions, device: torch.device
) -> Side:
    """One epoch that computes the features of both parts again."""
    plain = oracle("probe")
    network = plain_model(model).encoder_q.eval().to(device)
    plain_parts = [
        (
            plain.recomputed(network, part.data, part.num_frames, "joint"),
            torch.from_numpy(part.labels).to(device),
        )
        for part in parts
    ]
    classifier = torch.nn.Linear(model.config.feature_size, CLASSES).to(device)
    optimizer = torch.optim.SGD(classifier.parameters(), training.lr, training.momentum)
    return partial(plain.one_epoch, classifier, optimizer, plain_parts, training.batch_size)
