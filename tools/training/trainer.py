"""Pre-training: the epochs, and getting back to the very same state.

A run is fixed by its seed, to the last bit on the CPU: everything random comes from the epoch
generator (order, crops, augmentations) or torch's own (dropout), and both go into checkpoints.
"""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter as clock

import torch
from torch import Tensor

from dataset.batches import PretrainingBatches
from dataset.reading import reading
from moco import Method, Views
from options.parser import as_plain
from options.pretraining import PretrainingOptions
from tools import checkpoint
from tools.checkpoint import Payload
from tools.runtime import random_states, restore_random, to_host, until_signal
from tools.training.log import RunLog, Silence
from tools.training.memory import saying_what_fits
from tools.training.ranks import ALONE, Ranks
from tools.training.record import LAST, go_on, is_furthest_numbered, take
from tools.training.recorded import Repeated, choose_recorder
from tools.training.schedule import learning_rate
from tools.training.step import training_step
from tools.training.watch import Watch

WRITING_SHARE = 0.02
"""Largest share of the time that writing checkpoint_last may take."""


@dataclass
class Progress:
    """Where a run stands: epoch and batch to do next, both from 0, and steps done."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


@dataclass
class _Window:
    """Steps since the last row was read; their losses stay on the device until then."""

    losses: list[Tensor] = field(default_factory=list)
    began: float = field(default_factory=lambda: clock())  # looked up late: tests replace it


@dataclass
class _Row:
    """A row whose losses are on their way to the host."""

    values: Tensor  # (steps, losses + 1), good after `wait`
    wait: Callable[[], None]
    progress: Progress  # after its last step
    rate: float
    began: float


def _in_common(options: PretrainingOptions) -> Payload:
    data = options.data
    return {
        "dataset": data.dataset,
        "protocol": data.protocol,
        "stream": data.stream,
        "batch_size": options.training.batch_size,
        "augmentation": data.augmentation,
    }


class Trainer:
    """Trains a method on batches of views and keeps its checkpoints.

    Attributes:
        method: what is trained.
        folder: where checkpoints and logs go.
        data: which clips are seen and how, what a resumed run must have in common.
        progress: where the run stands.
        record: what the run was told, from tools.training.record; empty where nobody keeps one.
        steps: one step a call; `.how` says how they are run.
        stopped_by: number of the signal that ended the run.
    """

    def __init__(
        self,
        method: Method,
        batches: PretrainingBatches,
        options: PretrainingOptions,
        ranks: Ranks = ALONE,
    ) -> None:
        """Nothing is trained yet.

        The method lies on the device of the batches, which were made with `options`.
        """
        self.method, self.batches, self.options, self.ranks = method, batches, options, ranks
        self.folder = options.checkpoints.folder
        training, device = options.training, batches.split.device
        self.optimizer = checkpoint.make_optimizer(
            method,
            learning_rate=training.lr,
            momentum=training.momentum,
            weight_decay=training.weight_decay,
        )
        resident = batches.split.frames.device.type == device.type
        recorder, how = choose_recorder(options.speed.graph, device, resident, ranks.size)
        if recorder is not None:  # a number would be fixed by the recording
            for group in self.optimizer.param_groups:
                group["lr"] = torch.tensor(training.lr, device=device)
        source = {name: batches.split.source.get(name) for name in ("origin", "prepared")}
        self.data, self.record = _in_common(options) | source, {}
        self.steps = Repeated(self._step, device, recorder, how)
        self.progress = self._at_epoch(training.start_epoch)
        self.stopped_by: int | None = None
        self._began_from: Path | None = None
        self._signal: int | None = None
        self._window = _Window()
        self._row: _Row | None = None
        self._last_written = -float("inf")
        self._writing_seconds = 0.0

    def train(self) -> None:
        """Make the folder the run's own and train there, with a log; say so if nothing is left."""
        if self.finished:
            if self.ranks.rank == 0 and is_furthest_numbered(self._began_from, self.folder):
                # A kill came between the last numbered checkpoint and checkpoint_last.
                take(self.folder, self._began_from, self.payload, self.record)
                self._save(LAST)
            print(f"nothing to do: {self.progress.epoch} epochs are done")
            return
        log = self.open_log()
        try:
            self.run(log)
        finally:
            log.close()

    def open_log(self) -> RunLog | Silence:
        """The log of the run from where it stands, whose folder becomes the run's own.

        Rank 0 alone writes one.
        """
        if self.ranks.rank > 0:
            return Silence()
        if self.record:
            take(self.folder, self._began_from, self.payload, self.record)
        log = RunLog(
            self.folder,
            steps=len(self.batches),
            epochs=self.options.training.epochs,
            first_step=self.progress.step,
            watched=self.method.watched,
            seconds=self.options.watch.print_seconds,
        )
        log.describe(as_plain(self.options))
        return log

    def _at_epoch(self, epoch: int) -> Progress:
        return Progress(epoch=epoch, step=epoch * len(self.batches))

    def resume(self, path: Path) -> str:
        """Go on where a checkpoint was written, in place.

        Args:
            path: ours, which goes on as if never interrupted, or a published one, which goes on
                with its weights, queues and momentum but fresh random draws.

        Returns:
            A line that says which.

        Raises:
            ValueError: another model, other data, other settings that are not among `--change`, or
                no optimiser.
        """
        payload = self.ranks.first(lambda: checkpoint.read(path))
        changed, known = self.options.checkpoints.change, payload.get("run") is not None
        data = {name: value for name, value in self.data.items() if name not in changed}
        if self.record:
            self.record = go_on(self.record, payload, path, self.options)
        checkpoint.load_into(self.method, data, payload, path)
        checkpoint.restore_optimizer(self.optimizer, payload, path)
        self._began_from = path
        if "random" not in payload:
            self.progress = self._at_epoch(int(payload.get("epoch", 0)))
            return (
                f"resumed from {path}, a published checkpoint: fresh draws from epoch "
                f"{self.progress.epoch}; it does not say with what data and settings it was "
                "trained, those given now are taken"
            )
        with reading(path, "a checkpoint to go on from", "choose another"):
            self.progress = Progress(**payload["progress"])
            if not all(type(x) is int and x >= 0 for x in vars(self.progress).values()):
                raise ValueError("its progress is not in whole numbers")
            self.batches.generator.set_state(payload["random"]["epoch_generator"])
            restore_random(payload["random"], self.batches.split.device)
        where = f"resumed from {path} at epoch {self.progress.epoch}, batch {self.progress.batch}"
        older = "; it does not say its seed, clips and learning rates, those given now are taken"
        return where if known else where + older

    @property
    def finished(self) -> bool:
        """Whether no epoch is left."""
        return self.progress.epoch >= self.options.training.epochs

    def payload(self) -> Payload:
        """The run as it stands between two steps, ready for `checkpoint.save_whole`."""
        between = self.progress.batch == 0
        generator = self.batches.generator.get_state() if between else self.batches.epoch_state
        return checkpoint.pack(
            self.method,
            self.optimizer,
            self.progress.epoch,
            data=self.data,
            recipe=self.options.recipe,
            run=self.record or None,
            progress=vars(self.progress).copy(),
            world_size=self.ranks.size,
            random={"epoch_generator": generator, **random_states(self.batches.split.device)},
        )

    def run(self, log: RunLog | Silence) -> None:
        """Train to the last epoch, or to the first SIGINT or SIGTERM; both leave checkpoint_last.

        Args:
            log: told of every `print_freq`-th batch.

        Raises:
            FloatingPointError: a loss that is not finite; no checkpoint is written after it.
            ValueError: a device that is too small for the batch.
        """
        self.method.train()
        if self.ranks.size > 1:
            self.ranks.share(self.method)
            self.method.gather = self.ranks.gather
        fits = saying_what_fits(
            self.method.encoder.config,
            batch_size=self.batches.batch_size,
            precision=self.options.speed.precision,
            device=self.batches.split.device,
            processes=self.ranks.size,
        )
        watch = Watch(self, log)
        watch.begin()
        with until_signal(self._stop), fits:
            while not self.finished and self.stopped_by is None:
                self._run_epoch(log)
                if not self.finished and self.stopped_by is None and self._stopping():
                    self._save_last()  # the signal came when the epoch had been written
                watch.after_epoch()
        watch.end()
        if self.stopped_by is not None:
            log.say(
                f"stopped by {signal.Signals(self.stopped_by).name} at epoch "
                f"{self.progress.epoch}, batch {self.progress.batch}; go on with --resume "
                f"{self.folder / LAST}"
            )

    def _stop(self, number: int) -> None:
        self._signal = number

    def _stopping(self) -> bool:
        """Whether any process was sent a signal; all of them ask before each batch."""
        self.stopped_by = self.ranks.agree(self._signal)
        return self.stopped_by is not None

    def _run_epoch(self, log: RunLog | Silence) -> None:
        progress, batches, training = self.progress, self.batches, self.options.training
        rate = learning_rate(
            training.lr,
            progress.epoch,
            epochs=training.epochs,
            milestones=training.schedule,
            cosine=training.cos,
        )
        checkpoint.set_learning_rate(self.optimizer, rate)
        batches.start_epoch()
        self.method.start_epoch(progress.epoch)
        log.start_epoch(progress.epoch)
        on_cpu = batches.split.device.type == "cpu"
        self._window, self._row = _Window(), None
        while progress.batch < len(batches) and not self._stopping():
            batches.seek(progress.batch)
            self._window.losses.append(self.steps().clone())
            self._write_row(log)  # while another device computes what was just launched
            progress.batch += 1
            progress.step += 1
            log.advance()
            if progress.batch % self.options.run.print_freq == 0:
                self._read_losses(rate)
                if on_cpu:  # which has computed everything already
                    self._write_row(log)
        self._write_row(log)
        self._read_losses(rate)
        self._write_row(log)
        log.end_epoch()
        self._end_epoch()

    def _end_epoch(self) -> None:
        progress = self.progress
        if progress.batch == 0:  # stopped before the first batch: the epoch is drawn again
            self.batches.generator.set_state(self.batches.epoch_state)
        if progress.batch == len(self.batches):
            progress.epoch, progress.batch = progress.epoch + 1, 0
            self._save_numbered()
        self._save_last()

    def _step(self) -> Tensor:
        """One step on the batch that was sought: its losses and their total, (losses + 1,)."""
        query, key = (Views(*view) for view in self.batches.views())
        precision, seed = self.options.speed.precision, self.batches.generator.initial_seed()
        self.ranks.seed_dropout(seed, self.progress.step)
        clips = self.batches.clips()
        losses = training_step(
            self.method, self.optimizer, query, key, precision, self.ranks, clips
        )
        return torch.stack([*losses, losses.total])

    def _read_losses(self, rate: float) -> None:
        """Begin to read the losses since the last row; waits for nothing but on the CPU."""
        window, self._window = self._window, _Window()
        if window.losses:
            losses = self.ranks.mean(torch.stack(window.losses))  # (steps, losses + 1)
            values, wait = to_host(losses)
            self._row = _Row(values, wait, replace(self.progress), rate, window.began)

    def _write_row(self, log: RunLog | Silence) -> None:
        """Write the row that is being read, if any: the only wait for the device in an epoch."""
        row, self._row = self._row, None
        if row is None:
            return
        row.wait()
        names = (*self.method.losses._fields, "loss")
        self._refuse_broken(row, names)
        self._window.began = now = clock()
        log.write(
            {
                **vars(row.progress),
                **dict(zip(names, row.values.double().mean(dim=0).tolist(), strict=True)),
                "learning_rate": row.rate,
                "clips_per_second": len(row.values) * self.batches.batch_size / (now - row.began),
            }
        )

    def _refuse_broken(self, row: _Row, names: tuple[str, ...]) -> None:
        broken = (~torch.isfinite(row.values)).nonzero()
        if len(broken):
            step, column = broken[0].tolist()
            batch = row.progress.batch - len(row.values) + step
            raise FloatingPointError(
                f"the {names[column]} loss is {row.values[step, column]} at epoch "
                f"{row.progress.epoch}, batch {batch}; training stopped and the checkpoints "
                f"before it in {self.folder} are intact: try a smaller --lr than {row.rate:g}"
            )

    def _save_numbered(self) -> None:
        """Keep the epochs that the published code keeps: counted from 0, divisible."""
        epoch = self.progress.epoch - 1
        if epoch % self.options.checkpoints.save_freq == 0:
            self._save(f"checkpoint_{epoch:04d}.pth.tar")

    def _save_last(self) -> None:
        """Write checkpoint_last where that costs little of the time, and always at an end."""
        began = clock()
        ended = self.finished or self.stopped_by is not None
        if not ended and (began - self._last_written) * WRITING_SHARE < self._writing_seconds:
            return
        self._save(LAST)
        self._last_written = clock()
        self._writing_seconds = self._last_written - began

    def _save(self, name: str) -> None:
        if self.ranks.rank == 0:
            checkpoint.save_whole(self.payload(), self.folder / name)
