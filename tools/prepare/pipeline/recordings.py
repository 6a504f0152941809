"""What every format hands over: which recordings there are, and how to read one.

A format is one module with a `main` that collects a `Collection` and gives it to
`tools.prepare.pipeline.build.build`; normalising, splitting and writing are the same for all.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dataset.protocols import DataSet


class EmptyClipError(ValueError):
    """Raised by `read` for a clip in which nothing was recorded: left out and counted, not bad."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One clip to prepare.

    Attributes:
        name: what the label file calls it; clips are sorted by it.
        path: the file it is read from; of a clip in a larger file, that file's path and its name.
        label: its class, from 0 on.
        parts: "train" or "val" for each protocol it belongs to.
    """

    name: str
    path: Path
    label: int
    parts: Mapping[str, str]


@dataclass(frozen=True)
class Collection:
    """The recordings of one data set in one raw folder.

    Attributes:
        dataset: the data set they make up.
        recordings: the clips to prepare, in any order, each name once.
        read: returns the (3, F, 25, 2) coordinates in metres of a recording's F frames, the two
            bodies chosen and absent ones zero; raises ValueError with what is wrong with the file,
            EmptyClipError where nothing was recorded.
            Runs in several processes, so it must be a module's function or a picklable object.
        bad: files that are known to be bad without reading them, and what is wrong with each.
        remarks: what was left out on purpose, a line each.
        loses: what no conversion of this format brings back, a line each.
        item: what a recording is in messages, "file" or "clip".
        settings: stands for the source and the options where names, files and labels do not.
        in_one_process: whether `read` holds data that no other process should be given.
    """

    dataset: DataSet
    recordings: list[Recording]
    read: Callable[[Recording], np.ndarray]
    bad: dict[Path, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    loses: Sequence[str] = ()
    item: str = "file"
    settings: str = ""
    in_one_process: bool = False


def files_under(raw: Path, suffix: str) -> list[Path]:
    """List the files of a folder and the folders in it whose names end in a suffix, sorted by name.

    Raises:
        FileNotFoundError: when there is no such folder, or no such file in it.
        ValueError: when two files have the same name.
    """
    found: dict[str, Path] = {}
    for folder, _, names in os.walk(existing_folder(raw), onerror=_raise):
        for name in names:
            if not name.endswith(suffix) or name.startswith("."):
                continue
            path = Path(folder, name)
            if name in found:
                raise ValueError(f"{path} and {found[name]} have one name; remove one of them")
            found[name] = path
    if not found:
        raise FileNotFoundError(f"--raw {raw}: no *{suffix} file in it; name the folder with them")
    return [found[name] for name in sorted(found)]


def existing_folder(raw: Path) -> Path:
    """Return the folder that --raw names.

    Raises:
        FileNotFoundError: when there is none.
    """
    if not raw.is_dir():
        raise FileNotFoundError(f"--raw {raw}: no such folder")
    return raw


def existing_file(raw: Path) -> Path:
    """Return the file that --raw names.

    Raises:
        FileNotFoundError: when there is none.
    """
    if not raw.is_file():
        raise FileNotFoundError(f"--raw {raw}: no such file")
    return raw


def state(path: Path) -> tuple[int, int]:
    """Return size and time of the last change of a file; zeros when they are not to be known."""
    with suppress(OSError):
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    return 0, 0


def _raise(error: OSError) -> None:
    raise error


def counted(number: int, what: str) -> str:
    """Write a number of things: "1 clip", "2,000 clips"."""
    return f"{number:,} {what}{'s' if number != 1 else ''}"
