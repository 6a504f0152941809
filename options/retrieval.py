"""Options of action_retrieval.py; the defaults are the published run.

Source: the published command for NTU-60 cross-view joint (HiCo, AAAI 2023, arXiv:2212.02082).
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from options import groups


@dataclass(frozen=True)
class RetrievalOptions(groups.EvaluationOptions):
    """Everything one retrieval is told; made and checked by `parse`.

    Attributes:
        knn_neighbours: numbers of nearest clips that vote on a test clip, rising; none where
            they were not given with `query_file`.
        gallery: clips to find: "train", "val", or a file of sample names.
        query: clips to look up: likewise.
        query_file: one raw recording to look up instead; None for none.
        save_features: .npz file for the features of both parts; None for none.
    """

    knn_neighbours: tuple[int, ...]
    gallery: str
    query: str
    query_file: Path | None
    save_features: Path | None


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
    _add_splits(parser)
    groups.add_output(parser, "folder for results.json")
    groups.add_runtime(parser, "unneeded, the result comes at once; taken as published")
    options = parser.parse_args(argv)
    groups.check_data(parser, options)
    groups.check_pretrained(parser, options)
    groups.check_encoder(parser, options)
    if options.save_features is not None and options.save_features.suffix != ".npz":
        parser.error(f"--save-features {options.save_features}: the name must end in .npz")
    _check_query(parser, options)
    return RetrievalOptions(**vars(options))


def _add_retrieval(parser: groups.Parser) -> None:
    group = parser.add_argument_group("retrieval")
    groups.add(
        group,
        "--knn-neighbours",
        nargs="+",
        takes=groups.whole(1),
        metavar="N",
        default=None,
        text="nearest training clips that vote on a test clip, one number or several",
        shown="1; 10 with --query-file",
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


def _add_splits(parser: groups.Parser) -> None:
    group = parser.add_argument_group("clips")
    what = "train | val | a file of sample names, one a line"
    takes = groups.any_text
    groups.add(
        *(group, "--gallery"),
        takes=takes,
        metavar="WHAT",
        default="train",
        text=f"clips to find: {what}",
    )
    groups.add(
        *(group, "--query"),
        takes=takes,
        metavar="WHAT",
        default=None,
        text=f"clips to look up: {what}",
        shown="val",
    )
    groups.add(
        group,
        "--query-file",
        takes=groups.file_path,
        metavar="CLIP.skeleton",
        default=None,
        text="look up one raw NTU RGB+D recording and list the nearest clips",
        shown="none",
    )


def _check_query(parser: groups.Parser, options: argparse.Namespace) -> None:
    """Refuse what one recording's look-up does not do; fill in the defaults."""
    one = options.query_file
    for name in ("query", "save_features", "output_path"):
        if one is not None and getattr(options, name) is not None:
            flag = f"--{name.replace('_', '-')} {getattr(options, name)}"
            parser.error(f"{flag}: --query-file only lists the clips nearest to it; leave one out")
    usual = (1,) if one is None else ()
    options.knn_neighbours = tuple(sorted(set(options.knn_neighbours or usual)))
    options.query = options.query or "val"
