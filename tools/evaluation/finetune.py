"""Fine-tuning: the encoder and a new classifier on it, trained together on labelled clips.

Axes: N clips, F = 2·G·d features of a clip, L classes.
A run is fixed by its seed, to the last bit on the CPU, interrupted or not: order and crops come
from one generator, dropout from torch's own, and both go into the files.
Source: the recipe of CMD (its code and data files are HiCo's kin): SGD 0.9, rate 0.01, no decay,
batch 64, 80 epochs, a tenth at 50 and 70; HiCo's own recipe is not published.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset.batches import LabelledBatches
from moco import HiCo, Views
from moco.encoders.hierarchical import HierarchicalEncoder
from tools.evaluation.metrics import top_k_accuracy
from tools.evaluation.probe import (
    EpochScore,
    Payload,
    going_on_from,
    linear_classifier,
    restore_optimizer_state,
)
from tools.runtime import random_states, restore_random
from tools.training.schedule import learning_rate

OPTIMIZERS = ("sgd", "adamw")
LAYERS = ("embedding.", "downsample.", "sequence.")
"""Modules of a branch from the input up; the layers of the last count one by one."""


@dataclass(frozen=True)
class FinetuneSettings:
    """How encoder and classifier learn; the defaults are CMD's recipe.

    Attributes:
        epochs: passes over the labelled clips, counted from 0.
        start_epoch: number of the first epoch of a fresh run.
        batch_size: clips a step.
        lr: learning rate of epoch 0, where the next two do not say otherwise.
        encoder_lr: that of the encoder's last layer.
        head_lr: that of the classifier.
        schedule: epochs at which the rates fall to a tenth.
        cos: the cosine in place of `schedule`.
        momentum: of "sgd".
        weight_decay: on every parameter with "sgd", on matrices only with "adamw".
        optimizer: "sgd" or "adamw".
        layer_decay: each layer of the encoder learns at this share of the one above it.
        encoder_mode: "train", or "eval" without dropout.
        print_freq: batches between two looks at the loss.
    """

    epochs: int = 80
    start_epoch: int = 0
    batch_size: int = 64
    lr: float = 0.01
    encoder_lr: float | None = None
    head_lr: float | None = None
    schedule: tuple[int, ...] = (50, 70)
    cos: bool = False
    momentum: float = 0.9
    weight_decay: float = 0.0
    optimizer: str = "sgd"
    layer_decay: float = 1.0
    encoder_mode: str = "train"
    print_freq: int = 10


def layer_of(name: str, config_layers: int) -> int:
    """Which layer of the encoder a parameter belongs to, counted from the input.

    Args:
        name: as HierarchicalEncoder.named_parameters says it.
        config_layers: layers of its sequence encoder.

    Returns:
        0 embedding, 1 downsampling, 2 the first layer of the sequence encoder, and so on.
    """
    _, inside = name.split(".", 1)  # without the branch: both branches are of one depth
    depth = next(depth for depth, module in enumerate(LAYERS) if inside.startswith(module))
    if depth < len(LAYERS) - 1:
        return depth
    for layer in reversed(range(config_layers)):
        if inside.startswith(f"sequence.layers.{layer}.") or f"_l{layer}" in inside:
            return depth + layer
    raise ValueError(f"the encoder has no layer for {name}")


def make_optimizer(
    encoder: HierarchicalEncoder, fc: nn.Linear, settings: FinetuneSettings
) -> torch.optim.Optimizer:
    """Build the optimiser over encoder and classifier.

    Returns:
        An optimiser; each of its groups has its rate of epoch 0 under "base".

    Raises:
        ValueError: for another optimiser.
    """
    if settings.optimizer not in OPTIMIZERS:
        raise ValueError(f"--optimizer {settings.optimizer}: known are {', '.join(OPTIMIZERS)}")
    adam, layers = settings.optimizer == "adamw", encoder.config.num_layers
    encoder_rate = settings.lr if settings.encoder_lr is None else settings.encoder_lr
    head_rate = settings.lr if settings.head_lr is None else settings.head_lr
    top = len(LAYERS) - 1 + layers  # layers of the encoder; the classifier lies above them
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}

    def _add(parameter: nn.Parameter, rate: float) -> None:
        # AdamW leaves biases and norms without decay, as MAMP and others use it.
        decay = settings.weight_decay if parameter.dim() > 1 or not adam else 0.0
        groups.setdefault((rate, decay), []).append(parameter)

    for parameter in fc.parameters():
        _add(parameter, head_rate)
    for name, parameter in encoder.named_parameters():
        below = top - 1 - layer_of(name, layers)
        _add(parameter, encoder_rate * settings.layer_decay**below)
    described = [
        {"params": parameters, "lr": rate, "base": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
    if adam:
        return torch.optim.AdamW(described)
    return torch.optim.SGD(described, momentum=settings.momentum)


class FineTuner:
    """An encoder and its classifier in training, with everything an exact resume needs.

    Attributes:
        model: its query encoder learns; nothing else of it is touched.
        fc: the classifier.
        history: the score of every finished epoch.
        batch: the batch that comes next in the epoch in hand.
    """

    def __init__(
        self, model: HiCo, classes: int, settings: FinetuneSettings, batches: LabelledBatches
    ) -> None:
        """Draw a fresh classifier from the generator of the batches.

        Args:
            model: on its device; its query encoder changes from now on.
            classes: L.
            settings: how to learn.
            batches: of the labelled clips.
        """
        self.model, self.settings, self.batches = model, settings, batches
        self.encoder = model.query.encoder
        self.device = batches.split.device
        size = model.config.feature_size
        self.fc = linear_classifier(size, classes, batches.generator).to(self.device)
        self.optimizer = make_optimizer(self.encoder, self.fc, settings)
        self.history: list[EpochScore] = []
        self.batch = 0
        self._loss = torch.zeros((), dtype=torch.float64, device=self.device)
        self._best: Payload = {}

    @property
    def epoch(self) -> int:
        """The epoch in hand, or the one that comes next."""
        return self.history[-1].epoch + 1 if self.history else self.settings.start_epoch

    @property
    def last(self) -> EpochScore:
        """The last epoch: the headline, chosen without a look at the test part."""
        return self.history[-1]

    @property
    def best(self) -> EpochScore:
        """The first epoch of the highest top-1."""
        return max(self.history, key=lambda score: score.top1)

    def train_epoch(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Train to the end of the epoch in hand; changes encoder and classifier.

        Args:
            stopped: asked after each batch; True ends the training there.

        Returns:
            Whether the epoch is finished.

        Raises:
            FloatingPointError: when the training loss is not finite.
        """
        self._set_rates()
        self.encoder.train(self.settings.encoder_mode == "train")
        self.batches.start_epoch()
        try:
            while self.batch < len(self.batches) and not stopped():
                self._step()
                if self.batch % self.settings.print_freq == 0:
                    self._check_loss()
            self._check_loss()
        finally:
            self.encoder.eval()
        if self.batch == 0:  # stopped before the first batch: the epoch is drawn again
            self.batches.generator.set_state(self.batches.epoch_state)
        return self.batch == len(self.batches)

    def _set_rates(self) -> None:
        plan = self.settings
        for group in self.optimizer.param_groups:
            rate = learning_rate(group["base"], self.epoch, plan.epochs, plan.schedule, plan.cos)
            group["lr"] = rate

    def _step(self) -> None:
        views, labels = self.batches.batch(self.batch)
        features = self.encoder(Views(*views)).instance  # (B, F)
        loss = F.cross_entropy(self.fc(features), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self._loss += loss.detach() * len(labels)  # read seldom: it waits for the device
        self.batch += 1

    def _check_loss(self) -> None:
        if not math.isfinite(self._loss.item()):
            raise FloatingPointError(
                f"the training loss is {self._loss.item()} in epoch {self.epoch}, by batch "
                f"{self.batch}; choose --lr below {self.settings.lr:g}"
            )

    def finish_epoch(self, scores: Tensor, labels: Tensor) -> EpochScore:
        """Record a trained epoch; the next one comes next.

        Args:
            scores: (N, L) of the test part.
            labels: (N,) its classes.
        """
        top1, top5 = (top_k_accuracy(scores, labels, k).item() for k in (1, 5))
        loss = self._loss.item() / len(self.batches.clips)
        self.history.append(EpochScore(self.epoch, loss, top1, top5))
        self.batch = 0
        self._loss.zero_()
        if self.best is self.last:
            self._best = copy.deepcopy(self._snapshot())
        return self.last

    def _snapshot(self) -> Payload:
        states = {"encoder": self.encoder.state_dict(), "fc": self.fc.state_dict()}
        between = self.batch == 0
        generator = self.batches.generator.get_state() if between else self.batches.epoch_state
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "loss": self._loss,
            "state_dict": {f"{k}.{n}": x for k, state in states.items() for n, x in state.items()},
            "optimizer": self.optimizer.state_dict(),
            "best_acc1": self.best.top1 if self.history else None,
            "history": [tuple(score) for score in self.history],
            "generator": generator,
            "random": random_states(self.device),
        }

    def best_state(self) -> Payload:
        """Encoder and classifier as they were after their best epoch; empty before the first."""
        return self._best

    def last_state(self) -> Payload:
        """Everything as it is between two steps, the best within."""
        return self._snapshot() | {"best": self._best}

    def restore(self, payload: Payload, path: Path) -> None:
        """Go on exactly where a saved run stopped.

        Args:
            payload: what `last_state` returned; of `best_state`, the best is where it stopped.
            path: where it was read, for messages.

        Raises:
            ValueError: when it is not a saved run of this shape.
        """
        with going_on_from(path, "run"):
            for name, module in (("encoder.", self.encoder), ("fc.", self.fc)):
                given = payload["state_dict"].items()
                module.load_state_dict(
                    {n.removeprefix(name): x for n, x in given if n.startswith(name)}
                )
            restore_optimizer_state(self.optimizer, payload)
            self.batches.generator.set_state(payload["generator"])
            restore_random(payload["random"], self.device)
            self.batch = int(payload["batch"])
            self._loss = payload["loss"].to(self.device)
            self.history = [EpochScore(*score) for score in payload["history"]]
            self._best = payload.get("best", payload)
