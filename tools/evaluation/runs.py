"""Runs of a classification: what each of them learns from, and where its files go.

A run is one training of one classifier. Several runs differ in their seed and, with a fraction of
the labels, in the clips that have labels; each run's files carry its number.
"""

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from dataset.actions import class_names
from options.classification import ClassificationOptions
from options.groups import RANDOM
from options.parser import as_plain
from tools.evaluation.classifier import LEARNING
from tools.evaluation.results import Json
from tools.evaluation.subject import Downstream
from tools.evaluation.subset import draw_subset, run_seed, subset_generator


@dataclass(frozen=True)
class Run:
    """One training: what it starts from and where its files go.

    Attributes:
        number: from 0.
        seed: of all that the training draws.
        clips: (n,) training clips whose labels are used.
        names: n sample names of these clips.
        stem: what its files' names begin with.
        folder: of its classifiers.
    """

    number: int
    seed: int
    clips: Tensor
    names: list[str]
    stem: str
    folder: Path


def plan_runs(downstream: Downstream, options: ClassificationOptions) -> list[Run]:
    """Draw what each run learns from, and name its files."""
    split, labels, runs = downstream.train, options.labels, []
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
            names=[split.names[clip] for clip in clips.tolist()],
            stem=options.data.stream + ("" if is_plain(options) else f"_run{number}"),
            folder=classifier_folder(downstream, options),
        )
        runs.append(run)
    return runs


def is_plain(options: ClassificationOptions) -> bool:
    """Whether there is one run, which has all labels."""
    return options.labels.runs == 1 and options.labels.fraction == 1


def results_folder(downstream: Downstream, options: ClassificationOptions) -> Path:
    """Where results.json and the scores go: a folder for each checkpoint, split, mode and draw."""
    labels = options.labels
    draw = [f"{labels.fraction:g}", labels.subset] if labels.fraction < 1 else []
    return downstream.results_folder(options.output_path, options.mode, *draw)


def classifier_folder(downstream: Downstream, options: ClassificationOptions) -> Path:
    """Where the classifiers go: with the results, but as published where only that can be meant."""
    data, source = options.data, downstream.provenance.get("data") or {}
    here = {"dataset": data.dataset, "protocol": data.protocol}
    transfer = any(source.get(name, value) != value for name, value in here.items())
    published = options.mode == "linear" and is_plain(options) and not transfer
    if published and options.output_path is None:
        return downstream.home
    return results_folder(downstream, options)


def identity(options: ClassificationOptions, run: Run, encoder: str) -> Json:
    """Plain values that a classifier to go on from must share; `encoder` is its fingerprint."""
    data, training = options.data, options.training
    shared = {"encoder": encoder, "data set": data.dataset, "protocol": data.protocol}
    shared |= {"crop": training.crop, "stream": data.stream}
    if options.mode != "linear":
        shared["mode"] = options.mode
    if not is_plain(options):
        names = hashlib.sha256("\n".join(run.names).encode())
        shared |= {"run": run.number, "labels": names.hexdigest()[:16]}
    if options.mode != "linear":
        shared["batch size"] = training.batch_size
        shared["optimizer"] = options.finetuning.optimizer
    return shared | {name: as_plain(getattr(training, name)) for name in LEARNING}


def description(downstream: Downstream, folder: Path) -> Json:
    """What somebody who uses a classifier in `folder` needs: its encoder and its classes' names."""
    pretrained = downstream.options.pretrained
    if pretrained != RANDOM:  # so that both may be moved together
        pretrained = os.path.relpath(downstream.provenance["path"], folder)
    return {
        "pretrained": pretrained,
        "config": asdict(downstream.config),
        "seed": downstream.seed,
        "classes": list(class_names(downstream.data.known)),
    }
