"""Options of `python -m tools.report`; the defaults make a page of less than 5 MB."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moco.config import SettingError
from options.groups import DataOptions, RunOptions, file_option
from options.parser import REQUIRED, Parser, changed, file_path, group, option, whole, words
from options.pretraining import WatchOptions
from options.retrieval import SearchOptions


def _own(name: str) -> Any:
    """An option of the data that a run says of itself where it is not given."""
    return changed(DataOptions, name, default=None, shown="the run's own")


@dataclass(frozen=True)
class ReportData:
    """Which clips are shown; what a run's checkpoint says of itself need not be given."""

    data_path: Path = changed(DataOptions, "data_path")
    dataset: str | None = _own("dataset")
    protocol: str | None = _own("protocol")
    stream: str | None = _own("stream")


@dataclass(frozen=True)
class SampleOptions:
    """How much is looked at and shown.

    Raises:
        SettingError: another number of --knn-clips than two.
    """

    knn_clips: tuple[int, ...] = changed(
        WatchOptions,
        "knn_clips",
        read=whole(6),
        help="training and test clips, at most, that the report encodes",
    )
    queries: int = option(
        100, read=whole(1), metavar="N", help="queries in the gallery, shared by the runs"
    )
    frames: int = option(24, read=whole(2, 64), metavar="N", help="frames of a clip in the gallery")
    map_clips: int = option(400, read=whole(6), metavar="N", help="clips in a map")
    batch_size: int = changed(SearchOptions, "batch_size")
    seed: int = changed(
        RunOptions, "seed", default=0, shown="0", help="of the samples, maps and random encoder"
    )

    def __post_init__(self) -> None:
        if len(self.knn_clips) != 2:
            raise SettingError("knn_clips", self.knn_clips, "needs two numbers, as in 4000 2000")


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Everything the report is told."""

    runs: tuple[Path, ...] = words(
        REQUIRED,
        read=file_path,
        metavar="RUN",
        least=1,
        help="folders that pretraining.py wrote, or checkpoints in them",
    )
    output: Path = file_option(Path("report.html"), "FILE.html", "file for the page")
    animation: Path | None = file_option(
        None, "FILE.svg", "file for a moving picture of the first two queries of the gallery"
    )
    data: ReportData = group(ReportData, "data")
    sample: SampleOptions = group(SampleOptions, "samples")
    device: str = changed(RunOptions, "device")

    def __post_init__(self) -> None:
        if self.output.suffix not in (".html", ".htm"):
            raise SettingError("output", self.output, "the name must end in .html")
        if self.animation is not None and self.animation.suffix != ".svg":
            raise SettingError("animation", self.animation, "the name must end in .svg")


def parser() -> Parser[ReportOptions]:
    """The command line of tools.report."""
    return Parser(
        ReportOptions,
        "Show one run or several as one self-contained page to look at.",
        program="python -m tools.report",
    )
