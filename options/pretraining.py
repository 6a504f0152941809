"""Options of pretraining.py; the defaults are the published run.

Source: the published command for NTU-60 cross-view joint (HiCo, AAAI 2023, arXiv:2212.02082).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.protocols import AUGMENTATIONS, count_clips
from moco.config import ContrastConfig, EncoderConfig, SettingError, read_encoder_config
from options.groups import (
    DataOptions,
    RunOptions,
    TrainingOptions,
    encoder_group,
    overwrite_option,
    resume_option,
)
from options.parser import Parser, file_path, group, one_of, option, real, whole
from options.recipes import RECIPES, words


@dataclass(frozen=True)
class PretrainingData(DataOptions):
    """Which clips are read, and how their views are made."""

    augmentation: str = option(
        "hico",
        read=one_of(AUGMENTATIONS),
        metavar="NAME",
        help=f"how the two views of a clip differ: {' | '.join(AUGMENTATIONS)}",
    )


AUTO = "auto"
"""In place of a checkpoint to go on from: the newest of the run's folder, where there is one."""
CHANGES = {
    "lr": "training.lr",
    "schedule": "training.schedule",
    "cos": "training.cos",
    "epochs": "training.epochs",
    "momentum": "training.momentum",
    "weight-decay": "training.weight_decay",
    "precision": "speed.precision",
    "augmentation": "data.augmentation",
}
"""What a run may go on with otherwise than it began, by the word for it."""


@dataclass(frozen=True)
class CheckpointOptions:
    """What a run keeps, and from what it goes on.

    Raises:
        SettingError: a change where nothing is gone on with, or a run that is to be both gone on
            with and replaced.
    """

    folder: Path = option(
        Path("checkpoints"),
        "--checkpoint-path",
        read=file_path,
        metavar="DIR",
        help="folder for checkpoints and logs",
        shown="./checkpoints",
    )
    save_freq: int = option(
        50, read=whole(1), metavar="N", help="epochs between the checkpoints that are kept"
    )
    resume: str = resume_option(
        "checkpoint to go on from; auto: the newest one in --checkpoint-path, or begin where "
        "there is none"
    )
    change: tuple[str, ...] = option(
        (),
        read=one_of(tuple(CHANGES), {"weight_decay": "weight-decay", "wd": "weight-decay"}),
        least=1,
        metavar="NAME",
        help=f"go on with other values of these than the run had: {' | '.join(CHANGES)}",
        shown="none",
    )
    overwrite: bool = overwrite_option("remove the run that --checkpoint-path holds")

    def __post_init__(self) -> None:
        if self.change and not self.resume:
            raise SettingError("change", self.change, "nothing is gone on with; give --resume too")
        if self.overwrite and self.resume == AUTO:
            fault = "--resume auto goes on with the run that it would remove; leave one out"
            raise SettingError("overwrite", True, fault)


@dataclass(frozen=True)
class WatchOptions:
    """How one can see how a run fares.

    Raises:
        SettingError: not two numbers of clips.
    """

    knn_every: int = option(
        0,
        read=whole(0),
        metavar="N",
        help="epochs between two looks at the accuracy of nearest neighbours, which need the "
        "labels of both parts and change nothing; 0: never",
    )
    knn_clips: tuple[int, ...] = option(
        (4000, 2000),
        read=whole(1),
        least=2,
        metavar="N",
        help="most clips that are looked at: to find, and to look up; drawn once, for all runs",
    )
    print_seconds: float = option(
        30.0,
        read=real(at_least=0),
        metavar="S",
        help="seconds between two printed lines, at least, where no terminal shows a bar",
    )

    def __post_init__(self) -> None:
        if len(self.knn_clips) != 2:
            fault = "needs two numbers, clips to find and clips to look up"
            raise SettingError("knn_clips", self.knn_clips, fault)


@dataclass(frozen=True)
class SpeedOptions:
    """What makes a step faster."""

    precision: str = option(
        "fp32",
        read=one_of(("fp32", "tf32", "bf16")),
        metavar="KIND",
        help="of the matrix products in encoder and heads: fp32, as published | tf32 (CUDA only) "
        "| bf16; augmentation, logits and losses stay in float32",
    )
    graph: str = option(
        "auto",
        read=one_of(("auto", "off")),
        metavar="WHEN",
        help="auto: on a GPU, record a step in a CUDA graph and replay it | off: launch its "
        "kernels one by one",
    )


@dataclass(frozen=True)
class PretrainingOptions:
    """Everything one pre-training run is told.

    Raises:
        SettingError: a queue that does not hold a whole number of batches.
    """

    recipe: str | None = option(
        None,
        read=one_of(tuple(RECIPES)),
        metavar="NAME",
        title="recipe",
        help=f"other defaults, chosen by the number of training clips: {' | '.join(RECIPES)}",
        shown="none, the published run",
    )
    data: PretrainingData = group(
        PretrainingData,
        "data",
        dataset={"flags": ("--pre-dataset",)},
        stream={"flags": ("--skeleton-representation",)},
    )
    encoder: EncoderConfig = encoder_group("encoder", read_encoder_config)
    contrast: ContrastConfig = group(ContrastConfig, "contrast")
    training: TrainingOptions = group(TrainingOptions, "training")
    checkpoints: CheckpointOptions = group(CheckpointOptions, "checkpoints")
    speed: SpeedOptions = group(SpeedOptions, "speed")
    watch: WatchOptions = group(WatchOptions, "watching")
    run: RunOptions = group(
        RunOptions, "run", print_freq={"help": "batches between two rows of metrics.jsonl"}
    )

    def __post_init__(self) -> None:
        keys, batch = self.contrast.queue_size, self.training.batch_size
        if keys % batch:
            below, above = keys // batch * batch, -(-keys // batch) * batch
            fits = f"{below} or {above}" if below else f"{above}"
            fault = f"must be a multiple of --batch-size {batch}, as is {fits}"
            raise SettingError("contrast.queue_size", keys, fault)


def of_recipe(values: Mapping[str, Any]) -> list[str]:
    """The options of the recipe among `values`, which are by dotted name; none without one.

    Raises:
        OSError, ValueError: when the training clips cannot be counted.
    """
    if values["recipe"] is None:
        return []
    dataset, protocol, data_path = (
        values[f"data.{name}"] for name in ("dataset", "protocol", "data_path")
    )
    data = DataOptions(dataset, protocol, data_path=data_path)
    return words(values["recipe"], count_clips(data.folder, "train"))


def parser() -> Parser[PretrainingOptions]:
    """The command line of pretraining.py."""
    return Parser(
        PretrainingOptions,
        "Learn the encoder from unlabelled skeletons (HiCo pre-training).",
        recipe=of_recipe,
    )
