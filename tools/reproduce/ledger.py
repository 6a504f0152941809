"""What has been run: one record a cell, written when it starts and when it has ended.

A record `{cell}.json` lies in the folder of its pre-training. It is of use only with the settings
that are asked for now; what was run otherwise is run again, or refused where that would cost a
pre-training.
"""

import json
from pathlib import Path
from typing import Any

from tools.evaluation.results import write_json
from tools.reproduce.cells import PRETRAINING, Cell
from tools.reproduce.data import SplitData
from tools.reproduce.scripts import LAST, Settings

Record = dict[str, Any]
DONE, STARTED, FAILED = "done", "started", "failed"


def path_of(cell: Cell, out: Path) -> Path:
    """Where the record of a cell lies."""
    return out / cell.run.name / f"{cell.name}.json"


def log_of(cell: Cell, out: Path) -> Path:
    """Where what its script says is kept, of all its runs."""
    return path_of(cell, out).with_suffix(".log")


def read(cell: Cell, out: Path, usual: Settings) -> Record | None:
    """The record of a cell; None where it never started.

    Args:
        cell: the cell.
        out: folder of all runs.
        usual: what its script does when it is not told; an option that came after the record was
            written was left at that.

    Raises:
        ValueError: a file that is no record.
    """
    path = path_of(cell, out)
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["state"] in (DONE, STARTED, FAILED) and isinstance(record["settings"], dict):
            return record | {"settings": {**usual, **record["settings"]}}
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
        pass
    raise ValueError(f"{path} is not a record of tools.reproduce; remove it to run that cell anew")


def write(cell: Cell, out: Path, state: str, settings: Settings, **more: Any) -> Record:
    """Write a record, whole or not at all, and return it."""
    record = {"state": state, "cell": str(cell), "settings": settings, **more}
    write_json(path_of(cell, out), record)
    return record


def whole_settings(
    cell: Cell, options: Settings, data: SplitData, needed: list[Record | None]
) -> Settings:
    """All that decides what comes out of a cell.

    Args:
        cell: the cell.
        options: what its script makes of its command.
        data: the split that it reads.
        needed: records of what it needs; their products are part of it.

    Returns:
        Plain values, equal only for the same work on the same data.
    """
    products = [record["product"] if record else None for record in needed]
    made_of = {"made_of": products} if cell.mode != PRETRAINING else {}
    return {**options, "data": data.fingerprint, **made_of}


def is_done(cell: Cell, out: Path, settings: Settings, usual: Settings) -> Record | None:
    """The record of a cell that has ended with these settings; None when it has to be run.

    Args:
        cell: the cell.
        out: folder of all runs.
        settings: all that decides what comes out of it now.
        usual: as `read` takes it.

    Raises:
        ValueError: a pre-training that was made with other settings.
    """
    record = read(cell, out, usual)
    if cell.mode == PRETRAINING:
        _refuse_other(cell, out, record, settings)
        if record and not (cell.folder(out) / LAST).is_file():
            return None
    if record and record["state"] == DONE and record["settings"] == settings:
        return record
    return None


def _refuse_other(cell: Cell, out: Path, record: Record | None, settings: Settings) -> None:
    """Never lose or mix a pre-training."""
    folder = cell.folder(out)
    if record is None:
        if (folder / LAST).is_file():
            raise ValueError(f"{folder} holds a checkpoint of another run; choose another --out")
        return
    if not (folder / LAST).is_file():
        return
    old = record["settings"]
    for name in sorted(old.keys() | settings.keys()):
        if old.get(name) != settings.get(name):
            raise ValueError(
                f"{folder} was pre-trained with {name} {old.get(name)}, not {settings.get(name)}; "
                "give the same --pretraining or another --out"
            )
