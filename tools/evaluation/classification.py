"""Classification of a split, by a linear probe or by fine-tuning, once or several times."""

import copy
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dataset.batches import LabelledBatches
from options.classification import ClassificationOptions
from options.groups import RANDOM
from tools.checkpoint import fingerprint, load_encoder
from tools.evaluation.classifier import Classifier, ClassifierFiles, EpochScore
from tools.evaluation.features import extract
from tools.evaluation.finetune import FineTuner
from tools.evaluation.probe import LinearProbe, check_labels, train_probe
from tools.evaluation.runs import Outcome, Run, identity, plan_runs, write_results
from tools.evaluation.subject import Downstream
from tools.runtime import data_generator, until_signal

Signals = list[int]
"""Numbers of the signals that came; the first one asks the work to end."""


def classify(downstream: Downstream, options: ClassificationOptions) -> list[Outcome]:
    """Train and test as often as asked, keep classifiers and scores, and write results.json.

    Args:
        downstream: the encoder and both parts of the split.
        options: what learns, from which labels, how and how often.

    Returns:
        The outcome of each run.

    Raises:
        OSError, ValueError: when features, labels or the classifier to go on from do not fit.
        FloatingPointError: when the training loss is not finite.
        RuntimeError: when a frozen encoder changed, which voids the score.
        SystemExit: status 128 + n after signal n, with everything saved to go on from.
    """
    for note in downstream.notes():
        downstream.report(note)
    for part, split in (("test", downstream.test), ("training", downstream.train)):
        check_labels(part, split.labels, downstream.classes)
    runs, outcomes, signals = plan_runs(downstream, options), [], Signals()
    train = _linear if options.mode == "linear" else _finetune
    with until_signal(signals.append):
        for outcome in train(downstream, options, runs, signals):
            outcomes.append(outcome)
            folder = write_results(downstream, options, outcomes)
            downstream.report(f"classifiers written: {outcome.files.best}, {outcome.files.last}")
    downstream.report(f"results and test scores written to {folder}")
    return outcomes


class _Training:
    """One run under way: its classifier, its files, and when it ends."""

    def __init__(
        self,
        options: ClassificationOptions,
        run: Run,
        classifier: Classifier,
        *,
        encoder: str,
        signals: Signals,
        report: Callable[[str], None],
    ) -> None:
        """Open the files, and go on from an earlier call's where that was asked for.

        Args:
            options: how to learn.
            run: what to learn from.
            classifier: fresh.
            encoder: fingerprint of what the run starts from.
            signals: that came so far.
            report: is told what happens.
        """
        self.options, self.run, self.classifier = options, run, classifier
        self.signals, self.report, self.began = signals, report, time.perf_counter()
        self.files = ClassifierFiles(run.folder, run.stem, identity(options, run, encoder))
        single, named = options.labels.runs == 1, Path(options.training.resume)
        if options.training.resume:
            # Of several runs each goes on from its own file, beside the one that is named.
            own = named if single else named.with_name(self.files.last.name)
            if own.is_file() or not named.is_file():
                self.files.resume(classifier, own if own.is_file() else named)
        if single:
            classifier.check_unfinished()
        if not single or options.labels.fraction < 1:
            clips = f"{len(run.clips)} of {run.of} training clips have labels"
            report(f"run {run.number}: {clips}, seed {run.seed}")

    @property
    def finished(self) -> bool:
        """Whether no epoch is left."""
        return self.classifier.epoch >= self.options.training.epochs

    def after_epoch(self, score: EpochScore) -> None:
        """Report an epoch and save what it left, or end there if a signal asked for it."""
        self.report(str(score))
        if not self.finished:
            if self.signals:
                self.leave()
            self.files.save(self.classifier, now=False)

    def leave(self) -> None:
        """Save everything and end, as a signal asked."""
        self.files.save(self.classifier)
        number, at = self.signals[0], f"epoch {self.classifier.epoch}"
        where = f"{signal.Signals(number).name} at {at}, batch {self.classifier.batch}"
        self.report(f"stopped by {where}; go on with --resume {self.files.last}")
        raise SystemExit(128 + number)

    def outcome(self, scores: Tensor) -> Outcome:
        """Save the classifier; (N, L) scores of the test part are its last epoch's."""
        self.files.save(self.classifier)
        return Outcome(
            run=self.run,
            history=self.classifier.history,
            last=self.classifier.last,
            best=self.classifier.best,
            scores=scores.cpu(),
            files=self.files,
            seconds=time.perf_counter() - self.began,
        )


