"""Options of action_classification.py; the defaults are the published run.

Source: the published command for NTU-60 cross-view joint (HiCo, AAAI 2023, arXiv:2212.02082); for
fine-tuning, which HiCo does not publish, the recipe of CMD, which has the same data files. AdamW's
rate and decay are those of MAMP.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from moco.config import SettingError
from options.groups import (
    RANDOM,
    REPLACE,
    EvaluationOptions,
    RunOptions,
    TrainingOptions,
    output_option,
    overwrite_option,
    resume_option,
)
from options.parser import Parser, changed, group, one_of, option, real, whole

MODES = ("linear", "finetune", "supervised")
OPTIMIZERS = ("sgd", "adamw")
SUBSETS = ("plain", "stratified")
USUAL: Mapping[str, Mapping[str, Any]] = {
    "linear": {"batch_size": 1024, "lr": 2.0, "weight_decay": 0.0, "crop": "centre"},
    "sgd": {"batch_size": 64, "lr": 0.01, "weight_decay": 0.0, "crop": "random"},
    "adamw": {"batch_size": 64, "lr": 3e-4, "weight_decay": 0.05, "crop": "random"},
}
"""Defaults of the linear probe, and of fine-tuning by each optimiser."""


def _shown(name: str) -> str:
    linear, sgd, adamw = (USUAL[recipe][name] for recipe in ("linear", *OPTIMIZERS))
    others = f"{sgd}" if adamw == sgd else f"{sgd}, with adamw {adamw:g}"
    return f"{linear}" if linear == sgd == adamw else f"linear {linear}, else {others}"


def _by_mode(name: str) -> Any:
    """An option of training whose default depends on the mode."""
    return changed(TrainingOptions, name, default=None, shown=_shown(name))


@dataclass(frozen=True)
class ClassifierOptions(TrainingOptions):
    """How a classifier learns; `usual` fills in what depends on the mode."""

    epochs: int = changed(TrainingOptions, "epochs", default=80)
    batch_size: int | None = _by_mode("batch_size")
    lr: float | None = _by_mode("lr")
    schedule: tuple[int, ...] = changed(TrainingOptions, "schedule", default=(50, 70))
    cos: bool = changed(
        TrainingOptions,
        "cos",
        help="cosine learning rate in place of --schedule; finetune and supervised only",
    )
    momentum: float | None = changed(TrainingOptions, "momentum", default=None, shown="0.9, of sgd")
    weight_decay: float | None = _by_mode("weight_decay")
    crop: str | None = option(
        None,
        "--probe-crop",
        "--crop",
        read=one_of(("centre", "random")),
        metavar="HOW",
        help="frames of the training clips; centre: the middle 95 %; "
        "random: 50 to 100 %, at least 64, drawn anew each epoch",
        shown=_shown("crop"),
    )
    resume: str = resume_option("last classifier of an interrupted run, to go on from")


def usual(given: ClassifierOptions, recipe: str = "linear") -> ClassifierOptions:
    """Fill in what was not given, as the `recipe`, a key of USUAL, has it."""
    defaults = {"momentum": TrainingOptions.momentum, **USUAL[recipe]}
    missing = {name: value for name, value in defaults.items() if getattr(given, name) is None}
    return replace(given, **missing)


@dataclass(frozen=True)
class EncoderTrainingOptions:
    """How the encoder learns beside its classifier."""

    optimizer: str = option("sgd", read=one_of(OPTIMIZERS), metavar="NAME", help="sgd | adamw")
    encoder_lr: float | None = option(
        None,
        read=real(above=0),
        metavar="RATE",
        help="learning rate of the encoder",
        shown="--lr",
    )
    head_lr: float | None = option(
        None,
        read=real(above=0),
        metavar="RATE",
        help="learning rate of the classifier",
        shown="--lr",
    )
    layer_decay: float = option(
        1.0,
        read=real(above=0, at_most=1),
        metavar="S",
        help="share of the rate of the layer above that a layer has",
    )
    encoder_mode: str = option(
        "train",
        read=one_of(("train", "eval")),
        metavar="MODE",
        help="eval: no dropout in the encoder while it learns",
    )


@dataclass(frozen=True)
class LabelOptions:
    """Which labels are used, and how often."""

    fraction: float = option(
        1.0,
        "--label-fraction",
        read=real(above=0, at_most=1),
        metavar="P",
        help="share of the training clips whose labels are used, as 0.01",
    )
    subset: str = option(
        "plain",
        read=one_of(SUBSETS),
        metavar="HOW",
        help="plain: drawn from all clips; stratified: from each class, at least one",
    )
    runs: int = option(
        1,
        read=whole(1),
        metavar="N",
        help="trainings, each with a seed and a subset of its own; mean and deviation are printed",
    )


@dataclass(frozen=True, kw_only=True)
class ClassificationOptions(EvaluationOptions):
    """Everything a classification is told; `training` is whole, whatever the mode.

    Raises:
        SettingError: a start, an optimiser or an option that the mode does not have.
    """

    mode: str = option(
        "linear",
        read=one_of(MODES),
        metavar="NAME",
        title="what is trained",
        help="linear: a classifier on the frozen encoder; finetune: encoder and classifier; "
        "supervised: both, from random weights",
    )
    training: ClassifierOptions = group(ClassifierOptions, "training of the classifier")
    finetuning: EncoderTrainingOptions = group(
        EncoderTrainingOptions, "training of the encoder (finetune and supervised only)"
    )
    labels: LabelOptions = group(LabelOptions, "labels")
    output_path: Path | None = output_option(
        "folder for classifiers, results.json and the test scores"
    )
    overwrite: bool = overwrite_option(REPLACE, title="files")
    run: RunOptions = group(
        RunOptions,
        "run",
        print_freq={"help": "batches between two looks at the loss; the linear probe needs none"},
    )

    def __post_init__(self) -> None:
        self._check_start()
        self._check_optimizer()
        recipe = "linear" if self.mode == "linear" else self.finetuning.optimizer
        object.__setattr__(self, "training", usual(self.training, recipe))

    def _check_start(self) -> None:
        """Refuse a start that the mode does not have; a supervised one is random."""
        given = self.pretrained
        if self.mode == "supervised":
            if given not in ("", RANDOM):
                fault = (
                    "--mode supervised starts from random weights; leave it "
                    "out, or choose --mode finetune"
                )
                raise SettingError("pretrained", given, fault)
            object.__setattr__(self, "pretrained", RANDOM)
        super().__post_init__()
        if self.mode == "finetune" and given == RANDOM:
            fault = (
                "--mode finetune needs a checkpoint; --mode supervised starts from random weights"
            )
            raise SettingError("pretrained", given, fault)

    def _check_optimizer(self) -> None:
        """Refuse what the mode or the optimiser does not have."""
        if self.mode == "linear":
            fault = (
                "the linear probe leaves the encoder as it is; choose --mode finetune or supervised"
            )
            if self.training.cos:
                raise SettingError("training.cos", True, fault)
            for each in fields(self.finetuning):
                value = getattr(self.finetuning, each.name)
                if value != each.default:
                    raise SettingError(f"finetuning.{each.name}", value, fault)
        momentum = self.training.momentum
        if self.finetuning.optimizer == "adamw" and momentum is not None:
            raise SettingError("training.momentum", momentum, "adamw has none; leave it out")


def parser() -> Parser[ClassificationOptions]:
    """The command line of action_classification.py."""
    return Parser(ClassificationOptions, "Score an encoder by the accuracy of a classifier on it.")
