"""Classification of a split, by a linear probe or by fine-tuning, once or several times."""

import copy
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from dataset.actions import class_names
from dataset.batches import LabelledBatches
from moco.method import Method
from options.classification import ClassificationOptions
from options.groups import RANDOM
from tools.board import Board
from tools.checkpoint import fingerprint, load_encoder
from tools.evaluation.classifier import Classifier, ClassifierFiles, EpochScore
from tools.evaluation.features import extract
from tools.evaluation.finetune import FineTuner
from tools.evaluation.probe import LinearProbe, train_probe
from tools.evaluation.results import (
    RESULTS,
    Json,
    Scores,
    per_class,
    refuse_other,
    save_scores,
    spread,
    write_json,
    write_names,
)
from tools.evaluation.runs import Run, description, identity, plan_runs, results_folder
from tools.evaluation.subject import Downstream
from tools.runtime import data_generator, until_signal


def classify(downstream: Downstream, options: ClassificationOptions) -> Json:
    """Train and test as often as asked, keep classifiers and scores, and write results.json.

    Returns:
        The content of results.json.

    Raises:
        OSError, ValueError: when features, labels or the classifier to go on from do not fit.
        FloatingPointError: when the training loss is not finite.
        RuntimeError: when a frozen encoder changed, which voids the score.
        SystemExit: status 128 + n after signal n, with everything saved to go on from.
    """
    downstream.begin()
    labels, signals = options.labels, []
    runs, folder = plan_runs(downstream, options), results_folder(downstream, options)
    consent = options.overwrite or bool(options.training.resume)
    refuse_other(folder / RESULTS, options, consent)
    results = downstream.describe() | {
        "script": "action_classification.py",
        "mode": options.mode,
        "labels": {"fraction": labels.fraction, "subset": labels.subset},
        "runs": [],
    }
    train = _linear if options.mode == "linear" else _finetune
    with until_signal(signals.append):
        for entry in train(downstream, options, runs, signals):
            results["runs"].append(entry)
            results["complete"] = len(results["runs"]) == labels.runs
            results["summary"] = summarise(results["runs"])
            write_json(folder / RESULTS, results)
            downstream.report("classifiers written: {best}, {last}".format(**entry["classifiers"]))
    downstream.report(f"results and test scores written to {folder}")
    return results


class _Training:
    """One run under way: its classifier, its files, and when it ends."""

    def __init__(
        self,
        downstream: Downstream,
        options: ClassificationOptions,
        run: Run,
        classifier: Classifier,
        *,
        encoder: str,
        signals: list[int],
    ) -> None:
        """Open the files, and go on from an earlier call's where that was asked for.

        Args:
            downstream: what is scored.
            options: how to learn.
            run: what to learn from.
            classifier: fresh.
            encoder: fingerprint of what the run starts from.
            signals: their numbers; the first one asks the work to end.
        """
        self.downstream, self.options, self.run = downstream, options, run
        self.classifier, self.signals = classifier, signals
        self.began = time.perf_counter()
        own, about = identity(options, run, encoder), description(downstream, run.folder)
        self.files = ClassifierFiles(run.folder, run.stem, own, about)
        single, named = options.labels.runs == 1, Path(options.training.resume)
        if options.training.resume:
            # Of several runs each goes on from its own file, beside the one that is named.
            mine = named if single else named.with_name(self.files.last.name)
            if mine.is_file() or not named.is_file():
                self.files.resume(classifier, mine if mine.is_file() else named)
        self.folder = results_folder(downstream, options)
        # TensorBoard's events of several runs need a folder for each.
        curves = self.folder if single else self.folder / f"run{run.number}"
        self.curves = Board(curves, purge_step=classifier.epoch)
        if single:
            classifier.check_epochs()
        if not single or options.labels.fraction < 1:
            clips = f"{len(run.clips)} of {len(downstream.train)} training clips have labels"
            downstream.report(f"run {run.number}: {clips}, seed {run.seed}")

    @property
    def finished(self) -> bool:
        """Whether no epoch is left."""
        return self.classifier.epoch >= self.options.training.epochs

    def after_epoch(self, score: EpochScore) -> None:
        """Report an epoch and save what it left, or end there if a signal asked for it."""
        self.downstream.report(str(score))
        self.curves.scalar("loss/train", score.train_loss, score.epoch)
        self.curves.scalar("eval/top1", score.top1, score.epoch)
        self.curves.scalar("eval/top5", score.top5, score.epoch)
        if not self.finished:
            if self.signals:
                self.leave()
            self.files.save(self.classifier, now=False)

    def leave(self) -> None:
        """Save everything and end, as a signal asked."""
        self.files.save(self.classifier)
        self.curves.close()
        number, epoch, batch = self.signals[0], self.classifier.epoch, self.classifier.batch
        where = f"{signal.Signals(number).name} at epoch {epoch}, batch {batch}"
        self.downstream.report(f"stopped by {where}; go on with --resume {self.files.last}")
        raise SystemExit(128 + number)

    def finish(self, scores: Tensor) -> Json:
        """Save classifier, scores and labelled names; say what came of the run.

        The scores are (N, L) of the test part after the last epoch.
        """
        self.files.save(self.classifier)
        self.curves.close()
        run, scores, test = self.run, scores.cpu(), self.downstream.test
        data, about = self.options.data, {"mode": self.options.mode}
        about |= {"dataset": data.dataset, "protocol": data.protocol, "stream": data.stream}
        scores_name, labelled_name = f"{run.stem}_scores.npz", None
        content = Scores(test.names, test.labels.numpy(), scores.numpy(), about)
        save_scores(self.folder / scores_name, content)
        if self.options.labels.fraction < 1:
            labelled_name = f"{run.stem}_labelled.txt"
            write_names(self.folder / labelled_name, run.names)
        return {
            "run": run.number,
            "seed": run.seed,
            "labelled_clips": len(run.clips),
            "labelled_names": labelled_name,
            "last": self.classifier.last._asdict(),
            "best": self.classifier.best._asdict(),
            "per_class": per_class(scores, test.labels, class_names(data.known)),
            "history": [score._asdict() for score in self.classifier.history],
            "scores": scores_name,
            "classifiers": {"best": str(self.files.best), "last": str(self.files.last)},
            "seconds": round(time.perf_counter() - self.began, 3),
        }