def _linear(
    downstream: Downstream, options: ClassificationOptions, runs: list[Run], signals: Signals
) -> Iterator[Outcome]:
    """Train a linear classifier on a frozen encoder, its features computed once for all runs."""
    with downstream.frozen() as encoder:
        used = torch.cat([run.clips for run in runs]).unique()
        random = options.training.crop == "random"  # then each epoch has features of its own
        train = None if random else downstream.features("train", clips=used)
        test = downstream.features("test")
        for run in runs:
            probe = LinearProbe(
                downstream.config.feature_size,
                downstream.classes,
                options.training,
                data_generator(run.seed),
                device=downstream.device,
            )
            training = _Training(
                options, run, probe, encoder=encoder, signals=signals, report=downstream.report
            )
            chosen = None if train is None else train[torch.searchsorted(used, run.clips)]
            if not training.finished:
                _train_linear(downstream, training, probe, chosen, test)
            with torch.no_grad():
                yield training.outcome(probe.fc(test))


def _train_linear(
    downstream: Downstream,
    training: _Training,
    probe: LinearProbe,
    train: Tensor | None,
    test: Tensor,
) -> None:
    """Train to the last epoch; without features of the training part they come from new crops."""
    clips = training.run.clips

    def _crops(epoch: int) -> Tensor:
        return downstream.features("train", generator=probe.generator, clips=clips)

    train_probe(
        probe,
        _crops if train is None else train,
        downstream.train.labels[clips],
        test,
        downstream.test.labels,
        after_epoch=training.after_epoch,
    )


def _finetune(
    downstream: Downstream, options: ClassificationOptions, runs: list[Run], signals: Signals
) -> Iterator[Outcome]:
    """Train encoder and classifier, for each run from the same start or from new weights."""
    for run in runs:
        model = _fresh_model(downstream, options, run)
        before = fingerprint(model.encoder)
        torch.manual_seed(run.seed)  # of dropout
        batches = LabelledBatches(
            downstream.train,
            run.clips,
            options.data.stream,
            options.training.batch_size,
            data_generator(run.seed),
            random_crop=options.training.crop == "random",
        )
        tuner = FineTuner(model, downstream.classes, options, batches)
        training = _Training(
            options, run, tuner, encoder=before, signals=signals, report=downstream.report
        )
        outcome = training.outcome(_train_tuner(downstream, training, tuner))
        after = fingerprint(model.encoder)
        downstream.report(f"encoder trained: sha256 {before[:16]} before, {after[:16]} after")
        yield outcome


def _train_tuner(downstream: Downstream, training: _Training, tuner: FineTuner) -> Tensor:
    """Train to the last epoch, testing after each; return the (N, L) scores of the last."""
    labels, scores = downstream.test.labels.to(downstream.device), None
    while not training.finished:
        if not tuner.train_epoch(lambda: bool(training.signals)):
            training.leave()
        scores = _test(downstream, tuner)
        training.after_epoch(tuner.finish_epoch(scores, labels))
    return _test(downstream, tuner) if scores is None else scores


def _test(downstream: Downstream, tuner: FineTuner) -> Tensor:
    with torch.no_grad():
        return tuner.fc(extract(tuner.model, downstream.test, downstream.data.stream))


def _fresh_model(downstream: Downstream, options: ClassificationOptions, run: Run) -> Any:
    """What a run starts from: the encoder as loaded, or new random weights for each run."""
    if options.mode == "supervised" and run.number:
        model, _ = load_encoder(
            RANDOM, random_config=downstream.config, seed=run.seed, report=lambda line: None
        )
        return model.to(downstream.device)
    return copy.deepcopy(downstream.model)
