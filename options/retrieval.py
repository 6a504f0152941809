"""Options of action_retrieval.py; the defaults are the published run.

Source: the published command for NTU-60 cross-view joint (HiCo, AAAI 2023, arXiv:2212.02082).
"""

from dataclasses import dataclass
from pathlib import Path

from moco.config import SettingError
from options.groups import (
    REPLACE,
    EvaluationOptions,
    TrainingOptions,
    file_option,
    output_option,
    overwrite_option,
)
from options.parser import Parser, any_text, as_plain, changed, group, option, whole
from options.recordings import ReadingOptions

ONLY_LISTS = "--query-file only lists the clips nearest to it; leave one out"
WHAT = "train | val | a file of sample names, one a line"


@dataclass(frozen=True)
class SearchOptions:
    """What is looked up in what, and how many neighbours count.

    `neighbours` rises; it is empty where a recording is looked up and nobody says how many.

    Raises:
        SettingError: what the look-up of one recording does not do, or a name that is no .npz.
    """

    neighbours: tuple[int, ...] | None = option(
        None,
        "--knn-neighbours",
        read=whole(1),
        least=1,
        metavar="N",
        help="nearest training clips that vote on a test clip, one number or several",
        shown="1; 10 with --query-file",
    )
    batch_size: int = changed(
        TrainingOptions, "batch_size", default=256, help="clips encoded at a time"
    )
    gallery: str = option("train", read=any_text, metavar="WHAT", help=f"clips to find: {WHAT}")
    query: str | None = option(
        None, read=any_text, metavar="WHAT", help=f"clips to look up: {WHAT}", shown="val"
    )
    query_file: Path | None = file_option(
        None,
        "CLIP",
        "look up one raw recording and list the nearest clips: NTU's .skeleton, or .npy or "
        ".bvh as tools.prepare custom takes it",
    )
    save_features: Path | None = file_option(
        None, "FILE.npz", "file for the features, labels and names of both parts"
    )

    def __post_init__(self) -> None:
        name = self.save_features
        if name is not None and name.suffix != ".npz":
            raise SettingError("save_features", name, "the name must end in .npz")
        for field in ("query", "save_features"):
            if self.query_file is not None and getattr(self, field) is not None:
                raise SettingError(field, getattr(self, field), ONLY_LISTS)
        usual = (1,) if self.query_file is None else ()
        object.__setattr__(self, "neighbours", tuple(sorted(set(self.neighbours or usual))))
        object.__setattr__(self, "query", self.query or "val")


@dataclass(frozen=True, kw_only=True)
class RetrievalOptions(EvaluationOptions):
    """Everything one retrieval is told."""

    search: SearchOptions = group(SearchOptions, "retrieval")
    reading: ReadingOptions = group(ReadingOptions, "recording of --query-file")
    output_path: Path | None = output_option("folder for results.json")
    overwrite: bool = overwrite_option(REPLACE, title="files")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search.query_file is not None and self.output_path is not None:
            raise SettingError("output_path", self.output_path, ONLY_LISTS)
        for name, value in as_plain(self.reading).items():
            if self.search.query_file is None and value is not None:
                raise SettingError(f"reading.{name}", value, "only --query-file needs it")


def parser() -> Parser[RetrievalOptions]:
    """The command line of action_retrieval.py."""
    return Parser(
        RetrievalOptions, "Score a frozen encoder by the action of the nearest training clips."
    )
