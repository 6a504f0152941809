"""Options that the formats of `tools.prepare` share; a format's module adds its own."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dataset.protocols import OTHER_WORDS
from moco.config import SettingError
from options.groups import overwrite_option
from options.parser import REQUIRED, declared, file_path, one_of, option, whole


def raw_option(help: str, metavar: str = "DIR") -> Path:
    """A field for what is read, a folder (DIR) or a FILE."""
    return option(REQUIRED, read=file_path, metavar=metavar, help=help)


def choice_option(default: Any, names: Iterable[str], help: str) -> str:
    """A field for one of some names; its help lists them."""
    names = tuple(names)
    text = f"{help}: {' | '.join(names)}"
    return option(default, read=one_of(names, OTHER_WORDS), metavar="NAME", help=text)


def workers_option() -> int:
    """A field for the number of processes."""
    cores = os.cpu_count() or 1
    flags = ("-j", "--workers")
    return option(
        cores, *flags, read=whole(1), metavar="N", help="processes", shown="one for each core"
    )


@dataclass(frozen=True, kw_only=True)
class RawOptions:
    """What is read, and where the arrays go.

    Attributes:
        loses: what no preparation of the format can bring back, for --help and the summary.

    Raises:
        SettingError: there is no such folder or file.
    """

    loses: ClassVar[tuple[str, ...]] = ()
    raw: Path = raw_option("folder of the raw recordings")
    out: Path = option(
        Path("data"), read=file_path, metavar="DIR", help="data path to write to", shown="./data"
    )
    skip_bad: bool = option(False, help="leave bad recordings out, instead of stopping at them")
    overwrite: bool = overwrite_option("replace arrays that were made of another source than --raw")

    def __post_init__(self) -> None:
        folder = declared(type(self))["raw"].metavar == "DIR"
        if not (self.raw.is_dir() if folder else self.raw.is_file()):
            raise SettingError("raw", self.raw, f"no such {'folder' if folder else 'file'}")


@dataclass(frozen=True, kw_only=True)
class BuildOptions(RawOptions):
    """How the arrays are made where clips are normalised."""

    no_rotate_z: bool = option(
        False, help="do not turn the spine of the first frame upright, onto +z"
    )
    workers: int = workers_option()
