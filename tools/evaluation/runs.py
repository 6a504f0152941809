"""Runs of a classification: what each learns from, where its files go, and what comes of it.

A run is one training of one classifier. Several runs differ in their seed and, with a fraction of
the labels, in the clips that have labels; each run's files carry its number.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from options.classification import ClassificationOptions
from tools.evaluation.classifier import ClassifierFiles, EpochScore
from tools.evaluation.results import (
    RESULTS,
    Json,
    Scores,
    per_class,
    save_scores,
    spread,
    write_json,
    write_names,
)
from tools.evaluation.subject import Downstream
from tools.evaluation.subset import draw_subset, run_seed, subset_generator


@dataclass(frozen=True)
class Run:
    """One training: what it starts from and where its files go.

    Attributes:
        number: from 0.
        seed: of all that the training draws.
        clips: (n,) training clips whose labels are used.
        of: how many clips the training part has.
        names: n sample names of these clips.
        stem: what its files' names begin with.
        folder: of its classifiers.
    """

    number: int
    seed: int
    clips: Tensor
    of: int
    names: list[str]
    stem: str
    folder: Path

    @property
    def scores_name(self) -> str:
        """File of the test scores."""
        return f"{self.stem}_scores.npz"

    @property
    def labelled_name(self) -> str:
        """File of the sample names that have labels."""
        return f"{self.stem}_labelled.txt"


@dataclass(frozen=True)
class Outcome:
    """What came of one run.

    Attributes:
        run: the run.
        history: the score of every epoch.
        last: the last epoch, the headline.
        best: the first epoch of the highest top-1.
        scores: (N, L) of the test part after the last epoch, on the CPU.
        files: of the classifiers.
        seconds: this process took.
    """

    run: Run
    history: list[EpochScore]
    last: EpochScore
    best: EpochScore
    scores: Tensor
    files: ClassifierFiles
    seconds: float


def plan_runs(downstream: Downstream, options: ClassificationOptions) -> list[Run]:
    """Draw what each run learns from, and name its files."""
    split, labels, runs = downstream.train, options.labels, []
    single = labels.runs == 1 and labels.fraction == 1
    for number in range(labels.runs):
        clips = torch.arange(len(split))
        if labels.fraction < 1:
            generator = subset_generator(downstream.seed, number)
            clips = draw_subset(
                split.names, split.labels, labels.fraction, labels.subset, generator
            )
        run = Run(
            number=number,
            seed=run_seed(downstream.seed, number),
            clips=clips,
            of=len(split),
            names=[split.names[clip] for clip in clips.tolist()],
            stem=options.data.stream if single else f"{options.data.stream}_run{number}",
            folder=classifier_folder(downstream, options),
        )
        runs.append(run)
    return runs


def results_folder(downstream: Downstream, options: ClassificationOptions) -> Path:
    """Where results.json and the scores go: a folder for each checkpoint, split, mode and draw."""
    labels = options.labels
    draw = [f"{labels.fraction:g}", labels.subset] if labels.fraction < 1 else []
    return downstream.results_folder(options.output_path, options.mode, *draw)


def classifier_folder(downstream: Downstream, options: ClassificationOptions) -> Path:
    """Where the classifiers go: with the results, but as published where only that can be meant."""
    data, source = options.data, downstream.provenance.get("data") or {}
    transfer = any(
        source.get(name, getattr(data, name)) != getattr(data, name)
        for name in ("dataset", "protocol")
    )
    plain = options.mode == "linear" and options.labels.fraction == 1 and options.labels.runs == 1
    if plain and not transfer and options.output_path is None:
        return downstream.home
    return results_folder(downstream, options)


def identity(options: ClassificationOptions, run: Run, encoder: str) -> Json:
    """Plain values that a classifier to go on from must share.

    Args:
        options: how the classifier learns.
        run: which training.
        encoder: fingerprint of what it starts from.
    """
    data, training = options.data, options.training
    shared = {"encoder": encoder, "data set": data.dataset, "protocol": data.protocol}
    shared |= {"crop": training.crop, "stream": data.stream}
    if options.mode != "linear":
        shared["mode"] = options.mode
    if options.labels.fraction < 1 or options.labels.runs > 1:
        names = "\n".join(run.names)
        shared |= {"run": run.number, "labels": hashlib.sha256(names.encode()).hexdigest()[:16]}
    if options.mode != "linear":
        optimizer = options.finetuning.optimizer
        shared |= {"batch size": training.batch_size, "optimizer": optimizer}
    return shared


def write_results(
    downstream: Downstream, options: ClassificationOptions, outcomes: list[Outcome]
) -> Path:
    """Write the last outcome's scores and labelled names, and results.json of all so far.

    Returns:
        The folder of all these.
    """
    folder, outcome, data = results_folder(downstream, options), outcomes[-1], options.data
    about = {"dataset": data.dataset, "protocol": data.protocol, "mode": options.mode}
    about["stream"] = data.stream
    test = downstream.test
    scores = Scores(test.names, test.labels.numpy(), outcome.scores.numpy(), about)
    save_scores(folder / outcome.run.scores_name, scores)
    if options.labels.fraction < 1:
        write_names(folder / outcome.run.labelled_name, outcome.run.names)
    results = describe(downstream, options, outcomes)
    write_json(folder / RESULTS, results)
    return folder


def describe(
    downstream: Downstream, options: ClassificationOptions, outcomes: list[Outcome]
) -> Json:
    """The content of results.json, after some or all of the runs."""
    labels = options.labels
    return downstream.describe() | {
        "script": "action_classification.py",
        "mode": options.mode,
        "labels": {"fraction": labels.fraction, "subset": labels.subset},
        "complete": len(outcomes) == labels.runs,
        "summary": {
            which: {name: summarise(outcomes, which, name) for name in ("top1", "top5")}
            for which in ("last", "best")
        },
        "runs": [
            _describe_run(outcome, downstream.test.labels, labels.fraction < 1)
            for outcome in outcomes
        ],
    }


def summarise(outcomes: list[Outcome], which: str, name: str) -> Json:
    """Mean and deviation over the runs of the last or best epoch's top1 or top5, in percent."""
    return spread([getattr(getattr(outcome, which), name) for outcome in outcomes])


def _describe_run(outcome: Outcome, labels: Tensor, subset: bool) -> Json:
    run = outcome.run
    return {
        "run": run.number,
        "seed": run.seed,
        "labelled_clips": len(run.clips),
        "labelled_names": run.labelled_name if subset else None,
        "last": outcome.last._asdict(),
        "best": outcome.best._asdict(),
        "per_class": per_class(outcome.scores, labels),
        "history": [score._asdict() for score in outcome.history],
        "scores": run.scores_name,
        "classifiers": {"best": str(outcome.files.best), "last": str(outcome.files.last)},
        "seconds": round(outcome.seconds, 3),
    }


def verdict(outcomes: list[Outcome], mode: str = "linear") -> list[str]:
    """Two lines: the last epoch and the best one, each labelled as what it is."""
    chosen = "the test part chose its epoch"
    reported = f"<- the metric the paper reports; {chosen}" if mode == "linear" else f"<- {chosen}"
    meaning = {"last": "<- the headline", "best": reported}
    if len(outcomes) == 1:
        return [f"{which}  {getattr(outcomes[0], which)}  {meaning[which]}" for which in meaning]
    lines = []
    for which, said in meaning.items():
        figures = {name: summarise(outcomes, which, name) for name in ("top1", "top5")}
        top1, top5 = (f"{one['mean']:.2f} ± {one['std']:.2f} %" for one in figures.values())
        over = f"mean ± deviation of {len(outcomes)} runs"
        lines.append(f"{which}  top-1 {top1}, top-5 {top5}, {over}  {said}")
    return lines