def _linear(
    downstream: Downstream, options: ClassificationOptions, runs: list[Run], signals: list[int]
) -> Iterator[Json]:
    """Train a linear classifier on a frozen encoder, its features computed once for all runs."""
    size, classes, device = downstream.config.feature_size, downstream.classes, downstream.device
    with downstream.frozen() as encoder:
        used = torch.cat([run.clips for run in runs]).unique()
        random = options.training.crop == "random"  # then each epoch has features of its own
        train = None if random else downstream.features("train", clips=used)
        test = downstream.features("test")
        for run in runs:
            generator = data_generator(run.seed)
            probe = LinearProbe(size, classes, options.training, generator, device=device)
            training = _Training(downstream, options, run, probe, encoder=encoder, signals=signals)
            if random:
                chosen = _crops(downstream, run, generator)
            else:
                chosen = train[torch.searchsorted(used, run.clips)]
            if not training.finished:
                train_probe(
                    probe,
                    chosen,
                    downstream.train.labels[run.clips],
                    test,
                    downstream.test.labels,
                    after_epoch=training.after_epoch,
                )
            with torch.no_grad():
                yield training.finish(probe.fc(test))


def _crops(downstream: Downstream, run: Run, generator: torch.Generator) -> Callable[[int], Tensor]:
    """Return what computes the features of an epoch's random crops."""
    return lambda epoch: downstream.features("train", generator=generator, clips=run.clips)


def _finetune(
    downstream: Downstream, options: ClassificationOptions, runs: list[Run], signals: list[int]
) -> Iterator[Json]:
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
        training = _Training(downstream, options, run, tuner, encoder=before, signals=signals)
        entry = training.finish(_train_tuner(training, tuner))
        after = fingerprint(model.encoder)
        downstream.report(f"encoder trained: sha256 {before[:16]} before, {after[:16]} after")
        yield entry


def _train_tuner(training: _Training, tuner: FineTuner) -> Tensor:
    """Train to the last epoch, testing after each; return the (N, L) scores of the last."""
    test, stream = training.downstream.test, training.downstream.data.stream

    def _test() -> Tensor:
        with torch.no_grad():
            return tuner.fc(extract(tuner.model, test, stream))

    labels, scores = test.labels.to(test.device), None
    while not training.finished:
        if not tuner.train_epoch(lambda: bool(training.signals)):
            training.leave()
        scores = _test()
        training.after_epoch(tuner.record(scores, labels, len(tuner.batches.clips)))
    return _test() if scores is None else scores


def _fresh_model(downstream: Downstream, options: ClassificationOptions, run: Run) -> Method:
    """What a run starts from: the encoder as loaded, or new random weights for each run."""
    if options.mode == "supervised" and run.number:
        model, _ = load_encoder(
            RANDOM, random_config=downstream.config, seed=run.seed, report=lambda line: None
        )
        return model.to(downstream.device)
    model = copy.deepcopy(downstream.model)
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()  # cuDNN wants them in one piece; the copy laid each apart
    return model


def summarise(runs: list[Json]) -> Json:
    """Mean and deviation over the runs of the last and the best epoch's accuracies, in percent."""
    return {
        which: {name: spread([run[which][name] for run in runs]) for name in ("top1", "top5")}
        for which in ("last", "best")
    }


def verdict(results: Json) -> list[str]:
    """Two lines: the last epoch and the best one, each labelled as what it is."""
    chosen = "the test part chose its epoch"
    reported = f"<- the metric the paper reports; {chosen}"
    best = reported if results["mode"] == "linear" else f"<- {chosen}"
    runs, lines = results["runs"], []
    for which, meaning in (("last", "<- the headline"), ("best", best)):
        said = str(EpochScore(**runs[0][which]))
        if len(runs) > 1:
            figures = results["summary"][which].values()
            top1, top5 = (f"{one['mean']:.2f} ± {one['std']:.2f} %" for one in figures)
            said = f"top-1 {top1}, top-5 {top5}, mean ± deviation of {len(runs)} runs"
        lines.append(f"{which}  {said}  {meaning}")
    return lines
