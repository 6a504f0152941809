"""Classification of a split by a frozen encoder: features, classifier and its files together."""

from pathlib import Path

import torch
from torch import Tensor

from dataset.protocols import DATASETS
from tools.downstream import Downstream
from tools.probe import (
    EpochScore,
    LinearProbe,
    ProbeFiles,
    ProbeSettings,
    probe_folder,
    train_probe,
)
from tools.runtime import data_generator


def classify(
    downstream: Downstream,
    settings: ProbeSettings,
    *,
    dataset: str,
    protocol: str,
    crop: str = "centre",
    resume: str = "",
) -> LinearProbe:
    """Train a linear classifier on a frozen encoder and keep it beside the checkpoint.

    Args:
        downstream: the encoder and both parts of the split.
        settings: how the classifier learns.
        dataset: name of the data set, which knows its number of classes.
        protocol: the split.
        crop: "centre" computes the training features once; "random" anew for each epoch.
        resume: a classifier to go on from, "" for a fresh one.

    Returns:
        The trained classifier and its history.

    Raises:
        OSError, ValueError: when features, labels or the classifier to go on from do not fit.
        FloatingPointError: when the training loss is not finite.
        RuntimeError: when the encoder changed, which voids the score.
    """
    with downstream.frozen() as encoder:
        identity = {"encoder": encoder, "data set": dataset, "protocol": protocol, "crop": crop}
        identity["stream"] = downstream.stream
        files = ProbeFiles(probe_folder(downstream.pretrained), downstream.stream, identity)
        generator = data_generator(downstream.seed)
        sizes = (downstream.model.config.feature_size, DATASETS[dataset].classes)
        probe = LinearProbe(*sizes, settings, generator, downstream.device)
        if resume:
            files.resume(probe, Path(resume))
        _train(downstream, probe, files, generator if crop == "random" else None)
        files.save(probe)
    downstream.report(f"classifiers written: {files.best}, {files.last}")
    return probe


def _train(
    downstream: Downstream,
    probe: LinearProbe,
    files: ProbeFiles,
    generator: torch.Generator | None,
) -> None:
    """Train on features computed once, or anew for each epoch by crops from a generator."""

    def _crops(epoch: int) -> Tensor:
        return downstream.features("train", generator=generator)

    def _after_epoch(score: EpochScore) -> None:
        downstream.report(str(score))
        files.save(probe, now=False)

    train = downstream.features("train") if generator is None else _crops
    test = downstream.features("test")
    labels = downstream.train.labels, downstream.test.labels
    train_probe(probe, train, labels[0], test, labels[1], _after_epoch)
