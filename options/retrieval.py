"""Options of action_retrieval.py; the defaults are the published run.

Source: the published command for NTU-60 cross-view joint (HiCo, AAAI 2023, arXiv:2212.02082).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from options import groups


@dataclass(frozen=True)
class RetrievalOptions:
    """Everything one retrieval is told; made and checked by `parse`.

    Attributes:
        pretrained: the checkpoint whose encoder is scored, or "random".
        encoder: shape of the random encoder, like the four that follow; None when not given.
        batch_size: clips encoded at a time.
        knn_neighbours: training clips that vote on a test clip.
        save_features: .npz file for the features of both parts; None for none.
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
    batch_size: int
    knn_neighbours: int
    save_features: Path | None
    device: str
    seed: int | None
    print_freq: int
    workers: int | None


def parse(argv: Sequence[str] | None = None) -> RetrievalOptions:
    """Return the checked options of the command line, or of `argv`.

    Raises:
        SystemExit: status 2 after one line on stderr where an option does not fit.
    """
    parser = groups.Parser("Score a frozen encoder by the action of the nearest training clips.")
    groups.add_data(parser, "--finetune-dataset", "--finetune-skeleton-representation")
    groups.add_pretrained(parser)
    groups.add_encoder(parser, only_random=True)
    _add_retrieval(parser)
    groups.add_runtime(parser, "unneeded, the result comes at once; taken as published")
    options = parser.parse_args(argv)
    groups.check_data(parser, options)
    groups.check_pretrained(parser, options)
    groups.check_encoder(parser, options)
    if options.save_features is not None and options.save_features.suffix != ".npz":
        parser.error(f"--save-features {options.save_features}: the name must end in .npz")
    return RetrievalOptions(**vars(options))


def _add_retrieval(parser: groups.Parser) -> None:
    group = parser.add_argument_group("retrieval")
    groups.add(
        group,
        "--knn-neighbours",
        takes=groups.whole(1),
        metavar="N",
        default=1,
        text="nearest training clips that vote on a test clip",
    )
    groups.add_batch_size(group, 256, "clips encoded at a time")
    groups.add(
        group,
        "--save-features",
        takes=groups.file_path,
        metavar="FILE.npz",
        default=None,
        text="file for the features, labels and names of both parts",
        shown="none",
    )
