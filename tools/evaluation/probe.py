"""The linear probe: one linear layer trained on the features of a frozen encoder.

Axes: N clips, F = 2·G·d features of a clip, L classes.
Source: the published protocol (HiCo, AAAI 2023, arXiv:2212.02082). Weights start from N(0, 0.01²),
bias from 0; SGD with momentum 0.9 and cross-entropy, the rate set once an epoch, the last partial
batch kept; test accuracy after each epoch. The published figure is that of the best epoch, which
the test part has chosen; the last epoch is chosen by nobody.
"""

import copy
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tools.checkpoint import RANDOM, read, save_whole
from tools.evaluation.metrics import top_k_accuracy
from tools.training.schedule import learning_rate

Payload = dict[str, Any]
Features = Tensor | Callable[[int], Tensor]
"""(N, F) features, or what makes those of an epoch when each epoch sees other crops."""

SECONDS_BETWEEN_SAVES = 30.0
INITIAL_DEVIATION = 0.01


@dataclass(frozen=True)
class ProbeSettings:
    """How the classifier learns; the defaults are the published run.

    Attributes:
        epochs: passes over the training features, counted from `start_epoch`'s zero.
        start_epoch: number of the first epoch of a fresh classifier.
        batch_size: clips a step.
        lr: learning rate of epoch 0.
        schedule: epochs at which it falls to a tenth.
        momentum: of the gradient descent.
        weight_decay: on weight and bias.
    """

    epochs: int = 80
    start_epoch: int = 0
    batch_size: int = 1024
    lr: float = 2.0
    schedule: tuple[int, ...] = (50, 70)
    momentum: float = 0.9
    weight_decay: float = 0.0


class EpochScore(NamedTuple):
    """One epoch: mean training loss in nats; accuracy on the test part in percent."""

    epoch: int
    train_loss: float
    top1: float
    top5: float

    def __str__(self) -> str:
        accuracies = f"top-1 {self.top1:.2f} %, top-5 {self.top5:.2f} %"
        return f"epoch {self.epoch}: loss {self.train_loss:.4f}, {accuracies}"


def linear_classifier(feature_size: int, classes: int, generator: torch.Generator) -> nn.Linear:
    """A fresh classifier F -> L on the CPU: weights from N(0, 0.01²), bias 0."""
    fc = nn.utils.skip_init(nn.Linear, feature_size, classes)
    nn.init.normal_(fc.weight, std=INITIAL_DEVIATION, generator=generator)
    nn.init.zeros_(fc.bias)
    return fc


class Learner(Protocol):
    """A classifier in training whose files `ProbeFiles` keeps."""

    def best_state(self) -> Payload:
        """The classifier as it was after its best epoch."""

    def last_state(self) -> Payload:
        """All that going on needs."""

    def restore(self, payload: Payload, path: Path) -> None:
        """Go on where a saved classifier stopped."""


