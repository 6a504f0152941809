"""Options that the formats of `tools.prepare` share; a format's module adds its own."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from moco.config import SettingError
from options.parser import REQUIRED, file_path, option, whole


def workers_option() -> int:
    """A field for the number of processes."""
    return option(
        os.cpu_count() or 1,
        "-j",
        "--workers",
        read=whole(1),
        metavar="N",
        help="processes",
        shown="one for each core",
    )


@dataclass(frozen=True, kw_only=True)
class RawOptions:
    """What is read, and where the arrays go.

    Attributes:
        loses: what no preparation of the format can bring back, for --help and the summary.
        raw_is: what --raw names, "folder" or "file".

    Raises:
        SettingError: there is no such folder or file.
    """

    loses: ClassVar[tuple[str, ...]] = ()
    raw_is: ClassVar[str] = "folder"
    raw: Path = option(REQUIRED, read=file_path, metavar="DIR", help="folder of the raw recordings")
    out: Path = option(
        Path("data"),
        read=file_path,
        metavar="DIR",
        help="data path to write to",
        shown="./data",
    )

    def __post_init__(self) -> None:
        if not (self.raw.is_dir() if self.raw_is == "folder" else self.raw.is_file()):
            raise SettingError("raw", self.raw, f"no such {self.raw_is}")


@dataclass(frozen=True, kw_only=True)
class BuildOptions(RawOptions):
    """How the arrays are made where clips are normalised."""

    no_rotate_z: bool = option(
        False, help="do not turn the spine of the first frame upright, onto +z"
    )
    workers: int = workers_option()
    skip_bad: bool = option(False, help="leave bad recordings out, instead of stopping at them")
