"""Pre-training: the step, the epochs around it, and getting back to the very same state.

A run is fixed by its seed, to the last bit on the CPU: everything random comes from the epoch
generator (order, crops, augmentations) or torch's own (dropout), and both go into checkpoints.
"""

import signal
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter as clock

import torch
from torch import Tensor

from dataset.batches import PretrainingBatches
from moco import HiCo, Views
from moco.loss import Losses
from tools import checkpoint
from tools.checkpoint import Payload
from tools.runtime import random_states, restore_random, until_signal
from tools.training.log import RunLog
from tools.training.recorded import Repeated, choose_recorder
from tools.training.schedule import learning_rate

LAST = "checkpoint_last.pth.tar"
WRITING_SHARE = 0.02
"""Largest share of the time that writing checkpoint_last may take."""


@dataclass(frozen=True)
class Plan:
    """How long and how to train; the fields are the published options."""

    epochs: int = 451
    lr: float = 0.01
    schedule: tuple[int, ...] = (351,)
    cos: bool = False
    momentum: float = 0.9
    weight_decay: float = 1e-4
    print_freq: int = 10
    save_freq: int = 50
    start_epoch: int = 0
    precision: str = "fp32"
    graph: str = "auto"


def training_step(
    model: HiCo,
    optimizer: torch.optim.Optimizer,
    query: Views,
    key: Views,
    precision: str = "fp32",
) -> Losses:
    """One step in the published order; waits for nothing on the host.

    Args:
        model: in train mode; its parameters and queues change.
        optimizer: over the query network.
        query: first view of the batch.
        key: second view.
        precision: "bf16" runs the networks under autocast; the rest is float32 anyway.

    Returns:
        Losses of the batch before the step, detached.
    """
    model.update_momentum()
    with torch.autocast(query.time.device.type, torch.bfloat16, enabled=precision == "bf16"):
        losses, keys = model(query, key)
    model.enqueue(keys)
    optimizer.zero_grad(set_to_none=True)
    losses.total.backward()
    optimizer.step()
    return Losses(*(value.detach() for value in losses))


