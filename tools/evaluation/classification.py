"""Classification of a split, by a linear probe or by fine-tuning, once or several times."""

import copy
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from dataset.batches import LabelledBatches
from dataset.protocols import DATASETS
from moco import HiCo
from tools.checkpoint import RANDOM, fingerprint, load_encoder
from tools.evaluation.features import extract
from tools.evaluation.finetune import FineTuner, FinetuneSettings
from tools.evaluation.probe import (
    EpochScore,
    LinearProbe,
    ProbeFiles,
    ProbeSettings,
    check_labels,
    train_probe,
)
from tools.evaluation.runs import Outcome, Run, Task, identity, keep, plan_runs
from tools.evaluation.subject import Downstream
from tools.runtime import data_generator, until_signal


class _Stop:
    """Whether somebody asked the work to end: by which signal."""

    number: int | None = None

    def __call__(self, number: int) -> None:
        self.number = number

    def asked(self) -> bool:
        """Whether it did."""
        return self.number is not None


def classify(
    downstream: Downstream, task: Task, settings: ProbeSettings | FinetuneSettings
) -> list[Outcome]:
    """Train and test as often as asked, keep classifiers and scores, and write results.json.

    Args:
        downstream: the encoder and both parts of the split.
        task: what and how often.
        settings: how the classifier learns: ProbeSettings for "linear", else FinetuneSettings.

    Returns:
        The outcome of each run.

    Raises:
        OSError, ValueError: when features, labels or the classifier to go on from do not fit.
        FloatingPointError: when the training loss is not finite.
        RuntimeError: when a frozen encoder changed, which voids the score.
        SystemExit: status 128 + n after signal n, with everything saved to go on from.
    """
    for note in downstream.notes(task.dataset, task.protocol):
        downstream.report(note)
    for part, split in (("test", downstream.test), ("training", downstream.train)):
        check_labels(part, split.labels, DATASETS[task.dataset].classes)
    runs, outcomes, stop = plan_runs(downstream, task), [], _Stop()
    work = _linear if task.mode == "linear" else _finetune
    with until_signal(stop):
        for outcome in work(downstream, task, settings, runs, stop):
            outcomes.append(outcome)
            folder = keep(downstream, task, outcomes)
            downstream.report(f"classifiers written: {outcome.files.best}, {outcome.files.last}")
    downstream.report(f"results and test scores written to {folder}")
    return outcomes


def _linear(
    downstream: Downstream, task: Task, settings: ProbeSettings, runs: list[Run], stop: _Stop
) -> Iterator[Outcome]:
    """Train a linear classifier on a frozen encoder, its features computed once for all runs."""
    with downstream.frozen() as encoder:
        used = torch.cat([run.clips for run in runs]).unique()
        train = None if task.crop == "random" else downstream.features("train", clips=used)
        test = downstream.features("test")
        for run in runs:
            began = time.perf_counter()
            generator = data_generator(run.seed)
            sizes = (downstream.model.config.feature_size, DATASETS[task.dataset].classes)
            probe = LinearProbe(*sizes, settings, generator, downstream.device)
            files = ProbeFiles(run.folder, run.name, identity(downstream, task, run, encoder))
            _resume(probe, files, task, run)
            _announce(downstream, task, run)
            chosen = None if train is None else train[torch.searchsorted(used, run.clips)]
            _train_linear(downstream, task, run, probe, files, chosen, test, stop)
            files.save(probe)
            with torch.no_grad():
                scores = probe.fc(test)
            yield _outcome(run, probe, scores, files, began)


def _train_linear(
    downstream: Downstream,
    task: Task,
    run: Run,
    probe: LinearProbe,
    files: ProbeFiles,
    train: Tensor | None,
    test: Tensor,
    stop: _Stop,
) -> None:
    """Train to the last epoch; without features of the training part they come from new crops."""

    def _crops(epoch: int) -> Tensor:
        return downstream.features("train", generator=probe.generator, clips=run.clips)

    def _after_epoch(score: EpochScore) -> None:
        downstream.report(str(score))
        files.save(probe, now=False)
        if stop.asked() and probe.epoch < probe.settings.epochs:
            _leave(downstream, probe, files, stop)

    if task.runs > 1 and probe.epoch >= probe.settings.epochs:
        return  # an earlier call has finished this run
    labels = downstream.train.labels[run.clips], downstream.test.labels
    features = _crops if train is None else train
    train_probe(probe, features, labels[0], test, labels[1], _after_epoch)


