"""From finished clips to published arrays, the same for every format: one lock, journal and swap.

Until all is done everything lies in folders that end in ".partial". Then each protocol's folder is
put in place at once, with `prepared.json` in it, which says where the arrays come from.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset.arrays import PARTIAL, SplitWriter, load_split, publish, write_unfinished
from dataset.custom import DESCRIPTION
from dataset.prepared import PREPARED, describe, generation, read_prepared, twins
from dataset.protocols import DataSet
from options.parser import as_plain
from options.prepare import RawOptions
from tools.files import file_sha256, free_space, in_bytes, no_room
from tools.prepare.pipeline.journal import Journal
from tools.prepare.pipeline.recordings import counted

VERSION = "0.1.0"
"""Of this project, as pyproject.toml has it."""
_NOT_OF_ARRAYS = ("raw", "out", "workers", "overwrite")


@dataclass(frozen=True)
class Origin:
    """Where clips come from.

    Attributes:
        format: whose module of `tools.prepare.formats` has read them.
        dataset: what they make up.
        options: of the command.
        count: files or clips that were found.
        item: what one of them is called.
    """

    format: str
    dataset: DataSet
    options: RawOptions
    count: int
    item: str

    def as_plain(self, folder: Path) -> dict[str, Any]:
        """What `prepared.json` says of it in the folder of one protocol."""
        options, places = as_plain(self.options), self.dataset.folders.items()
        return {
            "format": self.format,
            "dataset": self.dataset.name,
            "protocol": next(name for name, one in places if self.options.out / one == folder),
            "source": {"raw": self.raw, "count": self.count, "item": self.item},
            "options": {
                name: value for name, value in options.items() if name not in _NOT_OF_ARRAYS
            },
            "losses": list(self.options.loses),
            "version": VERSION,
        }

    @property
    def raw(self) -> str:
        """The path of what was read."""
        return str(self.options.raw.resolve())


def refuse_others(origin: Origin, writers: Sequence[SplitWriter]) -> None:
    """Refuse to replace arrays that were made of something else, unless --overwrite allows it.

    Raises:
        ValueError: names them and what they were made of.
    """
    if origin.options.overwrite:
        return
    for writer in writers:
        if not writer.files.data.is_file():
            continue
        found = read_prepared(writer.folder)
        said = describe(found)
        if found is not None:
            if (found["format"], found["source"]["raw"]) == (origin.format, origin.raw):
                continue
            said = f"{said}, read from {found['source']['raw']}"
        raise ValueError(
            f"{writer.folder} holds other arrays ({said}); replace them with --overwrite, or "
            "choose another --out"
        )


@contextmanager
def unfinished(
    origin: Origin, key: str, writers: Sequence[SplitWriter], resumable: bool = True
) -> Iterator[Journal]:
    """Hold the data set's journal; keep all for a restart when interrupted, nothing after a fault.

    Args:
        origin: of the clips.
        key: stands for the clips and the options.
        writers: of all parts.
        resumable: whether the same call can go on where this one was stopped.
    """
    out = origin.options.out
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{origin.dataset.name}.journal{PARTIAL}"
    with closing(Journal(path, key, writers)) as journal:
        try:
            yield journal
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt | OSError)
            if not (stopped and resumable):
                journal.discard()
                _remove_empty_folders(writers, out, new)
                raise
            with suppress(OSError):
                journal.save()
            again = "the same command goes on from there"
            if isinstance(error, OSError):
                raise OSError(f"{_in_words(error, writers)}; {again}") from None
            clips = counted(origin.count, "clip")
            raise KeyboardInterrupt(f"{len(journal.frames):,} of {clips} done; {again}") from None


def _in_words(error: OSError, writers: Sequence[SplitWriter]) -> OSError:
    """Name the file in an error, and of a full disk what is needed and free."""
    if error.filename is None:
        return error
    return no_room(Path(error.filename), error, lambda: _missing(writers))


def check_room(writers: Sequence[SplitWriter], out: Path) -> None:
    """Raise an OSError when the disk has no room for what is still to be written."""
    needed, free = _missing(writers), free_space(out)
    if needed > free:
        raise OSError(
            f"--out {out}: {in_bytes(needed)} are needed and {in_bytes(free)} are free; free some "
            "or name another folder"
        )


def _missing(writers: Sequence[SplitWriter]) -> int:
    """Bytes of coordinates that are not on the disk yet."""
    return sum(max(0, writer.size - writer.size_on_disk) for writer in writers)


def publish_whole(
    origin: Origin,
    journal: Journal,
    writers: Sequence[SplitWriter],
    remarks: Sequence[str],
    bad: Mapping[Path, str],
    description: bytes = b"",
) -> list[str]:
    """Put described parts in place, each protocol's folder at once, and forget the journal.

    Args:
        origin: of the clips.
        journal: that is held.
        writers: of all parts.
        remarks: on the clips, a line each.
        bad: what was skipped, and what is wrong with each.
        description: content of `dataset.json`, which the root of one's own data set gets.

    Returns:
        The remarks, and one more for each protocol that has test clips in its training part.
    """
    said = list(remarks)
    known = {"remarks": remarks, "skipped": {str(path): bad[path] for path in sorted(bad)}}
    for writer in writers:
        writer.sync()
    for folder in dict.fromkeys(writer.folder for writer in writers):
        parts = {writer.part: writer for writer in writers if writer.folder == folder}
        path = next(iter(parts.values())).unfinished / PREPARED
        path.unlink(missing_ok=True)  # perhaps half of it, of a run that was stopped here
        prepared = origin.as_plain(folder) | known | _examine(parts)
        write_unfinished(path, f"{json.dumps(prepared, indent=2)}\n".encode())
        if prepared["twins"]:
            clips = f"{prepared['twins']:,} of {counted(parts['val'].clips, 'test clip')}"
            said.append(f"{folder.name}: {clips} also in the training part, frame for frame")
    if description:
        write_unfinished(writers[0].place(writers[0].root / DESCRIPTION), description)
    journal.forget()  # from here on what lies there may be the old arrays
    publish(writers)
    journal.discard()
    return said


def _examine(parts: Mapping[str, SplitWriter]) -> dict[str, Any]:
    """Read finished parts once more, as whoever loads them does, and say what they hold."""
    folder = parts["train"].unfinished
    train, test = load_split(folder, origin="any")
    named = {path.name for writer in parts.values() for path in writer.paths}
    sha256 = {name: file_sha256(folder / name) for name in sorted(named)}
    return {
        "counts": {part: writer.clips for part, writer in parts.items()},
        "origin": train.origin,
        "twins": twins(train, test),
        "sha256": sha256,
        "generation": generation(sha256),
    }


def _remove_empty_folders(writers: Sequence[SplitWriter], out: Path, new: bool) -> None:
    """Remove the folders that a preparation without result has made."""
    ours = {folder for writer in writers for folder in writer.files.data.parents}
    for folder in sorted(ours, reverse=True):
        if out in folder.parents or (new and folder == out):
            with suppress(OSError):  # it is not empty, or was never made
                folder.rmdir()
