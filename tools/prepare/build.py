"""Recordings of any format to the published arrays: read, normalise, split, write.

Each recording is read once, whatever the number of protocols, and memory holds one clip a process.
An interrupted build goes on where it stopped; until all is done every file ends in ".partial", and
then all get their names at once.
"""

import hashlib
import json
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import numpy as np
from tqdm import tqdm

from dataset.arrays import PARTIAL, SplitWriter, publish
from dataset.protocols import PARTS, DataSet
from dataset.skeleton import MAX_FRAMES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from tools.prepare.journal import Journal
from tools.prepare.normalise import normalise
from tools.prepare.recordings import Collection, Recording, counted
from tools.prepare.splits import Split, places, plan
from tools.prepare.workers import in_processes

_VERSION = 1
"""Part of the journal's key: raise it when the same recordings would give other arrays."""

_INTERRUPTED = 130
"""Exit status after SIGINT, as shells have it."""


@dataclass(frozen=True)
class Settings:
    """How to build.

    Attributes:
        out: the data path; each protocol has its folder in it.
        rotate_z: whether the first frame's spine is turned onto +z.
        workers: number of processes.
        skip_bad: whether bad files are left out, instead of nothing being written.
    """

    out: Path
    rotate_z: bool = True
    workers: int = 1
    skip_bad: bool = False


@dataclass(frozen=True)
class Task:
    """A recording, its index, and the rows that it fills."""

    index: int
    recording: Recording
    rows: list[tuple[SplitWriter, int]]


@dataclass(frozen=True)
class Outcome:
    """What became of a task: the recorded frames, or what is wrong with the file."""

    index: int
    num_frames: int
    fault: str = ""


@dataclass(frozen=True)
class Work:
    """What is done for each recording, in any process."""

    read: Callable[[Recording], np.ndarray]
    rotate_z: bool

    def __call__(self, task: Task) -> Outcome:
        """Read, check, normalise and write one recording."""
        try:
            parsed = self.read(task.recording)
            check(parsed)
        except (ValueError, OSError) as error:
            return Outcome(task.index, 0, " ".join(str(error).split()))
        clip = normalise(parsed, self.rotate_z)
        for writer, row in task.rows:
            writer.write(row, clip)
        return Outcome(task.index, parsed.shape[1])


def check(parsed: np.ndarray) -> None:
    """Check what a format has read: (3, F, 25, 2), 1 to 300 frames, all values finite.

    Raises:
        ValueError: when it is not like that.
    """
    shape = (NUM_COORDINATES, parsed.shape[1], NUM_JOINTS, NUM_BODIES)
    if parsed.shape != shape:
        raise ValueError(f"its coordinates have shape {parsed.shape}, not {shape}")
    if not 1 <= parsed.shape[1] <= MAX_FRAMES:
        raise ValueError(f"it has {parsed.shape[1]} frames, not 1 to {MAX_FRAMES}")
    finite = np.isfinite(parsed).all(axis=(0, 2, 3))
    if not finite.all():
        raise ValueError(f"it has a coordinate that is not finite in frame {finite.argmin()}")


def build(collection: Collection, settings: Settings) -> None:
    """Write the arrays of all protocols of a collection, and print what became of it.

    Raises:
        ValueError: when there is a bad file, or nothing to write; nothing is left behind.
        OSError: when a file cannot be written; the same call goes on from there.
        SystemExit: when interrupted; the same call goes on from there.
    """
    recordings = sorted(collection.recordings, key=lambda recording: recording.name)
    if collection.bad and not settings.skip_bad:
        raise _refusal(collection.bad)
    splits = plan(collection.dataset, recordings, settings.out)
    _check_room(splits, settings.out)
    with _unfinished(collection, recordings, splits, settings) as journal:
        _begin(journal)
        bad = collection.bad | _prepare(collection, recordings, splits, settings, journal)
        if bad and not settings.skip_bad:
            raise _refusal(bad)
        _finish(splits, recordings, journal)
    _report(collection, splits, bad, settings.out)


@contextmanager
def _unfinished(
    collection: Collection, recordings: Sequence[Recording], splits: list[Split], settings: Settings
) -> Iterator[Journal]:
    """Open the journal; keep it and all files after an interruption, remove them after a fault."""
    new = not settings.out.exists()
    settings.out.mkdir(parents=True, exist_ok=True)
    path = settings.out / f"{collection.dataset.name}.journal{PARTIAL}"
    key = _key(collection.dataset, recordings, settings.rotate_z)
    journal = Journal(path, key, [split.writer for split in splits])
    try:
        with _interruptible():
            yield journal
    except KeyboardInterrupt:
        journal.save()
        print(
            f"interrupted: {len(journal.frames):,} of {len(recordings):,} clips are done; "
            "the same command goes on from there",
            file=sys.stderr,
        )
        raise SystemExit(_INTERRUPTED) from None
    except OSError as error:
        with suppress(OSError):
            journal.save()
        raise OSError(f"{error}; the same command goes on from there") from None
    except ValueError:
        journal.discard()
        _remove_empty_folders(splits, settings.out, new)
        raise
    finally:
        journal.close()


