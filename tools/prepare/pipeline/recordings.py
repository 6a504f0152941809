"""What every format hands over: which recordings there are, and how to read one.

A format's module finds the recordings, a `Collection`, and gives it to `build`; normalising,
splitting and writing are the same for all. Where something cannot be read or makes no sense, it
raises an OSError or a ValueError that names it.

Axes: F frames, C=3 coordinates (metres), V=25 joints, M=1 or 2 bodies.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dataset.protocols import DataSet
from dataset.skeleton import NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from tools.prepare.pipeline.normalise import normalise

ROW_NUMBERS = NUM_BODIES * NUM_JOINTS * NUM_COORDINATES
"""Numbers of a frame in formats that write it as one row."""


class EmptyClipError(ValueError):
    """Raised by `read` for a clip in which nothing was recorded: left out and counted, not bad.

    Its argument may be a key of the collection's notes.
    """


class Noted(NamedTuple):
    """What `read` returns of a clip that is to be counted, with a key of the collection's notes."""

    coordinates: np.ndarray
    note: str


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
        read: returns the (3, F, 25, 2) coordinates of a recording, absent bodies zero; raises a
            ValueError or an OSError with what is wrong with the file, EmptyClipError where nothing
            was recorded. It runs in other processes, so it is a module's function or picklable.
        bad: files that are known to be bad without reading them, and what is wrong with each.
        remarks: what was left out on purpose, a line each.
        item: what a recording is in messages, "file" or "clip".
        settings: stands for the source and the options where names, files and labels do not.
        in_one_process: whether `read` holds data that no other process should be given.
        normalise: brings what `read` returns to 300 frames, told whether to turn spines upright.
        notes: what became of clips that `read` notes, by the word it notes them with.
        description: content of the `dataset.json` of one's own data set, published with the arrays.
    """

    dataset: DataSet
    recordings: list[Recording]
    read: Callable[[Recording], np.ndarray | Noted]
    bad: dict[Path, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    item: str = "file"
    settings: str = ""
    in_one_process: bool = False
    normalise: Callable[[np.ndarray, bool], np.ndarray] = normalise
    notes: Mapping[str, str] = field(default_factory=dict)
    description: bytes = b""

    @property
    def format(self) -> str:
        """The format that the recordings are read from: whose module `read` is of."""
        return self.read.__module__.rpartition(".")[2].replace("_", "-")


def files_under(raw: Path, *suffixes: str, by_path: bool = False) -> dict[str, Path]:
    """Find the files in a folder, and in the folders in it, that end in one of some suffixes.

    Args:
        raw: the folder.
        suffixes: how file names end.
        by_path: whether a file goes by its path in the folder, without suffix, not by its name.

    Returns:
        The files by name, sorted by it.
    """
    found: dict[str, Path] = {}
    for folder, _, names in os.walk(raw, onerror=_raise):
        for name in names:
            if not name.endswith(suffixes) or name.startswith("."):
                continue
            path = Path(folder, name)
            key = path.relative_to(raw).with_suffix("").as_posix() if by_path else name
            if key in found:
                raise ValueError(f"{path} and {found[key]} have one name; remove one of them")
            found[key] = path
    if not found:
        wanted = " or ".join(f"*{suffix}" for suffix in suffixes)
        raise FileNotFoundError(f"--raw {raw}: no {wanted} file in it; name the folder with them")
    return dict(sorted(found.items()))


def _raise(error: OSError) -> None:
    raise error


def two_bodies(bodies: np.ndarray) -> np.ndarray:
    """Bring (M, F, V, C) coordinates to (C, F, V, 2) float32; an absent second body is zero."""
    if not 1 <= len(bodies) <= NUM_BODIES:
        raise ValueError(f"it has {len(bodies)} bodies, not 1 or 2")
    _, frames, joints, coordinates = bodies.shape
    parsed = np.zeros((coordinates, frames, joints, NUM_BODIES), np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold is named as not finite
        parsed[..., : len(bodies)] = bodies.transpose(3, 1, 2, 0)
    return parsed


def bodies_of_rows(rows: np.ndarray) -> np.ndarray:
    """Split rows (F, 150), ordered body, joint, coordinate, into bodies (2, F, V, C)."""
    return rows.reshape(-1, NUM_BODIES, NUM_JOINTS, NUM_COORDINATES).transpose(1, 0, 2, 3)


def state(path: Path) -> tuple[int, int]:
    """Return size and time of the last change of a file; zeros when they are not to be known."""
    with suppress(OSError):
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    return 0, 0


def counted(number: int, what: str) -> str:
    """Write a number of things: "1 clip", "2,000 clips"."""
    return f"{number:,} {what}{'s' if number != 1 else ''}"


def remarks_on(*counts: tuple[int, str, str]) -> list[str]:
    """Write remarks of a number, of what, and what became of them; none where the number is 0."""
    return [f"{counted(number, what)} {became}" for number, what, became in counts if number]
