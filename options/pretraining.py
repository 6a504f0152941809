"""Options of pretraining.py; the defaults are the published run.

Source: the published command for NTU-60 cross-view joint (HiCo, AAAI 2023, arXiv:2212.02082).
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from options import groups


@dataclass(frozen=True)
class PretrainingOptions:
    """Everything one pre-training run is told; made and checked by `parse`.

    Attributes:
        workers: None when not given; never needed.
        seed: None for a fresh one.
        schedule: epochs at which the learning rate falls to a tenth, rising.
        cos: the cosine schedule in place of `schedule`.
        hico_dim: width of the projections.
        hico_k: keys in each queue.
        hico_m: momentum of the key encoder.
        hico_t: temperature of the contrast.
        resume: checkpoint to go on from, "" for none.
        save_freq: epochs between the checkpoints that are kept.
        precision: of the networks' matrix products, "fp32", "tf32" or "bf16".
        graph: whether steps on a GPU are recorded and replayed, "auto" or "off".
    """

    dataset: str
    protocol: str
    stream: str
    data_path: Path
    encoder: str
    hidden_size: int
    num_heads: int
    num_layers: int
    granularity: int
    hico_dim: int
    hico_k: int
    hico_m: float
    hico_t: float
    queue_wrap: str
    epochs: int
    start_epoch: int
    batch_size: int
    lr: float
    schedule: tuple[int, ...]
    cos: bool
    momentum: float
    weight_decay: float
    resume: str
    checkpoint_path: Path
    save_freq: int
    device: str
    seed: int | None
    print_freq: int
    workers: int | None
    precision: str
    graph: str


def parse(argv: Sequence[str] | None = None) -> PretrainingOptions:
    """Return the checked options of the command line, or of `argv`.

    Raises:
        SystemExit: status 2 after one line on stderr where an option does not fit.
    """
    parser = groups.Parser("Learn the encoder from unlabelled skeletons (HiCo pre-training).")
    groups.add_data(parser, "--pre-dataset", "--skeleton-representation")
    groups.add_encoder(parser, only_random=False)
    _add_contrast(parser)
    training = parser.add_argument_group("training")
    groups.add_epochs(training, epochs=451, batch_size=64)
    groups.add_sgd(training, learning_rate=0.01, schedule=(351,), weight_decay=1e-4)
    training.add_argument(
        "--cos", action="store_true", help="cosine learning rate in place of --schedule"
    )
    _add_checkpoints(parser)
    groups.add_runtime(parser, "batches between two printed lines")
    _add_speed(parser)
    options = parser.parse_args(argv)
    groups.check_data(parser, options)
    groups.check_encoder(parser, options)
    groups.check_sgd(parser, options)
    _check_queue(parser, options)
    return PretrainingOptions(**vars(options))


def _add_contrast(parser: groups.Parser) -> None:
    group = parser.add_argument_group("contrast")

    def _add(flag: str, takes: Callable[[str], object], default: object, text: str) -> None:
        metavar = "WHERE" if isinstance(default, str) else "N"
        groups.add(group, flag, takes=takes, metavar=metavar, default=default, text=text)

    _add("--hico-dim", groups.whole(1), 128, "features of a projection")
    _add("--hico-k", groups.whole(1), 2048, "keys in a queue, a multiple of the batch size")
    _add(
        "--hico-m",
        groups.real(at_least=0, below=1),
        0.999,
        "share of itself that the key encoder keeps in a step",
    )
    _add("--hico-t", groups.real(above=0), 0.2, "temperature, divides the cosine similarities")
    _add(
        "--queue-wrap",
        groups.one_of(("published", "full")),
        "published",
        "published: the clip and part queues wrap at hico-k, so most of their columns stay as "
        "they started; full: at their last column",
    )


def _add_speed(parser: groups.Parser) -> None:
    group = parser.add_argument_group("speed")
    groups.add(
        group,
        "--precision",
        takes=groups.one_of(("fp32", "tf32", "bf16")),
        metavar="KIND",
        default="fp32",
        text="of the networks' matrix products: fp32, as published | tf32 (CUDA only) | bf16; "
        "projections, logits and losses stay in float32",
    )
    groups.add(
        group,
        "--graph",
        takes=groups.one_of(("auto", "off")),
        metavar="WHEN",
        default="auto",
        text="auto: on a GPU, record a step in a CUDA graph and replay it | off: launch its "
        "kernels one by one",
    )


def _add_checkpoints(parser: groups.Parser) -> None:
    group = parser.add_argument_group("checkpoints")
    groups.add(
        group,
        "--checkpoint-path",
        takes=groups.file_path,
        metavar="DIR",
        default=Path("checkpoints"),
        text="folder for checkpoints and logs",
        shown="./checkpoints",
    )
    groups.add(
        group,
        "--save-freq",
        takes=groups.whole(1),
        metavar="N",
        default=50,
        text="epochs between the checkpoints that are kept",
    )
    groups.add_resume(group, "checkpoint to go on from")


def _check_queue(parser: groups.Parser, options: argparse.Namespace) -> None:
    keys, batch = options.hico_k, options.batch_size
    if keys % batch:
        below, above = keys // batch * batch, -(-keys // batch) * batch
        fits = f"{below} or {above}" if below else f"{above}"
        parser.error(f"--hico-k {keys}: must be a multiple of --batch-size {batch}, as is {fits}")