def _key(dataset: DataSet, recordings: Sequence[Recording], rotate_z: bool) -> str:
    """Return a text that stands for exactly these recordings, as they are now, and the options."""
    states = [
        (one.name, one.label, sorted(one.parts.items()), _state(one.path)) for one in recordings
    ]
    content = json.dumps([_VERSION, dataset.name, rotate_z, states])
    return hashlib.sha256(content.encode()).hexdigest()


def _state(path: Path) -> tuple[int, int]:
    """Return size and time of the last change of a file; zeros when they are not to be known."""
    with suppress(OSError):
        status = path.stat()
        return status.st_size, status.st_mtime_ns
    return 0, 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM interrupt like SIGINT."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _check_room(splits: Sequence[Split], out: Path) -> None:
    """Raise an OSError when the disk has no room for what is still to be written."""
    needed = sum(split.writer.size - split.writer.size_on_disk for split in splits)
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OSError(
            f"--out {out}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; "
            "free some or name another folder"
        )


def _begin(journal: Journal) -> None:
    """Take up an interrupted build, or start a new one."""
    if journal.resume():
        print(f"going on after an interruption: {len(journal.frames):,} clips are done")
        return
    if not journal.is_empty():
        print("an unfinished run with other recordings or options is discarded")
    journal.begin()


def _prepare(
    collection: Collection,
    recordings: Sequence[Recording],
    splits: Sequence[Split],
    settings: Settings,
    journal: Journal,
) -> dict[Path, str]:
    """Prepare the recordings that are not done yet; return the bad files and their faults."""
    rows = places(splits, len(recordings))
    tasks = [
        Task(index, recording, rows[index])
        for index, recording in enumerate(recordings)
        if index not in journal.frames
    ]
    work = Work(collection.read, settings.rotate_z)
    workers = max(1, min(settings.workers, len(tasks)))
    bad = {}
    with (
        _bar(collection.dataset.name, len(recordings), len(journal.frames)) as bar,
        closing(in_processes(work, tasks, workers)) as outcomes,
    ):
        for outcome in outcomes:
            if outcome.fault:
                bad[recordings[outcome.index].path] = outcome.fault
            else:
                journal.add(outcome.index, outcome.num_frames)
            bar.update()
    journal.save()
    return bad


def _bar(title: str, total: int, done: int) -> tqdm:
    """Show progress, rate and time left; seldom where nobody watches."""
    seconds = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(desc=title, total=total, initial=done, unit="clip", mininterval=seconds)


def _refusal(bad: Mapping[Path, str]) -> ValueError:
    """Name the bad files, a line each, and return the error to end with."""
    _name_bad_files(bad)
    return ValueError(
        f"{counted(len(bad), 'bad file')}, nothing written; mend or remove them, or leave them "
        "out with --skip-bad"
    )


def _name_bad_files(bad: Mapping[Path, str]) -> None:
    for path, fault in sorted(bad.items(), key=lambda item: item[0].name):
        print(f"bad file {path}: {fault}", file=sys.stderr)


def _finish(splits: Sequence[Split], recordings: Sequence[Recording], journal: Journal) -> None:
    """Give the files their final names."""
    if len(journal.frames) < len(recordings):
        journal.forget()  # rows are about to move
    for split in splits:
        split.describe(recordings, journal.frames)
    publish([split.writer for split in splits])
    journal.discard()


def _remove_empty_folders(splits: Sequence[Split], out: Path, new: bool) -> None:
    """Remove the folders that a build without result has made."""
    folders = {split.writer.files.data.parent for split in splits}
    folders |= {parent for folder in folders for parent in folder.parents if out in parent.parents}
    for folder in sorted(folders, reverse=True) + [out] * new:
        with suppress(OSError):  # it is not empty, or was never made
            folder.rmdir()


def _report(
    collection: Collection, splits: Sequence[Split], bad: Mapping[Path, str], out: Path
) -> None:
    """Print what was written, beside the published counts."""
    _name_bad_files(bad)
    dataset = collection.dataset
    print(f"{dataset.title} in {out}:")
    for protocol, folder in dataset.folders.items():
        counts = {split.part: len(split.indices) for split in splits if split.protocol == protocol}
        published = dataset.rules[protocol].counts
        print(f"  {folder}: {_parts(counts)}; published: {_parts(published)}")
        if counts != published:
            print(f"warning: {protocol} does not have the published number of clips")
    for remark in collection.remarks:
        print(f"  {remark}")
    if bad:
        print(f"  {counted(len(bad), 'bad file')} skipped")


def _parts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {counts[part]:,}" for part in PARTS)
