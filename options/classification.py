"""Options of action_classification.py; the defaults are the published run.

Source: the published command for NTU-60 cross-view joint (HiCo, AAAI 2023, arXiv:2212.02082); for
fine-tuning, which HiCo does not publish, the recipe of CMD, which has the same data files. AdamW's
rate and decay are those of MAMP.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from options import groups

MODES = ("linear", "finetune", "supervised")
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "linear": {"batch_size": 1024, "lr": 2.0, "weight_decay": 0.0, "probe_crop": "centre"},
    "sgd": {"batch_size": 64, "lr": 0.01, "weight_decay": 0.0, "probe_crop": "random"},
    "adamw": {"batch_size": 64, "lr": 3e-4, "weight_decay": 0.05, "probe_crop": "random"},
}
"""Defaults of the linear probe, and of fine-tuning by each optimiser."""
MOMENTUM = 0.9
TRAINS_ENCODER = {
    "optimizer": "sgd",
    "encoder_lr": None,
    "head_lr": None,
    "layer_decay": 1.0,
    "encoder_mode": "train",
    "cos": False,
}
"""Options that only training the encoder has, and their defaults."""


@dataclass(frozen=True)
class ClassificationOptions(groups.EvaluationOptions):
    """Everything a classification is told; made and checked by `parse`.

    Attributes:
        mode: "linear", "finetune" or "supervised".
        schedule: epochs at which the learning rate falls to a tenth, rising.
        encoder_lr: learning rate of the encoder; None for `lr`, like that of the classifier.
        cos: the cosine schedule in place of `schedule`.
        layer_decay: share of the rate of the layer above that a layer of the encoder has.
        label_fraction: share of the training clips whose labels are used.
        subset: how they are drawn: "plain" or "stratified".
        runs: how many subsets or seeds.
        resume: classifier to go on from, "" for none.
        probe_crop: crop of the training clips: "centre" or "random".
    """

    mode: str
    epochs: int
    start_epoch: int
    lr: float
    encoder_lr: float | None
    head_lr: float | None
    schedule: tuple[int, ...]
    cos: bool
    momentum: float
    weight_decay: float
    optimizer: str
    layer_decay: float
    encoder_mode: str
    label_fraction: float
    subset: str
    runs: int
    probe_crop: str
    resume: str


def parse(argv: Sequence[str] | None = None) -> ClassificationOptions:
    """Return the checked options of the command line, or of `argv`.

    Raises:
        SystemExit: status 2 after one line on stderr where an option does not fit.
    """
    parser = groups.Parser("Score an encoder by the accuracy of a classifier on it.")
    groups.add_data(parser, "--finetune-dataset", "--finetune-skeleton-representation")
    groups.add_pretrained(parser)
    groups.add_encoder(parser, only_random=True)
    _add_mode(parser)
    _add_training(parser)
    _add_labels(parser)
    groups.add_output(parser, "folder for classifiers, results.json and the test scores")
    groups.add_runtime(parser, "batches between two looks at the loss; the linear probe needs none")
    options = parser.parse_args(argv)
    groups.check_data(parser, options)
    _check_start(parser, options)
    _check_optimizer(parser, options)
    groups.check_encoder(parser, options)
    groups.check_sgd(parser, options)
    return ClassificationOptions(**vars(options))


def _add_mode(parser: groups.Parser) -> None:
    groups.add(
        parser.add_argument_group("what is trained"),
        "--mode",
        takes=groups.one_of(MODES),
        metavar="NAME",
        default="linear",
        text="linear: a classifier on the frozen encoder; finetune: encoder and classifier; "
        "supervised: both, from random weights",
    )


def _shown(name: str) -> str:
    linear, sgd, adamw = (DEFAULTS[kind][name] for kind in ("linear", "sgd", "adamw"))
    others = f"{sgd}" if adamw == sgd else f"{sgd}, with adamw {adamw:g}"
    return f"{linear}" if linear == sgd == adamw else f"linear {linear}, else {others}"


def _add_training(parser: groups.Parser) -> None:
    group = parser.add_argument_group("training of the classifier")
    groups.add_epochs(group, epochs=80, batch_size=None, shown=_shown("batch_size"))
    shown = {
        "learning_rate": _shown("lr"),
        "weight_decay": _shown("weight_decay"),
        "momentum": "0.9, of sgd",
    }
    groups.add_sgd(group, None, (50, 70), None, momentum=None, shown=shown)
    groups.add(
        group,
        *("--probe-crop", "--crop"),
        takes=groups.one_of(("centre", "random")),
        metavar="HOW",
        default=None,
        text="frames of the training clips; centre: the middle 95 %%; "
        "random: 50 to 100 %%, at least 64, drawn anew each epoch",
        shown=_shown("probe_crop"),
    )
    groups.add_resume(group, "last classifier of an interrupted run, to go on from")
    _add_encoder_training(parser)


def _add_encoder_training(parser: groups.Parser) -> None:
    group = parser.add_argument_group("training of the encoder (finetune and supervised only)")

    def _add(flag: str, metavar: str, takes: object, text: str, shown: str | None = None) -> None:
        default = TRAINS_ENCODER[flag[2:].replace("-", "_")]
        groups.add(
            group, flag, takes=takes, metavar=metavar, default=default, text=text, shown=shown
        )

    _add("--optimizer", "NAME", groups.one_of(("sgd", "adamw")), "sgd | adamw")
    _add("--encoder-lr", "RATE", groups.real(above=0), "learning rate of the encoder", "--lr")
    _add("--head-lr", "RATE", groups.real(above=0), "learning rate of the classifier", "--lr")
    share = groups.real(above=0, at_most=1)
    _add("--layer-decay", "S", share, "share of the rate of the layer above that a layer has")
    modes = groups.one_of(("train", "eval"))
    _add("--encoder-mode", "MODE", modes, "eval: no dropout in the encoder while it learns")
    group.add_argument(
        "--cos", action="store_true", help="cosine learning rate in place of --schedule"
    )


def _add_labels(parser: groups.Parser) -> None:
    group = parser.add_argument_group("labels")
    groups.add(
        group,
        "--label-fraction",
        takes=groups.real(above=0, at_most=1),
        metavar="P",
        default=1.0,
        text="share of the training clips whose labels are used, as 0.01",
    )
    groups.add(
        group,
        "--subset",
        takes=groups.one_of(("plain", "stratified")),
        metavar="HOW",
        default="plain",
        text="plain: drawn from all clips; stratified: from each class, at least one",
    )
    groups.add(
        group,
        "--runs",
        takes=groups.whole(1),
        metavar="N",
        default=1,
        text="trainings, each with a seed and a subset of its own; mean and deviation are printed",
    )


def _check_start(parser: groups.Parser, options: argparse.Namespace) -> None:
    """Refuse a start that the mode does not have; a supervised one is random."""
    given, mode = options.pretrained, options.mode
    if mode == "supervised":
        if given not in ("", "random"):
            parser.error(
                f"--pretrained {given}: --mode supervised starts from random weights; leave it "
                "out, or choose --mode finetune"
            )
        options.pretrained = "random"
    groups.check_pretrained(parser, options)
    if mode == "finetune" and given == "random":
        parser.error(
            "--pretrained random: --mode finetune needs a checkpoint; "
            "--mode supervised starts from random weights"
        )


def _check_optimizer(parser: groups.Parser, options: argparse.Namespace) -> None:
    """Refuse what the mode or the optimiser does not have; fill in their defaults."""
    if options.mode == "linear":
        for name, default in TRAINS_ENCODER.items():
            if getattr(options, name) != default:
                value = "" if options.cos and name == "cos" else f" {getattr(options, name)}"
                parser.error(
                    f"--{name.replace('_', '-')}{value}: the linear probe leaves the encoder as "
                    "it is; choose --mode finetune or supervised"
                )
    if options.optimizer == "adamw" and options.momentum is not None:
        parser.error(f"--momentum {options.momentum}: adamw has none; leave it out")
    options.momentum = MOMENTUM if options.momentum is None else options.momentum
    kind = "linear" if options.mode == "linear" else options.optimizer
    for name, default in DEFAULTS[kind].items():
        if getattr(options, name) is None:
            setattr(options, name, default)
