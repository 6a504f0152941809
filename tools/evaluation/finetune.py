"""Fine-tuning: the encoder and a new classifier on it, trained together on labelled clips.

Axes: N clips, F = 2·G·d features of a clip, L classes.
A run is fixed by its seed, to the last bit on the CPU, interrupted or not: order and crops come
from one generator, dropout from torch's own, and both go into the files.
Source: the recipe of CMD (its code and data files are HiCo's kin): SGD 0.9, rate 0.01, no decay,
batch 64, 80 epochs, a tenth at 50 and 70; HiCo's own recipe is not published.
"""

from collections.abc import Callable

import torch
from torch import nn

from dataset.batches import LabelledBatches
from moco import Views
from moco.encoders.hierarchical import HierarchicalEncoder
from moco.method import Method
from options.classification import ClassificationOptions
from tools.evaluation.classifier import Classifier, Payload
from tools.runtime import random_states, restore_random
from tools.training.memory import saying_what_fits


def make_optimizer(
    encoder: HierarchicalEncoder, fc: nn.Linear, options: ClassificationOptions
) -> torch.optim.Optimizer:
    """Build the optimiser over encoder and classifier.

    Returns:
        An optimiser; each of its groups has its rate of epoch 0 under "base".
    """
    training, finetuning = options.training, options.finetuning
    adam = finetuning.optimizer == "adamw"
    encoder_rate = training.lr if finetuning.encoder_lr is None else finetuning.encoder_lr
    head_rate = training.lr if finetuning.head_lr is None else finetuning.head_lr
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}

    def _add(parameter: nn.Parameter, rate: float) -> None:
        # AdamW leaves biases and norms without decay, as MAMP and others use it.
        decay = training.weight_decay if parameter.dim() > 1 or not adam else 0.0
        groups.setdefault((rate, decay), []).append(parameter)

    for parameter in fc.parameters():
        _add(parameter, head_rate)
    for name, parameter in encoder.named_parameters():
        below = encoder.depth - 1 - encoder.depth_of(name)
        _add(parameter, encoder_rate * finetuning.layer_decay**below)
    described = [
        {"params": parameters, "lr": rate, "base": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
    if adam:
        return torch.optim.AdamW(described)
    return torch.optim.SGD(described, momentum=training.momentum)


class FineTuner(Classifier):
    """An encoder and its classifier in training.

    Attributes:
        model: its encoder learns; nothing else of it is touched.
    """

    def __init__(
        self, model: Method, classes: int, options: ClassificationOptions, batches: LabelledBatches
    ) -> None:
        """Draw a fresh classifier of so many classes from the generator of the batches.

        The model is on its device; its encoder changes from now on.
        """
        self.model, self.encoder, self.batches = model, model.encoder, batches
        self._told = options
        super().__init__(
            self.encoder.config.feature_size,
            classes,
            options.training,
            batches.generator,
            device=batches.split.device,
        )

    def _learning(self) -> tuple[dict[str, nn.Module], torch.optim.Optimizer]:
        optimizer = make_optimizer(self.encoder, self.fc, self._told)
        return {"encoder": self.encoder, "fc": self.fc}, optimizer

    def train_epoch(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Train to the end of the epoch in hand; changes encoder and classifier.

        `stopped` is asked before each batch; True ends the training there.

        Returns:
            Whether the epoch is finished.

        Raises:
            FloatingPointError: when the training loss is not finite.
            ValueError: when the device is too small for the batch.
        """
        self.set_rates()
        self.encoder.train(self._told.finetuning.encoder_mode == "train")
        self.batches.start_epoch()
        fits = saying_what_fits(self.encoder.config, self.batches.batch_size, None, self.device)
        try:
            with fits:
                self._train(stopped)
        finally:
            self.encoder.eval()
        if self.batch == 0:  # stopped before the first batch: the epoch is drawn again
            self.generator.set_state(self.batches.epoch_state)
        return self.batch == len(self.batches)

    def _train(self, stopped: Callable[[], bool]) -> None:
        while self.batch < len(self.batches) and not stopped():
            self._step()
            if self.batch % self._told.run.print_freq == 0:
                self.check_loss()
        self.check_loss()

    def _step(self) -> None:
        views, labels = self.batches.batch(self.batch)
        self.descend(self.encoder(Views(*views)).instance, labels)
        self.batch += 1

    def _snapshot(self) -> Payload:
        saved = super()._snapshot()
        if self.batch:  # within an epoch, which is drawn again from where it began
            saved["generator"] = self.batches.epoch_state
        random = random_states(self.device)
        return saved | {"batch": self.batch, "loss": self._loss, "random": random}

    def _restore(self, payload: Payload) -> None:
        super()._restore(payload)
        restore_random(payload["random"], self.device)
        self.batch = int(payload["batch"])
        self._loss = payload["loss"].to(self.device)
