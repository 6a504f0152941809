"""Options of action_classification.py; the defaults are the published run.

Source: the published command for NTU-60 cross-view joint (HiCo, AAAI 2023, arXiv:2212.02082).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from options import groups


@dataclass(frozen=True)
class ClassificationOptions:
    """Everything one linear probe is told; made and checked by `parse`.

    Attributes:
        pretrained: the checkpoint whose encoder is scored, or "random".
        encoder: shape of the random encoder, like the four that follow; None when not given.
        schedule: epochs at which the learning rate falls to a tenth, rising.
        resume: probe to go on from, "" for none.
        probe_crop: crop of the training clips: "centre" or "random".
        seed: None for a fresh one.
        workers: None when not given; never needed.
    """

    dataset: str
    protocol: str
    stream: str
    data_path: Path
    pretrained: str
    encoder: str | None
    hidden_size: int | None
    num_heads: int | None
    num_layers: int | None
    granularity: int | None
    epochs: int
    start_epoch: int
    batch_size: int
    lr: float
    schedule: tuple[int, ...]
    momentum: float
    weight_decay: float
    probe_crop: str
    resume: str
    device: str
    seed: int | None
    print_freq: int
    workers: int | None


def parse(argv: Sequence[str] | None = None) -> ClassificationOptions:
    """Return the checked options of the command line, or of `argv`.

    Raises:
        SystemExit: status 2 after one line on stderr where an option does not fit.
    """
    parser = groups.Parser("Score a frozen encoder by the accuracy of a linear classifier on it.")
    groups.add_data(parser, "--finetune-dataset", "--finetune-skeleton-representation")
    groups.add_pretrained(parser)
    groups.add_encoder(parser, only_random=True)
    _add_training(parser)
    groups.add_runtime(parser, "unneeded, each epoch is printed; taken as published")
    options = parser.parse_args(argv)
    groups.check_data(parser, options)
    groups.check_pretrained(parser, options)
    groups.check_encoder(parser, options)
    groups.check_sgd(parser, options)
    return ClassificationOptions(**vars(options))


def _add_training(parser: groups.Parser) -> None:
    group = parser.add_argument_group("training of the classifier")
    groups.add_epochs(group, epochs=80, batch_size=1024)
    groups.add_sgd(group, learning_rate=2.0, schedule=(50, 70), weight_decay=0.0)
    groups.add(
        group,
        "--probe-crop",
        takes=groups.one_of(("centre", "random")),
        metavar="HOW",
        default="centre",
        text="frames of the training clips; centre: the middle 95 %%; "
        "random: 50 to 100 %%, drawn anew each epoch",
    )
    groups.add_resume(group, "last classifier of an interrupted run, to go on from")
