"""Options of `python -m tools.features`; the defaults are what is scored, of both parts."""

from dataclasses import dataclass
from pathlib import Path

from dataset.protocols import PARTS
from moco.config import SettingError
from options.groups import RANDOM, DataOptions, EvaluationOptions, RunOptions, file_option
from options.parser import Parser, changed, group, one_of, option
from options.retrieval import SearchOptions

LEVELS = ("clip", "part", "temporal", "spatial", "instance")
"""As moco.heads, which is not read here because it loads torch, names them."""


@dataclass(frozen=True)
class WantedOptions:
    """Which features are written."""

    levels: tuple[str, ...] = option(
        ("instance",),
        "--level",
        read=one_of(LEVELS),
        least=1,
        metavar="LEVEL",
        help=f"one level or several: {' | '.join(LEVELS)}",
        shown="instance, what is scored",
    )
    projections: bool = option(
        False, help="unit vectors behind the heads, where the contrast is, instead of before them"
    )
    parts: tuple[str, ...] = option(
        PARTS, "--part", read=one_of(PARTS), least=1, metavar="PART", help=" | ".join(PARTS)
    )
    batch_size: int = changed(SearchOptions, "batch_size")


@dataclass(frozen=True, kw_only=True)
class FeaturesOptions(EvaluationOptions):
    """Everything the command is told.

    Raises:
        SettingError: nothing to write, a name that is no .npz, or projections of a random encoder.
    """

    data: DataOptions = group(
        DataOptions,
        "data",
        dataset={"flags": ("--dataset", "--finetune-dataset")},
        stream={"flags": ("--stream", "--finetune-skeleton-representation")},
    )
    wanted: WantedOptions = group(WantedOptions, "features")
    output: Path | None = file_option(None, "FILE.npz", "file for the features")
    projector: Path | None = file_option(
        None,
        "DIR",
        "folder for TensorBoard's projector, with names and classes of at most 2,000 clips",
    )
    run: RunOptions = group(
        RunOptions, "run", seed={"default": 0, "shown": "0", "help": "of a random encoder"},
        print_freq={"help": "unneeded; taken as the other evaluations take it"},
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output is None and self.projector is None:
            raise SettingError("output", "", "is missing; give it, or --projector DIR, or both")
        if self.output is not None and self.output.suffix != ".npz":
            raise SettingError("output", self.output, "the name must end in .npz")
        if self.wanted.projections and self.pretrained == RANDOM:
            fault = "a random encoder has no trained heads; leave it out"
            raise SettingError("wanted.projections", True, fault)


def parser() -> Parser[FeaturesOptions]:
    """The command line of tools.features."""
    return Parser(
        FeaturesOptions,
        "Write features of a data set at any level, to a file or for TensorBoard to show.",
        program="python -m tools.features",
    )
