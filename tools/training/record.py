"""A run is a record: what it was told, what its folder holds, and with what it may go on.

`config.json` in the run's folder is the record, and every checkpoint holds it as `run`. A folder
that holds a run is written into only by the run that goes on there, or after --overwrite.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from dataset.arrays import SplitArrays
from options.parser import as_plain, flat
from options.pretraining import AUTO, CHANGES, CheckpointOptions, PretrainingOptions
from tools import checkpoint
from tools.board import EVENTS
from tools.checkpoint import Payload
from tools.errors import ROOT
from tools.evaluation.results import write_json
from tools.runtime import machine
from tools.training.log import METRICS

Json = dict[str, Any]
CONFIG, LAST = "config.json", "checkpoint_last.pth.tar"
NUMBERED = re.compile(r"checkpoint_(\d+)\.pth\.tar")
VERSION = 1
"""Of the layout of records; raise it when a reader would have to change."""
_FREE = ("checkpoints.", "run.", "data.data_path", "training.start_epoch", "speed.graph")
"""Options that a run may go on with as it likes; the clips are compared by what they are."""
_WORDS = {name: word for word, name in CHANGES.items()}


# What a run was told


def describe(
    options: PretrainingOptions,
    arrays: SplitArrays,
    seed: int,
    device: torch.device,
    world_size: int = 1,
) -> Json:
    """The record of a run that begins now in so many processes, as plain values."""
    return {
        "version": VERSION,
        "script": "pretraining.py",
        "seed": seed,
        "settings": as_plain(options),
        "data": {
            "folder": str(options.data.folder),
            "clips": len(arrays.names),
            "fingerprint": _fingerprint(arrays),
            "prepared": arrays.prepared,
        },
        **_here(device),
        "world_size": world_size,
        "resumed": [],
    }


def _here(device: torch.device) -> Json:
    """When, where and with which code: what differs each time that a run goes on."""
    found = machine(device)
    packages = {name: found.pop(name) for name in ("python", "torch", "numpy")}
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return {"started": now, "versions": packages | {"hico": _version()}, "git": git(ROOT), **found}


def _version() -> str | None:
    """Our own version, as pyproject.toml says it."""
    path = ROOT / "pyproject.toml"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    match = re.search(r'^version = "(.+)"$', text, re.MULTILINE)
    return match and match.group(1)


def git(folder: Path) -> Json | None:
    """The commit of a checkout and whether files differ from it; None where nobody can say."""
    if not (folder / ".git").exists():
        return None
    commands = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    try:
        said = [
            subprocess.run(
                ["git", "--no-optional-locks", "-C", str(folder), *command],
                capture_output=True, text=True, check=True, timeout=10,
            ).stdout.strip()
            for command in commands
        ]  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": said[0], "dirty": bool(said[1])}


def _fingerprint(arrays: SplitArrays) -> str:
    """SHA-256 of the names, classes and frame counts of clips."""
    digest = hashlib.sha256(json.dumps(list(arrays.names)).encode())
    for numbers in (arrays.labels, arrays.num_frames):
        digest.update(json.dumps([int(number) for number in numbers]).encode())
    return digest.hexdigest()


# With what a run may go on


def go_on(record: Json, payload: Payload, path: Path, options: PretrainingOptions) -> Json:
    """The record of a run that goes on from a checkpoint; `record` is what was asked for now.

    Raises:
        ValueError: names the first setting that differs and is not among `--change`.
    """
    before, changes = payload.get("run"), {}
    base = record | {"seed": None if "random" in payload else record["seed"]}
    if before is not None:
        try:
            changes = dict(_differences(before, record, options.run.seed))
            base = before | {"settings": record["settings"], "resumed": [*before["resumed"]]}
        except (KeyError, TypeError, AttributeError):
            raise ValueError(f"{path} has a damaged record; choose an earlier checkpoint") from None
        _refuse(changes, path, options)
    names = ("started", "versions", "git", "device", "device_name", "world_size")
    entry = {"checkpoint": str(path), "changes": changes, **{name: record[name] for name in names}}
    return base | {"resumed": [*base["resumed"], entry]}


def _differences(before: Json, now: Json, seed: int | None) -> Iterator[tuple[str, list[Any]]]:
    """Name and both values of each setting that differs, old and new."""
    if before["data"]["fingerprint"] != now["data"]["fingerprint"]:
        counts = [each["data"]["clips"] for each in (before, now)]
        prints = [each["data"]["fingerprint"][:12] for each in (before, now)]
        yield ("clips", counts) if counts[0] != counts[1] else ("other clips, of SHA-256", prints)
    if seed is not None and seed != before["seed"]:
        yield "seed", [before["seed"], seed]
    theirs, ours = flat(before["settings"]), flat(now["settings"])
    for name, value in theirs.items():  # an option that one of them does not have says nothing
        if name in ours and ours[name] != value and not name.startswith(_FREE):
            yield name, [value, ours[name]]


def _refuse(changes: Json, path: Path, options: PretrainingOptions) -> None:
    for name, (old, new) in changes.items():
        word = _WORDS.get(name)
        more = word == "epochs" and old < new and not options.training.cos
        if not more and word not in options.checkpoints.change:
            hint = f", or take the new one with --change {word}" if word else " or start a new run"
            raise ValueError(
                f"--resume {path} was trained with {name.rpartition('.')[2]} {old}, not {new}; "
                f"give the same{hint}"
            )


# What a folder holds


def own_files(folder: Path) -> list[Path]:
    """What pre-training writes into its folder, checkpoints first; nothing of others."""
    events = sorted(folder.glob(EVENTS))
    others = [folder / METRICS, folder / CONFIG, *events]
    last = [folder / LAST, *_numbered(folder)]
    return [path for path in last + others if path.is_file()]


def _numbered(folder: Path) -> list[Path]:
    """The checkpoints that are kept, by their epoch."""
    found = [path for path in folder.glob("checkpoint_*") if NUMBERED.fullmatch(path.name)]
    return sorted(found, key=_finished)


def _finished(path: Path) -> int:
    """Epochs that a numbered checkpoint has behind it."""
    return int(NUMBERED.fullmatch(path.name).group(1)) + 1


def newest(folder: Path) -> Path | None:
    """The checkpoint of a folder that is furthest; None where there is none."""
    numbered, last = _numbered(folder), folder / LAST
    if not last.is_file():
        return numbered[-1] if numbered else None
    # After a kill a numbered one may be further: checkpoint_last is written less often.
    if numbered and _finished(numbered[-1]) > _place(last)[0]:
        return numbered[-1]
    return last


def _place(path: Path) -> tuple[int, int]:
    """Epoch and batch at which a checkpoint goes on."""
    payload = checkpoint.read(path)
    progress = payload.get("progress", {"epoch": payload.get("epoch", 0), "batch": 0})
    return int(progress["epoch"]), int(progress["batch"])


def is_furthest_numbered(path: Path | None, folder: Path) -> bool:
    """Whether a checkpoint is a numbered one of a folder whose checkpoint_last is behind it."""
    return (
        path is not None and path.name != LAST and _is_in(path, folder) and newest(folder) == path
    )


def starting_point(options: CheckpointOptions) -> Path | None:
    """The checkpoint to go on from; None to begin.

    Raises:
        FileNotFoundError: no such checkpoint.
        ValueError: the folder holds a run, or more of this one, that would be lost.
    """
    folder, resume = options.folder, options.resume
    if resume == AUTO:
        return newest(folder)
    path = checkpoint.find(resume) if resume else None
    if path is None or not _is_in(path, folder):
        _refuse_run(options)
        return path
    further = newest(folder)
    if path.name == LAST and further != path:
        print(f"{further} is further than {path}")
        return further
    if not options.overwrite and _place(path) < _place(further):
        raise ValueError(
            f"{folder} holds {further.name}, which is further than {path.name}; go on from it, or "
            "remove what came after with --overwrite"
        )
    return path


def _is_in(path: Path, folder: Path) -> bool:
    """Whether a file is one of the checkpoints of a folder."""
    ours = path.name == LAST or NUMBERED.fullmatch(path.name)
    return bool(ours) and path.parent.resolve() == folder.resolve()


def _refuse_run(options: CheckpointOptions) -> None:
    """Refuse a folder with something to lose; a start that left nothing is no run."""
    folder = options.folder
    found = [path.name for path in own_files(folder) if path.name.startswith("checkpoint_")]
    rows = folder / METRICS
    if rows.is_file() and rows.stat().st_size:
        found.append(METRICS)
    if found and not options.overwrite:
        raise ValueError(
            f"{folder} holds a run ({found[0]}); go on with --resume auto, remove it with "
            "--overwrite, or choose another --checkpoint-path"
        )


def take(folder: Path, path: Path | None, payload: Callable[[], Payload], record: Json) -> None:
    """Make a folder, which is held, the run's own, and write its record.

    The path is `starting_point`'s; `payload` makes a checkpoint of the run as it stands there.
    """
    if path is None or not _is_in(path, folder):
        for old in own_files(folder):
            old.unlink()
    elif _place(path) < _place(newest(folder)):
        # First what it goes on from, so that a kill cannot leave what came after as the newest.
        epoch, _ = _place(path)
        checkpoint.save_whole(payload(), folder / LAST)
        for old in _numbered(folder):
            if _finished(old) > epoch:
                old.unlink()
    write_json(folder / CONFIG, record)
