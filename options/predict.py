"""Options of `python -m tools.predict`."""

from dataclasses import dataclass
from pathlib import Path

from options.groups import DataOptions, EvaluationOptions, RunOptions
from options.parser import REQUIRED, Parser, changed, file_path, group, option, whole, words
from options.recordings import ReadingOptions


@dataclass(frozen=True)
class PredictOptions:
    """Which recordings are named, and by what."""

    clips: tuple[Path, ...] = words(
        REQUIRED,
        read=file_path,
        metavar="CLIP",
        help="recordings: .skeleton, .bvh, or .npy of (F, V, 3) or (bodies, F, V, 3)",
        least=1,
    )
    classifier: Path = option(
        REQUIRED,
        read=file_path,
        metavar="FILE",
        help="a *_model_best.pth.tar",
    )
    pretrained: str = changed(
        EvaluationOptions,
        "pretrained",
        help="checkpoint of the encoder of a linear probe",
        shown="where it was when the probe was trained, seen from its file",
        title="options",
    )
    top: int = option(5, read=whole(1), metavar="N", help="likeliest classes that are listed")
    data_path: Path | None = changed(
        DataOptions,
        "data_path",
        default=None,
        help="folder of the prepared data sets; with it the nearest training clips are listed",
        shown="none",
    )
    nearest: int = option(5, read=whole(1), metavar="N", help="training clips that are listed")
    json: bool = option(False, help="print one JSON list instead of text")
    device: str = changed(RunOptions, "device")
    reading: ReadingOptions = group(ReadingOptions, "recordings")


def parser() -> Parser[PredictOptions]:
    """The command line of tools.predict."""
    return Parser(
        PredictOptions, "Name the action in recordings.", program="python -m tools.predict"
    )
