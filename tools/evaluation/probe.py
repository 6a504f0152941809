"""The linear probe: one linear layer trained on the features of a frozen encoder.

Axes: N clips, F = 2·G·d features of a clip, L classes.
Source: the published protocol (HiCo, AAAI 2023, arXiv:2212.02082). SGD with momentum 0.9 and
cross-entropy, the rate set once an epoch, the last partial batch kept.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from tools.evaluation.classifier import Classifier, EpochScore
from tools.evaluation.metrics import check_labels

Features = Tensor | Callable[[int], Tensor]
"""(N, F) features, or what makes those of an epoch when each epoch sees other crops."""


class LinearProbe(Classifier):
    """A classifier on features that do not change with it."""

    def run_epoch(
        self, train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor
    ) -> EpochScore:
        """Train for one epoch in a fresh order, then test; the arguments are `train_probe`'s.

        Raises:
            FloatingPointError: when the training loss is not finite.
        """
        self.set_rates()
        order = torch.randperm(len(train), generator=self.generator).to(train.device)
        for rows in order.split(self.options.batch_size):
            self.descend(train[rows], train_labels[rows])
        self.check_loss()
        with torch.no_grad():
            return self.record(self.fc(test), test_labels, len(train))


def train_probe(
    probe: LinearProbe,
    train: Features,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    after_epoch: Callable[[EpochScore], None] = lambda score: None,
) -> LinearProbe:
    """Train until the last epoch of the options.

    Args:
        probe: fresh or restored; changed in place.
        train: (N, F) features, or a function from the epoch to them.
        train_labels: (N,) classes.
        test: (N', F) features of the test part.
        test_labels: (N',) their classes.
        after_epoch: told the score of each epoch.

    Returns:
        The probe.

    Raises:
        ValueError: for features that are not finite, labels out of range, or fewer epochs than it
            has had.
        FloatingPointError: when the training loss is not finite.
    """
    _check("test", test, test_labels, probe.fc.out_features)
    if not callable(train):
        _check("training", train, train_labels, probe.fc.out_features)
    probe.check_epochs()
    train_labels, test_labels = train_labels.to(test.device), test_labels.to(test.device)
    while probe.epoch < probe.options.epochs:
        features = train(probe.epoch) if callable(train) else train
        after_epoch(probe.run_epoch(features, train_labels, test, test_labels))
    return probe


def _check(part: str, features: Tensor, labels: Tensor, classes: int) -> None:
    if not torch.isfinite(features).all():
        raise ValueError(f"the {part} features are not finite; choose another checkpoint")
    check_labels(part, labels, classes)
