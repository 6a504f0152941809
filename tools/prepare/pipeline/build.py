"""Recordings of any format to the published arrays, whatever their number.

Each recording is read once, whatever the number of protocols, and memory holds one clip a process
beside the list of recordings. An interrupted build goes on where it stopped.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

from tqdm import tqdm

from options.prepare import BuildOptions
from tools.prepare.pipeline.journal import Journal
from tools.prepare.pipeline.publication import (
    Origin,
    check_room,
    publish_whole,
    refuse_others,
    unfinished,
)
from tools.prepare.pipeline.recordings import Collection, counted, remarks_on, state
from tools.prepare.pipeline.report import name_bad, refusal, summarise
from tools.prepare.pipeline.splits import Splits
from tools.prepare.pipeline.work import Work
from tools.prepare.pipeline.workers import in_processes

_VERSION = 2
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
        raise refusal(collection.bad, item)
    recordings = sorted(collection.recordings, key=attrgetter("name"))
    collection = replace(collection, recordings=recordings)
    root = options.out / collection.dataset.name if collection.description else None
    splits = Splits(collection.dataset, recordings, options.out, root)
    origin = Origin(collection.format, collection.dataset, options, len(recordings), item)
    refuse_others(origin, splits.writers)
    check_room(splits.writers, options.out)
    with unfinished(origin, _key(collection, options), splits.writers) as journal:
        _begin(journal)
        found, notes = _prepare(collection, splits, options, journal)
        bad = collection.bad | found
        if bad and not options.skip_bad:
            raise refusal(bad, item)
        if len(journal.frames) < len(recordings):
            journal.forget()  # rows are about to move
        splits.describe(journal.frames)
        remarks = collection.remarks + _remarks(collection, notes, len(bad))
        remarks = publish_whole(
            origin, journal, splits.writers, remarks, bad, collection.description
        )
    name_bad(bad, item)
    summarise(collection.dataset, splits.counts(), remarks, options)
    if collection.description:
        print(f"  scripts know it as {collection.dataset.name} with --data-path {options.out}")


def _remarks(collection: Collection, notes: Mapping[str, int], bad: int) -> list[str]:
    """Count what is lost, a line for each kind: how often a note was made, how many were bad."""
    texts = collection.notes | {"": "left out: nothing was recorded"}
    counts = [(notes[note], "clip", text) for note, text in texts.items()]
    return remarks_on(*counts, (bad, f"bad {collection.item}", "skipped"))


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
) -> tuple[dict[Path, str], Counter[str]]:
    """Prepare the recordings that are not done yet.

    Returns:
        The bad files and their faults, and how often each note was made; "" of an empty clip.
    """
    tasks = splits.tasks(journal.frames)
    work = Work(
        collection.read, collection.normalise, not options.no_rotate_z, writers=splits.writers
    )
    workers = 1 if collection.in_one_process else max(1, min(options.workers, len(tasks)))
    bad, notes = {}, Counter[str]()
    with (
        _progress(collection, len(journal.frames)) as bar,
        closing(in_processes(work, tasks, workers)) as outcomes,
    ):
        for outcome in outcomes:
            if outcome.fault:
                bad[collection.recordings[outcome.index].path] = outcome.fault
            elif outcome.num_frames:
                journal.add(outcome.index, outcome.num_frames, outcome.note)
            else:
                notes[outcome.note] += 1
            bar.update()
    journal.save()
    return bad, notes + Counter(journal.notes.values())


def _progress(collection: Collection, done: int) -> tqdm:
    """Start a bar of clips, with rate and time left; seldom renewed where nobody watches."""
    return tqdm(
        desc=collection.dataset.name,
        total=len(collection.recordings),
        initial=done,
        unit="clip",
        mininterval=0.1 if sys.stderr.isatty() else 30.0,
    )
