"""What lies on disk: for each split of a selection its size, or why it cannot be read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dataset.arrays import SplitArrays, load_arrays
from dataset.protocols import PARTS, DataSet, split_folder
from options.reproduce import Split
from tools.reproduce.cells import Cell


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


def look(data_path: Path, dataset: DataSet, protocol: str) -> SplitData | str:
    """Say how large a split is, or in one line why it cannot be read."""
    try:
        folder = split_folder(data_path, dataset, protocol)
        train, test = (load_arrays(folder, part) for part in PARTS)
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())
    fingerprint = hashlib.sha256(_identity(train) + _identity(test)).hexdigest()
    return SplitData(len(train.names), len(test.names), train.data.shape[2], fingerprint)


def _identity(arrays: SplitArrays) -> bytes:
    shape = (arrays.data.shape, arrays.names)
    return json.dumps(shape).encode() + arrays.labels.tobytes() + arrays.num_frames.tobytes()


def unlike_published(dataset: DataSet, protocol: str, data: SplitData) -> str:
    """Say where a split is not the published one and compares with no figure; else ""."""
    rule = dataset.rules.get(protocol)
    counts = rule.counts if rule else None
    if not counts or (counts["train"], counts["val"]) == (data.train, data.test):
        return ""
    return (
        f"{dataset.name} {protocol} here has {data.train:,} clips to train and {data.test:,} to "
        f"test, the published split {counts['train']:,} and {counts['val']:,}: figures do not "
        "compare"
    )


def missing(cell: Cell, found: Mapping[Split, SplitData | str]) -> str:
    """Say why the data on disk does not let a cell run; "" when it does.

    Args:
        cell: to run.
        found: what `look` said of every split of the selection.
    """
    for split in (cell.source, cell.split):
        if isinstance(found[split], str):
            return f"{' '.join(split)}: {found[split]}"
    own, target = found[cell.source], found[cell.split]
    if own.frames != target.frames:
        return (
            f"clips of {cell.run.dataset} are stored with {own.frames} frames, those of "
            f"{cell.split[0]} with {target.frames}: two normalisations that must not be mixed"
        )
    return ""
