"""A classifier in training: what the linear probe and fine-tuning share, and the files they keep.

Axes: N clips, F = 2·G·d features of a clip, L classes.
Test accuracy is taken after each epoch. The metric the paper reports is that of the best epoch,
which the test part has chosen; the last epoch is chosen by nobody.
"""

import copy
import math
import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from options.classification import ClassifierOptions
from tools.checkpoint import read, save_whole
from tools.evaluation.metrics import top_k_accuracy
from tools.training.schedule import learning_rate

Payload = dict[str, Any]

SECONDS_BETWEEN_SAVES = 30.0
INITIAL_DEVIATION = 0.01
LEARNING = ("lr", "schedule", "cos", "momentum", "weight_decay")
"""Options that a classifier to go on with must share."""


class EpochScore(NamedTuple):
    """One epoch: mean training loss in nats; accuracy on the test part in percent."""

    epoch: int
    train_loss: float
    top1: float
    top5: float

    def __str__(self) -> str:
        accuracies = f"top-1 {self.top1:.2f} %, top-5 {self.top5:.2f} %"
        return f"epoch {self.epoch}: loss {self.train_loss:.4f}, {accuracies}"


class Classifier:
    """A linear layer that learns, with everything an exact resume needs; subclasses train it.

    Attributes:
        fc: the layer, F -> L.
        modules: all that learns, by the prefix of its names in files.
        optimizer: of the modules. A group may have a rate of its own, "base".
        history: the score of every finished epoch.
        batch: the batch that comes next in the epoch in hand.
    """

    def __init__(
        self,
        feature_size: int,
        classes: int,
        options: ClassifierOptions,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> None:
        """Draw a fresh layer: weights from N(0, 0.01²), bias 0.

        Args:
            feature_size: F.
            classes: L.
            options: how it learns, filled in by `options.classification.usual`.
            generator: of the CPU; draws the weights now and each epoch's order later.
            device: where the features are.
        """
        self.options, self.generator, self.device = options, generator, torch.device(device)
        fc = nn.utils.skip_init(nn.Linear, feature_size, classes)
        nn.init.normal_(fc.weight, std=INITIAL_DEVIATION, generator=generator)
        nn.init.zeros_(fc.bias)
        self.fc = fc.to(device)
        self.modules, self.optimizer = self._learning()
        self.history: list[EpochScore] = []
        self.batch = 0
        self._loss = torch.zeros((), dtype=torch.float64, device=device)  # sum over the epoch
        self._best: Payload = {}

    def _learning(self) -> tuple[dict[str, nn.Module], torch.optim.Optimizer]:
        """What learns, and how: as published the layer alone. A subclass may say otherwise."""
        optimizer = torch.optim.SGD(
            self.fc.parameters(),
            self.options.lr,
            momentum=self.options.momentum,
            weight_decay=self.options.weight_decay,
        )
        return {"fc": self.fc}, optimizer

    @property
    def epoch(self) -> int:
        """The epoch in hand, or the one that comes next."""
        return self.history[-1].epoch + 1 if self.history else self.options.start_epoch

    @property
    def last(self) -> EpochScore:
        """The last epoch: the headline, chosen without a look at the test part."""
        return self.history[-1]

    @property
    def best(self) -> EpochScore:
        """The first epoch of the highest top-1: the metric the paper reports."""
        return max(self.history, key=lambda score: score.top1)

    def check_epochs(self) -> None:
        """Refuse what has had more epochs than asked for, by a ValueError.

        One that has had them all, and was killed before its results were written, gives them.
        """
        epochs = self.options.epochs
        if self.epoch > epochs:
            had = f"the classifier has had {self.epoch}"
            raise ValueError(f"--epochs {epochs}: {had}; ask for more")

    def set_rates(self) -> None:
        """Set the rates of the epoch in hand."""
        plan = self.options
        for group in self.optimizer.param_groups:
            base = group.get("base", plan.lr)
            group["lr"] = learning_rate(base, self.epoch, plan.epochs, plan.schedule, plan.cos)

    def descend(self, features: Tensor, labels: Tensor) -> None:
        """Take one step of gradient descent on (B, F) features and (B,) classes."""
        loss = F.cross_entropy(self.fc(features), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self._loss += loss.detach() * len(labels)  # read seldom: that waits for the device

    def check_loss(self) -> None:
        """Stop a training whose loss is not finite, by a FloatingPointError."""
        loss = self._loss.item()
        if not math.isfinite(loss):
            where = f", by batch {self.batch}" if self.batch else ""
            raise FloatingPointError(
                f"the training loss is {loss} in epoch {self.epoch}{where}; "
                f"choose --lr below {self.options.lr:g}"
            )

    def record(self, scores: Tensor, labels: Tensor, clips: int) -> EpochScore:
        """Record an epoch that has learnt from so many clips; the next one comes next.

        Args:
            scores: (N, L) of the test part.
            labels: (N,) its classes.
            clips: of the training part, that the epoch has seen.
        """
        top1, top5 = (top_k_accuracy(scores, labels, k).item() for k in (1, 5))
        self.history.append(EpochScore(self.epoch, self._loss.item() / clips, top1, top5))
        self.batch = 0
        self._loss.zero_()
        if self.best is self.last:
            self._best = copy.deepcopy(self._snapshot())
        return self.last

    def _snapshot(self) -> Payload:
        """Everything as it is, in the layout of a checkpoint."""
        return {
            "epoch": self.epoch,
            "state_dict": {
                f"{prefix}.{name}": value
                for prefix, module in self.modules.items()
                for name, value in module.state_dict().items()
            },
            "optimizer": self.optimizer.state_dict(),
            "best_acc1": self.best.top1 if self.history else None,
            "history": [tuple(score) for score in self.history],
            "generator": self.generator.get_state(),
        }

    def best_state(self) -> Payload:
        """Everything as it was after the best epoch; empty before the first."""
        return self._best

    def last_state(self) -> Payload:
        """Everything as it is, the best within."""
        return self._snapshot() | {"best": self._best}

    def restore(self, payload: Payload, path: Path) -> None:
        """Go on exactly where a saved classifier stopped; rates and decay are those of the options.

        Args:
            payload: what `last_state` returned; of `best_state`, the best is where it stopped.
            path: where it was read, for messages.

        Raises:
            ValueError: when it is not a saved classifier of this shape.
        """
        try:
            self._restore(payload)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} is not a classifier to go on from ({reason})") from None

    def _restore(self, payload: Payload) -> None:
        for prefix, module in self.modules.items():
            start = f"{prefix}."
            given = payload["state_dict"].items()
            module.load_state_dict(
                {name.removeprefix(start): x for name, x in given if name.startswith(start)}
            )
        groups = self.optimizer.state_dict()["param_groups"]
        momentum = {"state": payload["optimizer"]["state"], "param_groups": groups}
        self.optimizer.load_state_dict(momentum)
        self.generator.set_state(payload["generator"])
        self.history = [EpochScore(*score) for score in payload["history"]]
        self._best = payload.get("best", payload)


class ClassifierFiles:
    """Where the best and the last classifier of one training are kept, and whose they are.

    Attributes:
        best: file of the classifier after its best epoch.
        last: file to go on from.
    """

    def __init__(
        self, folder: Path, name: str, identity: Payload, about: Payload | None = None
    ) -> None:
        """Name the files; the folder is made, so that a bad one is found before the training.

        Args:
            folder: of both files.
            name: what the files' names begin with: the stream, as published.
            identity: plain values that say which encoder and data the classifier belongs to.
            about: what somebody who uses the classifier needs beside it.

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
        self._marks = {"identity": identity, "about": about or {}}
        self._saved = time.monotonic()

    def save(self, classifier: Classifier, now: bool = True) -> None:
        """Write both files; with `now` false only when the last time is long ago."""
        if not now and time.monotonic() - self._saved < SECONDS_BETWEEN_SAVES:
            return
        if best := classifier.best_state():
            save_whole(best | self._marks, self.best)
        save_whole(classifier.last_state() | self._marks, self.last)
        self._saved = time.monotonic()

    def resume(self, classifier: Classifier, path: Path) -> None:
        """Restore a classifier that an earlier call saved.

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
            if name in LEARNING and name not in theirs:
                continue  # an older file does not say
            if theirs.get(name) != self.identity.get(name):
                raise ValueError(
                    f"{path} belongs to {name} {theirs.get(name)}, not {self.identity.get(name)}; "
                    "leave --resume out to start anew"
                )
        classifier.restore(payload, path)
