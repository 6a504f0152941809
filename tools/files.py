"""Files that appear under their name only when all of them is there. Imports nothing heavy."""

import errno
import fcntl
import hashlib
import io
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a disk, a quota or a largest size that leaves no room."""
TEMPORARY = re.compile(r"\..+\.[0-9a-z_]+\.tmp")
"""Names of files that are being written."""
UNFINISHED = set[str]()
"""Files that this process is writing; `tools.signals` removes them when it ends at once."""
_TIDIED = set[str]()  # folders that were freed of what dead processes left


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file that appears under its name only when all of it is on the disk.

    The first file in a folder finds what processes that died left half-written, and removes it.

    Args:
        path: its folder is made if need be.
        write: writes the content to an open file; called again where the disk is full, to learn how
            much it needs.

    Raises:
        OSError: names the file; what was there under its name is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if str(path.parent) not in _TIDIED:
        remove_abandoned(path.parent)
        _TIDIED.add(str(path.parent))
    temporary, raw = _open_temporary(path)
    try:
        with raw, io.BufferedWriter(raw) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except Exception as error:
        # torch.save wraps what the disk says in an error of its own.
        fault = raw.fault or error
        if not isinstance(fault, OSError):
            raise
        raise no_room(path, fault, lambda: _size(write)) from None
    finally:
        temporary.unlink(missing_ok=True)
        UNFINISHED.discard(str(temporary))
    sync_folder(path.parent)


def no_room(path: Path, fault: OSError, size: Callable[[], int] = lambda: 0) -> OSError:
    """What to raise for a fault in writing a file: it names the file, and the space of a full disk.

    Args:
        path: of the file.
        fault: what the system said.
        size: computes the bytes of the whole file; 0 where nobody knows.
    """
    if fault.errno not in FULL:
        return OSError(fault.errno, fault.strerror or str(fault), str(path))
    needed = size()
    needs = f"it needs {in_bytes(needed)}, " if needed else ""
    return OSError(
        f"{path}: the disk is full; {needs}{in_bytes(free_space(path))} are free: free some or "
        "choose another folder; what was saved before is intact"
    )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file in what the system says when it cannot be written, or its disk is full."""
    try:
        yield
    except OSError as error:
        raise no_room(path, error) from None


def free_space(path: Path) -> int:
    """Bytes that are free where a file or folder is, or is going to be."""
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free


def in_bytes(count: int) -> str:
    """Write a number of bytes: 1.5 kB, 2.0 MB."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


class _Raw(io.FileIO):
    """A file that remembers what the system said when it could not be written."""

    fault: OSError | None = None

    def write(self, content: bytes) -> int | None:
        """As io.FileIO."""
        try:
            return super().write(content)
        except OSError as error:
            self.fault = error
            raise


class _Counter(io.RawIOBase):
    """Counts the bytes that are written to it."""

    count = 0

    def writable(self) -> bool:
        """As io.RawIOBase."""
        return True

    def write(self, content: bytes) -> int:
        """Count and drop."""
        size = memoryview(content).nbytes
        self.count += size
        return size


def _size(write: Callable[[IO[bytes]], object]) -> int:
    """Bytes that a content takes; 0 where it cannot be said."""
    counter = _Counter()
    with suppress(Exception):
        write(counter)
    return counter.count


def _open_temporary(path: Path) -> tuple[Path, _Raw]:
    """Open a new file beside another, of a name that nobody guesses, and lock it.

    The lock says that its writer is alive. The mode is what the umask leaves.
    """
    while True:
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        UNFINISHED.add(str(temporary))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        raw = _Raw(os.open(temporary, flags, 0o666), "wb")
        _lock(raw.fileno())
        if os.fstat(raw.fileno()).st_nlink:  # nobody took it for abandoned before it was locked
            return temporary, raw
        raw.close()
        UNFINISHED.discard(str(temporary))


def _lock(descriptor: int) -> bool:
    """Lock an open file; False where another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def remove_abandoned(folder: Path) -> None:
    """Remove the half-written files of processes that died; those of living ones are locked."""
    for entry in os.scandir(folder):
        if not TEMPORARY.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
            continue
        with suppress(OSError):
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                if _lock(descriptor):
                    os.unlink(entry.path)
            finally:
                os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk itself, where its file system can say."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**18):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def held(folder: Path, wanted: bool = True) -> Iterator[int]:
    """Hold a folder, so that no second run works in it at the same time.

    A process that died holds nothing. A child that inherits the descriptor (`pass_fds`) holds the
    folder too, so an orphan still blocks a second run.

    Args:
        folder: made if need be.
        wanted: False holds nothing, as for all but the first of processes that work together.

    Yields:
        The descriptor of the lock; -1 for none.

    Raises:
        ValueError: when another run holds it.
    """
    if not wanted:
        yield -1
        return
    folder.mkdir(parents=True, exist_ok=True)
    file = open_locked(folder / ".lock")
    if file is None:
        raise ValueError(
            f"{folder}: another run, or a script that it began, is at work there; wait for its "
            "end or choose another folder"
        )
    with file:
        yield file.fileno()


def open_locked(path: Path) -> io.FileIO | None:
    """Open a file, made if need be, as the only process that has it open; None where one has.

    What is written goes to its end. Whoever holds it may remove it.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        file = io.FileIO(os.open(path, flags, 0o666), "r+b")
        if not _lock(file.fileno()):
            file.close()
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()  # the one before removed it in between
