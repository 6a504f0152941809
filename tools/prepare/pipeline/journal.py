"""An unfinished preparation on disk: which of its clips are safe, so that a restart goes on there.

The journal is a text file: a first line that stands for the recordings and the options, then a line
`INDEX FRAMES` or `INDEX FRAMES NOTE` for each clip. A clip enters it only after its coordinates
have reached the disk.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from dataset.arrays import SplitWriter
from tools.files import open_locked

SECONDS_BETWEEN_SAVES = 5.0


class Journal:
    """The journal of one preparation; whoever has it open is the only one writing.

    Attributes:
        frames: recorded frames of each finished clip, by its index.
        notes: of the clips among them that are to be counted, by index.
    """

    def __init__(self, path: Path, key: str, writers: Sequence[SplitWriter]) -> None:
        """Open a journal, or make an empty one.

        Args:
            path: the journal's file, in a folder that is there.
            key: stands for the recordings and the options; no line break in it.
            writers: the parts of splits that the clips are written to.

        Raises:
            ValueError: when another process has it open.
        """
        self.path, self._key, self._writers = path, key, writers
        self.frames, self._unsaved = dict[int, int](), dict[int, int]()
        self.notes = dict[int, str]()
        self._saved_at = time.monotonic()
        file = open_locked(path)
        if file is None:
            raise ValueError(f"{path}: another preparation is writing here; wait for it")
        self._file = file

    def is_empty(self) -> bool:
        """Whether nothing was ever started here."""
        return os.fstat(self._file.fileno()).st_size == 0

    def resume(self) -> bool:
        """Take up what an interrupted run has left, if it had these recordings and options."""
        self._file.seek(0)
        whole = self._file.read().rpartition(b"\n")[0]  # without a last line that was cut short
        first, *lines = whole.decode("ascii", errors="replace").split("\n")
        if first != self._key or not all(writer.is_started() for writer in self._writers):
            return False
        self._file.truncate(len(whole) + 1)
        for line in lines:
            index, count, *note = line.split(maxsplit=2)
            self.frames[int(index)] = int(count)
            if note:
                self.notes[int(index)] = note[0]
        return True

    def begin(self) -> None:
        """Start anew, with files in which nothing is written yet."""
        self.forget()
        for writer in self._writers:
            writer.discard()
        for writer in self._writers:
            writer.create()
        self._append(f"{self._key}\n")

    def add(self, index: int, frames: int, note: str = "") -> None:
        """Note a finished clip, and every few seconds save what is noted."""
        self._unsaved[index] = frames
        if note:
            self.notes[index] = note
        if time.monotonic() - self._saved_at > SECONDS_BETWEEN_SAVES:
            self.save()

    def save(self) -> None:
        """Make sure that all noted clips are on the disk, then write that down."""
        if not self._unsaved:
            return
        for writer in self._writers:
            writer.sync()
        lines = (
            f"{index} {count} {self.notes.get(index, '')}".rstrip() + "\n"
            for index, count in self._unsaved.items()
        )
        self._append("".join(lines))
        self.frames |= self._unsaved
        self._unsaved = {}
        self._saved_at = time.monotonic()

    def forget(self) -> None:
        """Make a restart begin anew, whatever happens from here."""
        self._file.truncate(0)
        os.fsync(self._file.fileno())

    def discard(self) -> None:
        """Remove everything unfinished and the journal itself."""
        for writer in self._writers:
            writer.discard()
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let others write here."""
        self._file.close()

    def _append(self, text: str) -> None:
        begin, rest = self._file.seek(0, os.SEEK_END), text.encode("ascii")
        try:
            while rest:  # a disk with little room takes a part of it, without an error
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except BaseException as error:
            self._file.truncate(begin)  # what is added later must not go on in a half line
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, str(self.path)) from None
            raise
