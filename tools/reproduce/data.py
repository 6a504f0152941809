"""What lies on disk: for each split of a selection its size, or why it cannot be read."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from dataset.arrays import SplitArrays, load_arrays
from dataset.protocols import DATASETS, split_folder
from tools.reproduce.cells import Cell, Split


@dataclass(frozen=True)
class SplitData:
    """One split that is there.

    Attributes:
        train: clips to train on.
        test: clips to test on.
        frames: frames a clip is stored with.
        fingerprint: SHA-256 of names, classes and frame counts of both parts.
    """

    train: int
    test: int
    frames: int
    fingerprint: str


def look(data_path: Path, split: Split) -> SplitData | str:
    """Say how large a split is, or in one line why it cannot be read."""
    folder = split_folder(data_path, *split)
    try:
        train, test = (load_arrays(folder, part) for part in ("train", "val"))
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())
    digest = hashlib.sha256()
    for arrays in (train, test):
        digest.update(_identity(arrays))
    frames = train.data.shape[2]
    return SplitData(len(train.names), len(test.names), frames, digest.hexdigest())


def _identity(arrays: SplitArrays) -> bytes:
    shape = (arrays.data.shape, arrays.names)
    return json.dumps(shape).encode() + arrays.labels.tobytes() + arrays.num_frames.tobytes()


def unlike_published(split: Split, data: SplitData) -> str:
    """Say where a split is not the published one and compares with no figure; else ""."""
    rule = DATASETS[split[0]].rules.get(split[1])
    counts = rule.counts if rule else None
    if not counts or (counts["train"], counts["val"]) == (data.train, data.test):
        return ""
    return (
        f"{' '.join(split)} here has {data.train:,} clips to train and {data.test:,} to test, the "
        f"published split {counts['train']:,} and {counts['val']:,}: figures do not compare"
    )


def missing(cell: Cell, found: dict[Split, SplitData | str]) -> str:
    """Say why the data on disk does not let a cell run; "" when it does.

    Args:
        cell: to run.
        found: what `look` said of every split of the selection.
    """
    for split in ((cell.run.dataset, cell.run.protocol), cell.split):
        if isinstance(found[split], str):
            return f"{' '.join(split)}: {found[split]}"
    own, target = found[(cell.run.dataset, cell.run.protocol)], found[cell.split]
    if own.frames != target.frames:
        return (
            f"clips of {cell.run.dataset} are stored with {own.frames} frames, those of "
            f"{cell.split[0]} with {target.frames}: two normalisations that must not be mixed"
        )
    return ""