@dataclass
class Progress:
    """Where a run stands: epoch and batch to do next, both from 0, and steps done."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


@dataclass
class _Window:
    """Steps since the last printed row; their losses stay on the device until it is read."""

    losses: list[Tensor] = field(default_factory=list)
    began: float = field(default_factory=lambda: clock())  # looked up late: tests replace it


class Trainer:
    """Trains a model on batches of views and keeps its checkpoints."""

    def __init__(
        self, model: HiCo, batches: PretrainingBatches, plan: Plan, folder: Path, data: Payload
    ) -> None:
        """Prepare a run from its beginning.

        Args:
            model: on its device.
            batches: of the split to train on.
            plan: how long and how.
            folder: of checkpoints and logs.
            data: what the checkpoints say of the data (data set, protocol, stream, batch size); a
                run resumes only on the same.

        Raises:
            ValueError: a queue that does not hold a whole number of batches.
        """
        if model.queue_size % batches.batch_size:
            raise ValueError(
                f"--hico-k {model.queue_size} is not a multiple of --batch-size "
                f"{batches.batch_size}"
            )
        self.model, self.batches, self.plan, self.folder, self.data = (
            model, batches, plan, folder, data,
        )  # fmt: skip
        self.optimizer = checkpoint.make_optimizer(model, plan.lr, plan.momentum, plan.weight_decay)
        device = batches.split.device
        resident = batches.split.frames.device.type == device.type
        recorder, how = choose_recorder(plan.graph, device, resident)
        if recorder is not None:  # a number would be fixed by the recording
            for group in self.optimizer.param_groups:
                group["lr"] = torch.tensor(plan.lr, device=device)
        self.steps = Repeated(self._step, device, recorder, how)
        self.progress = Progress(epoch=plan.start_epoch, step=plan.start_epoch * len(batches))
        self.stopped_by: int | None = None
        self._window = _Window()
        self._last_written = -float("inf")
        self._writing_seconds = 0.0

    def resume(self, path: Path) -> str:
        """Go on where a checkpoint was written, in place.

        Args:
            path: ours, which goes on as if never interrupted, or a published one, which goes on
                with its weights, queues and momentum but fresh random draws.

        Returns:
            A line that says which.

        Raises:
            ValueError: another model, other data, or no optimiser.
        """
        payload = checkpoint.read(path)
        self._refuse_other_run(payload, path)
        loaded = checkpoint.to_model(payload, path)
        self.model.load_state_dict(loaded.state_dict())
        checkpoint.restore_optimizer(self.optimizer, payload, path)
        if "random" not in payload:
            self.progress = Progress(epoch=int(payload.get("epoch", 0)))
            self.progress.step = self.progress.epoch * len(self.batches)
            return f"resumed from {path}, a published checkpoint: fresh draws from epoch " + str(
                self.progress.epoch
            )
        self.progress = Progress(**payload["progress"])
        self.batches.generator.set_state(payload["random"]["epoch_generator"])
        restore_random(payload["random"], self.batches.split.device)
        return f"resumed from {path} at epoch {self.progress.epoch}, batch {self.progress.batch}"

    def _refuse_other_run(self, payload: Payload, path: Path) -> None:
        here = checkpoint.describe_model(self.model) | {"data": self.data}
        for part, values in here.items():
            for name, value in payload.get(part, {}).items():
                if name in values and values[name] != value:
                    raise ValueError(
                        f"--resume {path} was trained with {name} {value}, not {values[name]}; "
                        "give the same option or start a new run"
                    )
        sizes = {k: v.shape for k, v in checkpoint.to_published(self.model).items()}
        for name, tensor in payload["state_dict"].items():
            if name in sizes and sizes[name] != tensor.shape:
                raise ValueError(
                    f"--resume {path}: {name} is {tuple(tensor.shape)}, this model has "
                    f"{tuple(sizes[name])}; give the encoder and queue options it was trained with"
                )
            if name not in sizes:
                raise ValueError(f"--resume {path}: this model has no {name}; check --encoder")

    def payload(self) -> Payload:
        """The run as it stands between two steps, ready for `checkpoint.save_whole`."""
        between = self.progress.batch == 0
        generator = self.batches.generator.get_state() if between else self.batches.epoch_state
        random = {"epoch_generator": generator, **random_states(self.batches.split.device)}
        return checkpoint.pack(
            self.model,
            self.optimizer,
            self.progress.epoch,
            data=self.data,
            progress=vars(self.progress).copy(),
            random=random,
        )

    def run(self, log: RunLog) -> None:
        """Train to the last epoch, or to the first SIGINT or SIGTERM; both leave checkpoint_last.

        Args:
            log: told of every `print_freq`-th batch.

        Raises:
            FloatingPointError: a loss that is not finite; no checkpoint is written after it.
        """
        self.model.train()
        with until_signal(self._stop):
            while self.progress.epoch < self.plan.epochs and self.stopped_by is None:
                self._run_epoch(log)
        if self.stopped_by is not None:
            log.say(
                f"stopped by {signal.Signals(self.stopped_by).name} at epoch "
                f"{self.progress.epoch}, batch {self.progress.batch}; go on with --resume "
                f"{self.folder / LAST}"
            )

    def _stop(self, number: int) -> None:
        self.stopped_by = number

    def _run_epoch(self, log: RunLog) -> None:
        progress, plan = self.progress, self.plan
        rate = learning_rate(plan.lr, progress.epoch, plan.epochs, plan.schedule, plan.cos)
        checkpoint.set_learning_rate(self.optimizer, rate)
        self.batches.start_epoch()
        log.start_epoch(progress.epoch, progress.batch)
        self._window = _Window()
        while progress.batch < len(self.batches) and self.stopped_by is None:
            self.batches.seek(progress.batch)
            self._window.losses.append(self.steps().clone())
            progress.batch += 1
            progress.step += 1
            log.advance()
            if progress.batch % plan.print_freq == 0 or progress.batch == len(self.batches):
                self._read_losses(log, rate)
        self._read_losses(log, rate)
        log.end_epoch()
        if progress.batch == 0:  # stopped before the first batch: the epoch is drawn again
            self.batches.generator.set_state(self.batches.epoch_state)
        if progress.batch == len(self.batches):
            progress.epoch, progress.batch = progress.epoch + 1, 0
            self._save_numbered()
        self._save_last()

    def _step(self) -> Tensor:
        """One step on the batch that was sought: its losses and their sum, (7,)."""
        query, key = self.batches.views()
        losses = training_step(
            self.model, self.optimizer, Views(*query), Views(*key), self.plan.precision
        )
        return torch.stack([*losses, losses.total])

    def _read_losses(self, log: RunLog, rate: float) -> None:
        """Read the losses since the last row: the only wait for the device within an epoch."""
        window, self._window = self._window, _Window()
        if not window.losses:
            return
        values = torch.stack(window.losses).cpu()  # (steps, 7)
        names = (*Losses._fields, "loss")
        first = self.progress.batch - len(values)
        broken = (~torch.isfinite(values)).nonzero()
        if len(broken):
            row, column = broken[0].tolist()
            raise FloatingPointError(
                f"the {names[column]} loss is {values[row, column]} at epoch "
                f"{self.progress.epoch}, batch {first + row}; training stopped and the checkpoints "
                f"before it in {self.folder} are intact: try a smaller --lr than {rate:g}"
            )
        seconds = clock() - window.began
        log.write(
            {
                "epoch": self.progress.epoch,
                "batch": self.progress.batch,
                "step": self.progress.step,
                **dict(zip(names, values.double().mean(dim=0).tolist(), strict=True)),
                "learning_rate": rate,
                "clips_per_second": len(values) * self.batches.batch_size / seconds,
            }
        )

    def _save_numbered(self) -> None:
        """Keep the epochs that the published code keeps: counted from 0, divisible."""
        epoch = self.progress.epoch - 1
        if epoch % self.plan.save_freq == 0:
            path = self.folder / f"checkpoint_{epoch:04d}.pth.tar"
            checkpoint.save_whole(self.payload(), path)

    def _save_last(self) -> None:
        """Write checkpoint_last where that costs little of the time, and always at an end."""
        began = clock()
        ended = self.progress.epoch == self.plan.epochs or self.stopped_by is not None
        if not ended and (began - self._last_written) * WRITING_SHARE < self._writing_seconds:
            return
        checkpoint.save_whole(self.payload(), self.folder / LAST)
        self._last_written = clock()
        self._writing_seconds = self._last_written - began
