"""Recordings of any format to the published arrays, whatever their number.

Each recording is read once, whatever the number of protocols, and memory holds one clip a process
beside the list of recordings. An interrupted build goes on where it stopped; until all is done
every file ends in ".partial", and then all get their names at once.
"""

import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from tqdm import tqdm

from dataset.arrays import PARTIAL, SplitWriter
from options.prepare import BuildOptions
from tools.prepare.pipeline.journal import Journal
from tools.prepare.pipeline.recordings import Collection, counted, remarks_on, state
from tools.prepare.pipeline.report import summarise
from tools.prepare.pipeline.splits import Splits
from tools.prepare.pipeline.work import Work
from tools.prepare.pipeline.workers import in_processes

_VERSION = 1
"""Part of the journal's key: raise it when the same recordings would give other arrays."""


def build(collection: Collection, options: BuildOptions) -> None:
    """Write the arrays of all protocols of a collection, and print what became of it.

    Raises:
        ValueError: when there is a bad file, or nothing to write; nothing is left behind.
        OSError: when a file cannot be written; the same call goes on from there.
        KeyboardInterrupt: when interrupted; the same call goes on from there.
    """
    item = collection.item
    if collection.bad and not options.skip_bad:
        raise _refusal(collection.bad, item)
    recordings = sorted(collection.recordings, key=attrgetter("name"))
    collection = replace(collection, recordings=recordings)
    splits = Splits(collection.dataset, recordings, options.out)
    _check_room(splits.writers, options.out)
    with _unfinished(collection, splits.writers, options) as journal:
        found = _prepare(collection, splits, options, journal)
        bad = collection.bad | found
        if bad and not options.skip_bad:
            raise _refusal(bad, item)
        if len(journal.frames) < len(recordings):
            journal.forget()  # rows are about to move
        frames = list(journal.frames.values())
        splits.publish(journal.frames)
        journal.discard()
    _name_bad(bad, item)
    empty = len(recordings) - len(journal.frames) - len(found.keys() - collection.bad.keys())
    remarks = remarks_on(
        (empty, "clip", "left out: nothing was recorded"), (len(bad), f"bad {item}", "skipped")
    )
    remarks = [*collection.remarks, *collection.remarks_on_frames(frames), *remarks]
    summarise(collection.dataset, splits.counts(), remarks, options)


def _name_bad(bad: Mapping[Path, str], item: str) -> None:
    """Print each bad file or clip and what is wrong with it on stderr, sorted by name."""
    for path in sorted(bad, key=attrgetter("name")):
        print(f"bad {item} {path}: {bad[path]}", file=sys.stderr)


def _refusal(bad: Mapping[Path, str], item: str) -> ValueError:
    """Name the bad files, a line each, and return the error to end with."""
    _name_bad(bad, item)
    return ValueError(
        f"{counted(len(bad), f'bad {item}')}, nothing written; mend or remove them, or leave them "
        "out with --skip-bad"
    )


def _check_room(writers: Sequence[SplitWriter], out: Path) -> None:
    """Raise an OSError when the disk has no room for what is still to be written."""
    needed = sum(writer.size - writer.size_on_disk for writer in writers)
    there = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OSError(
            f"--out {out}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; "
            "free some or name another folder"
        )


@contextmanager
def _unfinished(
    collection: Collection, writers: Sequence[SplitWriter], options: BuildOptions
) -> Iterator[Journal]:
    """Begin or go on; keep all files for a restart when interrupted, none after a fault."""
    new = not options.out.exists()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / f"{collection.dataset.name}.journal{PARTIAL}"
    with closing(Journal(path, _key(collection, options), writers)) as journal:
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
            _remove_empty_folders(writers, options.out, new)
            raise


def _key(collection: Collection, options: BuildOptions) -> str:
    """Return a text that stands for exactly these recordings, as they are now, and the options."""
    chosen = [_VERSION, collection.dataset.name, not options.no_rotate_z, collection.settings]
    digest = hashlib.sha256(json.dumps(chosen).encode())
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
    collection: Collection, splits: Splits, options: BuildOptions, journal: Journal
) -> dict[Path, str]:
    """Prepare the recordings that are not done yet; return the bad files and their faults."""
    tasks = splits.tasks(journal.frames)
    work = Work(
        collection.read, collection.normalise, not options.no_rotate_z, writers=splits.writers
    )
    workers = 1 if collection.in_one_process else max(1, min(options.workers, len(tasks)))
    bad = {}
    with (
        _progress(collection, len(journal.frames)) as bar,
        closing(in_processes(work, tasks, workers)) as outcomes,
    ):
        for outcome in outcomes:
            if outcome.fault:
                bad[collection.recordings[outcome.index].path] = outcome.fault
            elif outcome.num_frames:
                journal.add(outcome.index, outcome.num_frames)
            bar.update()
    journal.save()
    return bad


def _progress(collection: Collection, done: int) -> tqdm:
    """Start a bar of clips, with rate and time left; seldom renewed where nobody watches."""
    return tqdm(
        desc=collection.dataset.name,
        total=len(collection.recordings),
        initial=done,
        unit="clip",
        mininterval=0.1 if sys.stderr.isatty() else 30.0,
    )


def _remove_empty_folders(writers: Sequence[SplitWriter], out: Path, new: bool) -> None:
    """Remove the folders that a build without result has made."""
    ours = {folder for writer in writers for folder in writer.files.data.parents}
    for folder in sorted(ours, reverse=True):
        if out in folder.parents or (new and folder == out):
            with suppress(OSError):  # it is not empty, or was never made
                folder.rmdir()