class LinearProbe:
    """A linear classifier in training, with everything an exact resume needs.

    Attributes:
        fc: the classifier.
        history: the score of every epoch so far.
    """

    def __init__(
        self,
        feature_size: int,
        classes: int,
        settings: ProbeSettings,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> None:
        """Draw a fresh classifier.

        Args:
            feature_size: F.
            classes: L.
            settings: how it will learn.
            generator: of the CPU; draws the weights now and each epoch's order later.
            device: where the features are.
        """
        self.settings = settings
        self.generator = generator
        self.fc = linear_classifier(feature_size, classes, generator).to(device)
        self.optimizer = torch.optim.SGD(
            self.fc.parameters(),
            settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        self.history: list[EpochScore] = []
        self._best: Payload = {}

    @property
    def epoch(self) -> int:
        """The epoch that comes next."""
        return self.history[-1].epoch + 1 if self.history else self.settings.start_epoch

    @property
    def last(self) -> EpochScore:
        """The last epoch: the headline, chosen without a look at the test part."""
        return self.history[-1]

    @property
    def best(self) -> EpochScore:
        """The first epoch of the highest top-1: the published figure."""
        return max(self.history, key=lambda score: score.top1)

    def run_epoch(
        self, train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor
    ) -> EpochScore:
        """Train for one epoch, then test; changes the classifier and its history.

        Args:
            train: (N, F) features.
            train_labels: (N,) classes.
            test: (N', F) features of the test part.
            test_labels: (N',) their classes.

        Raises:
            FloatingPointError: when the training loss is not finite.
        """
        epoch = self.epoch
        loss = self._train(epoch, train, train_labels).item()
        if not math.isfinite(loss):
            rate = self._rate(epoch)
            raise FloatingPointError(
                f"the training loss is {loss} in epoch {epoch}; choose --lr below {rate:g}"
            )
        with torch.no_grad():
            scores = self.fc(test)
            top1, top5 = (top_k_accuracy(scores, test_labels, k).item() for k in (1, 5))
        self.history.append(EpochScore(epoch, loss, top1, top5))
        if self.best is self.last:
            self._best = copy.deepcopy(self._snapshot())
        return self.last

    def _rate(self, epoch: int) -> float:
        return learning_rate(self.settings.lr, epoch, self.settings.epochs, self.settings.schedule)

    def _train(self, epoch: int, train: Tensor, labels: Tensor) -> Tensor:
        """One pass in a fresh order; the mean loss stays on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(epoch)
        order = torch.randperm(len(train), generator=self.generator).to(train.device)
        total = torch.zeros((), dtype=torch.float64, device=train.device)
        for rows in order.split(self.settings.batch_size):
            loss = F.cross_entropy(self.fc(train[rows]), labels[rows])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(rows)
        return total / len(train)

    def _snapshot(self) -> Payload:
        return {
            "epoch": self.epoch,
            "state_dict": {f"fc.{name}": value for name, value in self.fc.state_dict().items()},
            "optimizer": self.optimizer.state_dict(),
            "best_acc1": self.best.top1,
            "history": [tuple(score) for score in self.history],
            "generator": self.generator.get_state(),
        }

    def best_state(self) -> Payload:
        """The classifier as it was after its best epoch, in the layout of a checkpoint."""
        return self._best

    def last_state(self) -> Payload:
        """The classifier as it is, the best one within."""
        return self._snapshot() | {"best": self._best}

    def restore(self, payload: Payload, path: Path) -> None:
        """Go on exactly where a saved classifier stopped.

        Args:
            payload: what `last_state` returned; of `best_state`, the best is where it stopped.
            path: where it was read, for messages.

        Raises:
            ValueError: when it is not a saved classifier of this shape.
        """
        with going_on_from(path, "classifier"):
            weights = {name: payload["state_dict"][f"fc.{name}"] for name in ("weight", "bias")}
            self.fc.load_state_dict(weights)
            restore_optimizer_state(self.optimizer, payload)
            self.generator.set_state(payload["generator"])
            self.history = [EpochScore(*score) for score in payload["history"]]
            self._best = payload.get("best") or {k: v for k, v in payload.items() if k != "best"}


@contextmanager
def going_on_from(path: Path, what: str) -> Iterator[None]:
    """Turn what a payload of another shape raises into one ValueError that names its file.

    Args:
        path: where the payload was read.
        what: it should be.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} is not a {what} to go on from ({reason})") from None


def restore_optimizer_state(optimizer: torch.optim.Optimizer, payload: Payload) -> None:
    """Give an optimiser its momentum back; rates and decay stay as the options say."""
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": payload["optimizer"]["state"], "param_groups": groups})


def train_probe(
    probe: LinearProbe,
    train: Features,
    train_labels: Tensor,
    test: Tensor,
    test_labels: Tensor,
    after_epoch: Callable[[EpochScore], None] = lambda score: None,
) -> LinearProbe:
    """Train until the last epoch of the settings.

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
        ValueError: for features that are not finite, labels out of range, or no epoch to run.
        FloatingPointError: when the training loss is not finite.
    """
    classes = probe.fc.out_features
    _check("test", test, test_labels, classes)
    if not callable(train):
        _check("training", train, train_labels, classes)
    if probe.epoch >= probe.settings.epochs:
        raise ValueError(
            f"--epochs {probe.settings.epochs}: the classifier has had {probe.epoch}; ask for more"
        )
    train_labels, test_labels = train_labels.to(test.device), test_labels.to(test.device)
    while probe.epoch < probe.settings.epochs:
        features = train(probe.epoch) if callable(train) else train
        after_epoch(probe.run_epoch(features, train_labels, test, test_labels))
    return probe


def check_labels(part: str, labels: Tensor, classes: int) -> None:
    """Refuse labels that the data set does not have.

    Raises:
        ValueError: naming the part, the highest label and the number of classes.
    """
    highest = int(labels.max())
    if highest >= classes:
        raise ValueError(
            f"the {part} labels go up to {highest}, the data set has {classes} classes; "
            "prepare the data set again"
        )


def _check(part: str, features: Tensor, labels: Tensor, classes: int) -> None:
    if not torch.isfinite(features).all():
        raise ValueError(f"the {part} features are not finite; choose another checkpoint")
    check_labels(part, labels, classes)


class ProbeFiles:
    """Where the best and the last classifier of one training are kept, and whose they are.

    Attributes:
        best: file of the classifier after its best epoch.
        last: file to go on from.
    """

    def __init__(self, folder: Path, name: str, identity: Payload) -> None:
        """Name the files; the folder is made, so that a bad one is found before the training.

        Args:
            folder: as `probe_folder` names it.
            name: what the files' names begin with: the stream, as published.
            identity: plain values that say which encoder and data the classifier belongs to.

        Raises:
            PermissionError: when nothing can be written there.
        """
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(
                f"{folder} is read-only, and the classifier goes beside its checkpoint; "
                "copy the checkpoint to a folder of your own"
            )
        self.best = folder / f"{name}_model_best.pth.tar"
        self.last = folder / f"{name}_model_last.pth.tar"
        self.identity = identity
        self._saved = time.monotonic()

    def save(self, probe: Learner, now: bool = True) -> None:
        """Write both files; with `now` false only when the last time is long ago."""
        if not now and time.monotonic() - self._saved < SECONDS_BETWEEN_SAVES:
            return
        if best := probe.best_state():
            save_whole(best | {"identity": self.identity}, self.best)
        save_whole(probe.last_state() | {"identity": self.identity}, self.last)
        self._saved = time.monotonic()

    def resume(self, probe: Learner, path: Path) -> None:
        """Restore a probe that an earlier run saved.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it belongs to another encoder, other data or another layout.
        """
        if not path.is_file():
            raise FileNotFoundError(f"no classifier at {path}; leave --resume out to start anew")
        payload = read(path)
        theirs = payload.pop("identity", None)
        if not isinstance(theirs, dict):
            raise ValueError(f"{path} is not a classifier of action_classification.py")
        for name in self.identity | theirs:
            if theirs.get(name) != self.identity.get(name):
                raise ValueError(
                    f"{path} belongs to {name} {theirs.get(name)}, not {self.identity.get(name)}; "
                    "leave --resume out to start anew"
                )
        probe.restore(payload, path)


def probe_folder(pretrained: str) -> Path:
    """Where classifiers on this encoder go: beside its checkpoint, never the working folder."""
    return Path("checkpoints") / RANDOM if pretrained == RANDOM else Path(pretrained).parent