def _finetune(
    downstream: Downstream, task: Task, settings: FinetuneSettings, runs: list[Run], stop: _Stop
) -> Iterator[Outcome]:
    """Train encoder and classifier, for each run from the same start or from new weights."""
    for run in runs:
        began = time.perf_counter()
        model = _fresh_model(downstream, task, run)
        before = fingerprint(model.query.encoder)
        torch.manual_seed(run.seed)  # of dropout
        generator = data_generator(run.seed)
        chosen = (run.clips, downstream.stream, settings.batch_size, generator)
        batches = LabelledBatches(downstream.train, *chosen, random_crop=task.crop == "random")
        tuner = FineTuner(model, DATASETS[task.dataset].classes, settings, batches)
        recipe = {"batch size": settings.batch_size, "optimizer": settings.optimizer}
        start = identity(downstream, task, run, before, **recipe)
        files = ProbeFiles(run.folder, run.name, start)
        _resume(tuner, files, task, run)
        _announce(downstream, task, run)
        scores = _train_tuner(downstream, task, tuner, files, stop)
        files.save(tuner)
        after = fingerprint(model.query.encoder)
        downstream.report(f"encoder trained: sha256 {before[:16]} before, {after[:16]} after")
        yield _outcome(run, tuner, scores, files, began)


def _train_tuner(
    downstream: Downstream, task: Task, tuner: FineTuner, files: ProbeFiles, stop: _Stop
) -> Tensor:
    """Train to the last epoch, testing after each; return the (N, L) scores of the last."""
    epochs, labels = tuner.settings.epochs, downstream.test.labels.to(downstream.device)
    if tuner.epoch >= epochs:
        if task.runs == 1:
            raise ValueError(
                f"--epochs {epochs}: the classifier has had {tuner.epoch}; ask for more"
            )
        return _test(downstream, tuner)
    while True:
        if not tuner.train_epoch(stop.asked):
            _leave(downstream, tuner, files, stop)
        scores = _test(downstream, tuner)
        downstream.report(str(tuner.finish_epoch(scores, labels)))
        if tuner.epoch >= epochs:
            return scores
        files.save(tuner, now=False)


def _test(downstream: Downstream, tuner: FineTuner) -> Tensor:
    with torch.no_grad():
        return tuner.fc(extract(tuner.model, downstream.test, downstream.stream))


def _outcome(
    run: Run, learner: LinearProbe | FineTuner, scores: Tensor, files: ProbeFiles, began: float
) -> Outcome:
    figures = (learner.history, learner.last, learner.best, scores.cpu())
    return Outcome(run, *figures, files, time.perf_counter() - began)


def _fresh_model(downstream: Downstream, task: Task, run: Run) -> HiCo:
    """What a run starts from: the encoder as loaded, or new random weights for each run."""
    if task.mode == "supervised" and run.number:
        config, quiet = downstream.model.config, lambda line: None
        model, _ = load_encoder(RANDOM, random_config=config, seed=run.seed, report=quiet)
        return model.to(downstream.device)
    return copy.deepcopy(downstream.model)


def _resume(learner: LinearProbe | FineTuner, files: ProbeFiles, task: Task, run: Run) -> None:
    """Go on from a run's own file: the one named, or with several runs the one beside it."""
    if not task.resume:
        return
    named = Path(task.resume)
    own = named if task.runs == 1 else named.with_name(files.last.name)
    if own.is_file() or not named.is_file():
        files.resume(learner, own if own.is_file() else named)


def _announce(downstream: Downstream, task: Task, run: Run) -> None:
    if task.runs > 1 or task.fraction < 1:
        clips = f"{len(run.clips)} of {len(downstream.train)} training clips have labels"
        downstream.report(f"run {run.number}: {clips}, seed {run.seed}")


def _leave(
    downstream: Downstream, learner: LinearProbe | FineTuner, files: ProbeFiles, stop: _Stop
) -> None:
    """Save everything and end, as a signal asked."""
    files.save(learner)
    name = signal.Signals(stop.number).name
    where = f"epoch {learner.epoch}, batch {getattr(learner, 'batch', 0)}"
    downstream.report(f"stopped by {name} at {where}; go on with --resume {files.last}")
    raise SystemExit(128 + stop.number)
