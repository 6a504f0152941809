"""Runs of a classification: what each learns from, where its files go, and what comes of it.

A run is one training of one classifier. Several runs differ in their seed and, with a fraction of
the labels, in the clips that have labels; each run's files carry its number.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tools.evaluation.probe import EpochScore, ProbeFiles, probe_folder
from tools.evaluation.results import (
    RESULTS,
    Json,
    Scores,
    as_plain,
    per_class,
    save_scores,
    spread,
    write_json,
    write_names,
)
from tools.evaluation.subject import Downstream
from tools.evaluation.subset import draw_subset, run_seed, subset_generator


@dataclass(frozen=True)
class Task:
    """What is classified, from how many labels, how often, and where the files go.

    Attributes:
        dataset: name of the data set, which knows its number of classes.
        protocol: the split.
        mode: "linear" leaves the encoder as it is; "finetune" and "supervised" train it too.
        crop: of the training clips: "centre" or "random".
        fraction: share of the training clips whose labels are used.
        subset: how they are drawn: "plain" or "stratified".
        runs: how many trainings.
        resume: a classifier to go on from, "" for none.
        output: folder for all files; None for folders beside the checkpoint.
        options: everything that was asked for, for results.json.
    """

    dataset: str
    protocol: str
    mode: str = "linear"
    crop: str = "centre"
    fraction: float = 1.0
    subset: str = "plain"
    runs: int = 1
    resume: str = ""
    output: Path | None = None
    options: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """One training: what it starts from and where its files go.

    Attributes:
        number: from 0.
        seed: of all that the training draws.
        clips: (n,) training clips whose labels are used.
        name: what its files' names begin with.
        folder: of its classifiers.
    """

    number: int
    seed: int
    clips: Tensor
    name: str
    folder: Path


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
    files: ProbeFiles
    seconds: float


def plan_runs(downstream: Downstream, task: Task) -> list[Run]:
    """Draw what each run learns from, and name its files."""
    split, runs = downstream.train, []
    for number in range(task.runs):
        if task.fraction == 1:
            clips = torch.arange(len(split))
        else:
            generator = subset_generator(downstream.seed, number)
            clips = draw_subset(split.names, split.labels, task.fraction, task.subset, generator)
        single = task.runs == 1 and task.fraction == 1
        name = downstream.stream if single else f"{downstream.stream}_run{number}"
        folder = classifier_folder(downstream, task)
        runs.append(Run(number, run_seed(downstream.seed, number), clips, name, folder))
    return runs


def results_folder(downstream: Downstream, task: Task) -> Path:
    """Where results.json and the scores go: a folder for each checkpoint, split, mode and draw."""
    words = [task.dataset, task.protocol, downstream.stream, task.mode]
    if task.fraction < 1:
        words += [f"{task.fraction:g}", task.subset]
    return downstream.results_folder(words, task.output)


def classifier_folder(downstream: Downstream, task: Task) -> Path:
    """Where the classifiers go: with the results, but as published where only that can be meant."""
    data = downstream.provenance.get("data") or {}
    here = {"dataset": task.dataset, "protocol": task.protocol}
    transfer = any(data.get(name, value) != value for name, value in here.items())
    plain = task.mode == "linear" and task.fraction == 1 and task.runs == 1
    if plain and not transfer and task.output is None:
        return probe_folder(downstream.pretrained)
    return results_folder(downstream, task)


def identity(
    downstream: Downstream, task: Task, run: Run, encoder: str, **more: object
) -> dict[str, Any]:
    """Plain values that a classifier to go on from must share.

    Args:
        downstream: the encoder and the data.
        task: what is classified.
        run: which training.
        encoder: fingerprint of what it starts from.
        more: further values, for a mode of training.
    """
    shared = {"encoder": encoder, "data set": task.dataset, "protocol": task.protocol}
    shared |= {"crop": task.crop, "stream": downstream.stream}
    if task.mode != "linear":
        shared["mode"] = task.mode
    if task.fraction < 1 or task.runs > 1:
        names = "\n".join(_names(downstream, run))
        shared |= {"run": run.number, "labels": hashlib.sha256(names.encode()).hexdigest()[:16]}
    return shared | more


def _names(downstream: Downstream, run: Run) -> list[str]:
    return [downstream.train.names[clip] for clip in run.clips.tolist()]


def keep(downstream: Downstream, task: Task, outcomes: list[Outcome]) -> Path:
    """Write the last outcome's scores and labelled names, and results.json of all so far.

    Returns:
        The folder of all these.
    """
    folder, outcome = results_folder(downstream, task), outcomes[-1]
    about = {"dataset": task.dataset, "protocol": task.protocol, "mode": task.mode}
    about["stream"] = downstream.stream
    test = downstream.test
    scores = Scores(test.names, test.labels.numpy(), outcome.scores.numpy(), about)
    save_scores(folder / _scores_name(outcome.run), scores)
    if task.fraction < 1:
        write_names(folder / _subset_name(outcome.run), _names(downstream, outcome.run))
    write_json(folder / RESULTS, describe(downstream, task, outcomes))
    return folder


def _scores_name(run: Run) -> str:
    return f"{run.name}_scores.npz"


def _subset_name(run: Run) -> str:
    return f"{run.name}_labelled.txt"


def describe(downstream: Downstream, task: Task, outcomes: list[Outcome]) -> Json:
    """The content of results.json, after some or all of the runs."""
    return downstream.describe(task.dataset, task.protocol) | {
        "script": "action_classification.py",
        "mode": task.mode,
        "labels": {"fraction": task.fraction, "subset": task.subset},
        "settings": as_plain(task.options),
        "complete": len(outcomes) == task.runs,
        "summary": {
            which: {name: summarise(outcomes, which, name) for name in ("top1", "top5")}
            for which in ("last", "best")
        },
        "runs": [_describe_run(outcome, task, downstream.test.labels) for outcome in outcomes],
    }


def summarise(outcomes: list[Outcome], which: str, name: str) -> Json:
    """Mean and deviation over the runs of the last or best epoch's top1 or top5, in percent."""
    return spread([getattr(getattr(outcome, which), name) for outcome in outcomes])


