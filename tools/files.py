"""Files that appear under their name only when all of them is there. Imports nothing heavy."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def write_whole(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file that appears under its name only when all of it is there.

    Args:
        path: its folder is made if need be.
        write: writes the content to an open file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def held(folder: Path) -> Iterator[int]:
    """Hold a folder, so that no second run works in it at the same time.

    A process that died holds nothing. A child that inherits the descriptor (`pass_fds`) holds the
    folder too, so an orphan still blocks a second run.

    Args:
        folder: made if need be.

    Yields:
        The descriptor of the lock.

    Raises:
        ValueError: when another run holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{folder}: another run, or a script that it began, is at work there; wait for its "
                "end or choose another folder"
            ) from None
        yield lock.fileno()
