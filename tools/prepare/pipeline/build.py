"""Recordings of any format to the published arrays, whatever their number.

Each recording is read once, whatever the number of protocols, and memory holds one clip a process
beside the list of recordings.
An interrupted build goes on where it stopped; until all is done every file ends in ".partial", and
then all get their names at once.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dataset.arrays import PARTIAL, publish
from tools.prepare.pipeline.journal import Journal
from tools.prepare.pipeline.recordings import Collection, counted, state
from tools.prepare.pipeline.report import name_bad_files, progress, summarise
from tools.prepare.pipeline.splits import Split, places, plan
from tools.prepare.pipeline.work import Task, Work
from tools.prepare.pipeline.workers import in_processes

_VERSION = 1
"""Part of the journal's key: raise it when the same recordings would give other arrays."""


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


def build(collection: Collection, settings: Settings) -> None:
    """Write the arrays of all protocols of a collection, and print what became of it.

    Raises:
        ValueError: when there is a bad file, or nothing to write; nothing is left behind.
        OSError: when a file cannot be written; the same call goes on from there.
        KeyboardInterrupt: when interrupted; the same call goes on from there.
    """
    if collection.bad and not settings.skip_bad:
        raise _refusal(collection.bad, collection.item)
    by_name = sorted(collection.recordings, key=lambda recording: recording.name)
    collection = replace(collection, recordings=by_name)
    splits = plan(collection.dataset, by_name, settings.out)
    _check_room(splits, settings.out)
    with _unfinished(collection, splits, settings) as journal:
        bad = collection.bad | _prepare(collection, splits, settings, journal)
        if bad and not settings.skip_bad:
            raise _refusal(bad, collection.item)
        empty = len(by_name) - len(journal.frames) - len(bad.keys() - collection.bad.keys())
        _finish(collection, splits, journal)
    if empty:
        remark = f"{counted(empty, 'clip')} left out: nothing was recorded"
        collection = replace(collection, remarks=[*collection.remarks, remark])
    name_bad_files(bad, collection.item)
    summarise(collection, splits, len(bad), settings.out)


def _refusal(bad: Mapping[Path, str], item: str) -> ValueError:
    """Name the bad files, a line each, and return the error to end with."""
    name_bad_files(bad, item)
    return ValueError(
        f"{counted(len(bad), f'bad {item}')}, nothing written; mend or remove them, or leave them "
        "out with --skip-bad"
    )


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


@contextmanager
def _unfinished(
    collection: Collection, splits: Sequence[Split], settings: Settings
) -> Iterator[Journal]:
    """Begin or go on; keep all files for a restart when interrupted, none after a fault."""
    new = not settings.out.exists()
    settings.out.mkdir(parents=True, exist_ok=True)
    path = settings.out / f"{collection.dataset.name}.journal{PARTIAL}"
    key = _key(collection, settings.rotate_z)
    with closing(Journal(path, key, [split.writer for split in splits])) as journal:
        try:
            _begin(journal)
            yield journal
        except KeyboardInterrupt:
            journal.save()
            done = f"{len(journal.frames):,} of {counted(len(collection.recordings), 'clip')} done"
            raise KeyboardInterrupt(f"{done}; the same command goes on from there") from None
        except OSError as error:
            with suppress(OSError):
                journal.save()
            raise OSError(f"{error}; the same command goes on from there") from None
        except ValueError:
            journal.discard()
            _remove_empty_folders(splits, settings.out, new)
            raise


def _key(collection: Collection, rotate_z: bool) -> str:
    """Return a text that stands for exactly these recordings, as they are now, and the options."""
    options = [_VERSION, collection.dataset.name, rotate_z, collection.settings]
    digest = hashlib.sha256(json.dumps(options).encode())
    for one in collection.recordings:
        content = (one.name, one.label, sorted(one.parts.items()), state(one.path))
        digest.update(json.dumps(content).encode())
    return digest.hexdigest()


def _begin(journal: Journal) -> None:
    """Take up an interrupted build, or start a new one."""
    if journal.resume():
        print(f"going on after an interruption: {counted(len(journal.frames), 'clip')} done")
        return
    if not journal.is_empty():
        print("an unfinished run with other recordings or options is discarded")
    journal.begin()


def _prepare(
    collection: Collection, splits: Sequence[Split], settings: Settings, journal: Journal
) -> dict[Path, str]:
    """Prepare the recordings that are not done yet; return the bad files and their faults."""
    recordings = collection.recordings
    rows = places(splits, len(recordings))
    tasks = [
        Task(index, recording, rows[index])
        for index, recording in enumerate(recordings)
        if index not in journal.frames
    ]
    work = Work(collection.read, settings.rotate_z)
    workers = 1 if collection.in_one_process else max(1, min(settings.workers, len(tasks)))
    bad = {}
    with (
        progress(collection.dataset.name, len(recordings), len(journal.frames)) as bar,
        closing(in_processes(work, tasks, workers)) as outcomes,
    ):
        for outcome in outcomes:
            if outcome.fault:
                bad[recordings[outcome.index].path] = outcome.fault
            elif not outcome.empty:
                journal.add(outcome.index, outcome.num_frames)
            bar.update()
    journal.save()
    return bad


def _finish(collection: Collection, splits: Sequence[Split], journal: Journal) -> None:
    """Give the files their final names."""
    if len(journal.frames) < len(collection.recordings):
        journal.forget()  # rows are about to move
    for split in splits:
        split.describe(collection.recordings, journal.frames)
    publish([split.writer for split in splits])
    journal.discard()


def _remove_empty_folders(splits: Sequence[Split], out: Path, new: bool) -> None:
    """Remove the folders that a build without result has made."""
    folders = {split.writer.files.data.parent for split in splits}
    folders |= {parent for folder in folders for parent in folder.parents if out in parent.parents}
    for folder in sorted(folders, reverse=True) + [out] * new:
        with suppress(OSError):  # it is not empty, or was never made
            folder.rmdir()