def _describe_run(outcome: Outcome, task: Task, labels: Tensor) -> Json:
    run = outcome.run
    return {
        "run": run.number,
        "seed": run.seed,
        "labelled_clips": len(run.clips),
        "labelled_names": _subset_name(run) if task.fraction < 1 else None,
        "last": outcome.last._asdict(),
        "best": outcome.best._asdict(),
        "per_class": per_class(outcome.scores, labels),
        "history": [score._asdict() for score in outcome.history],
        "scores": _scores_name(run),
        "classifiers": {"best": str(outcome.files.best), "last": str(outcome.files.last)},
        "seconds": round(outcome.seconds, 3),
    }


def verdict(outcomes: list[Outcome], mode: str = "linear") -> list[str]:
    """Two lines: the last epoch and the best one, each labelled as what it is."""
    best = "the test part chose its epoch"
    meaning = {
        "last": "<- the headline",
        "best": f"<- the published figure; {best}" if mode == "linear" else f"<- {best}",
    }
    if len(outcomes) == 1:
        return [f"{which}  {getattr(outcomes[0], which)}  {meaning[which]}" for which in meaning]
    lines = []
    for which, said in meaning.items():
        parts = []
        for name, shown in (("top1", "top-1"), ("top5", "top-5")):
            figures = summarise(outcomes, which, name)
            parts.append(f"{shown} {figures['mean']:.2f} ± {figures['std']:.2f} %")
        over = f"mean ± deviation of {len(outcomes)} runs"
        lines.append(f"{which}  {', '.join(parts)}, {over}  {said}")
    return lines
