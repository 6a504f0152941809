"""One folder in the place of another, at once: whoever looks sees the old one or the new one."""

import contextlib
import ctypes
import os
from collections.abc import Collection
from pathlib import Path

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, of <fcntl.h> and <linux/fs.h>
_ASIDE = ".old"


def put_in_place(new: Path, folder: Path, dropped: Collection[str] = ()) -> None:
    """Put a folder in the place of another and remove the other.

    Files of others that lie in the old folder come along, unless the new one has such a name; so do
    those in folders that both have.

    Args:
        new: a finished folder, beside the other.
        folder: whose place it takes; it need not be there.
        dropped: names of files that do not come along.
    """
    if folder.is_dir():
        _bring_along(folder, new, dropped)
    for path in (new, *filter(Path.is_dir, new.iterdir())):
        _sync(path)
    if not folder.is_dir():
        new.rename(folder)
    elif not _exchange(new, folder):
        folder.rename(_aside(folder))
        new.rename(folder)
        _aside(folder).rename(new)
    _sync(folder.parent)
    if new.is_dir():
        _remove(new, folder)


def _bring_along(old: Path, new: Path, dropped: Collection[str]) -> None:
    """Link the files of an old folder, and of folders in it that the new one has too, into that."""
    for path in old.iterdir():
        other = new / path.name
        if path.is_file() and path.name not in dropped and not other.exists():
            os.link(path, other)
        elif path.is_dir() and not path.is_symlink() and other.is_dir():
            _bring_along(path, other, dropped)


def recover(folder: Path) -> None:
    """Bring back a folder that a process was about to replace when it was killed."""
    aside = _aside(folder)
    if aside.is_dir() and not folder.is_dir():
        aside.rename(folder)
    elif aside.is_dir():  # it was replaced, but not yet removed
        _remove(aside, folder)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, where system and file system can."""
    with contextlib.suppress(AttributeError, OSError):
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        return renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
    return False


def _remove(old: Path, folder: Path) -> None:
    """Remove a replaced folder; folders in it that the new one has not move there."""
    for path in list(old.iterdir()):
        other = folder / path.name
        if not path.is_dir() or path.is_symlink():
            path.unlink()
        elif other.is_dir():
            _remove(path, other)
        else:
            path.rename(other)
    old.rmdir()


def _aside(folder: Path) -> Path:
    return folder.with_name(folder.name + _ASIDE)


def _sync(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None
    finally:
        os.close(descriptor)
