"""What lies on disk: for each split of a selection its size, or why it cannot be read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dataset.arrays import SplitArrays, load_split
from dataset.protocols import DataSet, split_folder
from options.reproduce import ReproduceOptions, Split
from tools.reproduce.cells import Cell


@dataclass(frozen=True)
class SplitData:
    """One split that is there."""

    train: int  # clips
    test: int  # clips
    frames: int  # that a clip is stored with
    fingerprint: str  # SHA-256 of names, classes and frame counts of both parts
    chance: float = 0.0  # percent that are right when all are called the commonest training class


def look(options: ReproduceOptions, split: Split) -> SplitData | str:
    """Say how large a split is, or in one line why it cannot be read."""
    folder = split_folder(options.data_path, options.known[split[0]], split[1])
    try:
        train, test = load_split(folder)
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())
    fingerprint = hashlib.sha256(_identity(train) + _identity(test)).hexdigest()
    chance = 100 * float((test.labels == np.bincount(train.labels).argmax()).mean())
    sizes = len(train.names), len(test.names), train.data.shape[2]
    return SplitData(*sizes, fingerprint, chance)


def _identity(arrays: SplitArrays) -> bytes:
    shape = (arrays.data.shape, arrays.names)
    return json.dumps(shape).encode() + arrays.labels.tobytes() + arrays.num_frames.tobytes()


def unlike_published(dataset: DataSet, protocol: str, data: SplitData | str) -> str:
    """Say where a split is not the published one and compares with no figure; else ""."""
    rule = dataset.rules.get(protocol)
    if isinstance(data, str) or not rule or not rule.counts:
        return ""
    train, test = rule.counts["train"], rule.counts["val"]
    if (train, test) == (data.train, data.test):
        return ""
    return (
        f"{dataset.name} {protocol} here has {data.train:,} clips to train and {data.test:,} to "
        f"test, the published split {train:,} and {test:,}: figures do not compare"
    )


def missing(cell: Cell, found: Mapping[Split, SplitData | str]) -> str:
    """Say why the data that were found do not let a cell run; "" when they do."""
    for split in (cell.run.split, cell.split):
        if isinstance(found[split], str):
            return f"{' '.join(split)}: {found[split]}"
    own, target = found[cell.run.split], found[cell.split]
    if own.frames != target.frames:
        return (
            f"clips of {cell.run.dataset} are stored with {own.frames} frames, those of "
            f"{cell.split[0]} with {target.frames}: two normalisations that must not be mixed"
        )
    return ""
