"""Where the arrays of a folder come from: `prepared.json`, which `tools.prepare` puts beside them.

format, dataset, protocol   what was prepared
source                      raw (a path), count, item: what was read
options, losses, remarks    how it was read, and what that lost
counts                      clips of each part, and classes
twins                       test clips that also stand in the training part
version                     of this project
sha256                      of each file beside it
generation                  one name for all of that content: SHA-256 over sha256
"""

import functools
import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np

if TYPE_CHECKING:
    from dataset.arrays import SplitArrays

PREPARED = "prepared.json"
"""What it is called."""
_KEYS = {"format": str, "source": dict, "counts": dict, "version": str, "sha256": dict}
_ATTEMPTS = 20
Arguments = ParamSpec("Arguments")
Read = TypeVar("Read")


def read_prepared(folder: Path | str) -> dict[str, Any] | None:
    """Read what a folder says of its arrays; None where it says nothing.

    Raises:
        ValueError: when it is damaged.
    """
    path = Path(folder) / PREPARED
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_bytes())
        good = all(isinstance(content[key], kind) for key, kind in _KEYS.items())
        good = good and isinstance(content["twins"], int) and content["source"].keys() > {"raw"}
        good = good and content["generation"] == generation(content["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        good = False
    if not good:
        raise ValueError(f"{path} is damaged; prepare the data set again")
    return content


def generation(sha256: Mapping[str, str]) -> str:
    """Name the content of a folder: SHA-256 over the names and SHA-256 of its files."""
    return hashlib.sha256(json.dumps(sorted(sha256.items())).encode()).hexdigest()


def describe(prepared: Mapping[str, Any] | None) -> str:
    """Say in one line where arrays come from."""
    if prepared is None:
        return f"nothing says where these arrays come from: no {PREPARED}"
    source = prepared["source"]
    return (
        f"prepared by {prepared['format']} from {source['count']} {source['item']}s, "
        f"version {prepared['version']}, data {prepared['generation'][:16]}"
    )


def clips_of(arrays: "SplitArrays") -> dict[str, Any]:
    """What checkpoints and results say of where clips come from, as plain values."""
    prepared = arrays.prepared
    name = None if prepared is None else prepared["generation"]
    return {"origin": arrays.origin, "prepared": name, "from": describe(prepared)}


def count_twins(train: "SplitArrays", test: "SplitArrays") -> int:
    """Return what `prepared.json` says of twins; count them where there is none."""
    return twins(train, test) if test.prepared is None else test.prepared["twins"]


def twins(train: "SplitArrays", test: "SplitArrays") -> int:
    """Count the test clips whose recorded frames are those of a training clip, to the last bit.

    Clips in which nothing was recorded are alike and do not count.
    """
    seen = {_digest(train, row) for row in range(len(train.data))}
    return sum(_digest(test, row) in seen for row in range(len(test.data))) if seen else 0


def _digest(arrays: "SplitArrays", row: int) -> bytes | float:
    """Stand for the recorded frames of a clip; of an empty clip, equal to nothing."""
    frames = np.ascontiguousarray(arrays.data[row, :, : arrays.num_frames[row]])
    return hashlib.sha256(frames.data).digest() if frames.any() else float("nan")


@functools.cache
def warn_once(text: str) -> None:
    """Print a warning on stderr, the same one only once."""
    print(f"warning: {text}", file=sys.stderr)


def whole(read: Callable[Arguments, Read]) -> Callable[Arguments, Read]:
    """Make a reader of several files in a folder, its first argument, see one set of them.

    A set is published by putting another folder in the place of the old one. What was read while
    that happened is read again.
    """

    @functools.wraps(read)
    def reading(*arguments: Arguments.args, **options: Arguments.kwargs) -> Read:
        """Read until nothing was put in place meanwhile."""
        folder = Path(arguments[0])
        for _ in range(_ATTEMPTS):
            before = _state(folder)
            try:
                found = read(*arguments, **options)
            except (OSError, ValueError):
                if _state(folder) == before:
                    raise
                continue
            if _state(folder) == before:
                return found
        raise ValueError(f"{folder} is replaced again and again; wait for the preparation's end")

    return reading


def _state(folder: Path) -> tuple[int, int, int] | None:
    """Tell a folder from another of the same name, and from itself with other files."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns
