"""CTR-GCN, MAMP and STARS files to arrays, `python -m tools.prepare npz --raw FILE`.

An .npz file holds one split: `x_train`, `x_test` float32 (N, T, 150), a frame's 150 numbers ordered
body, joint, coordinate, with a tail of zeros; `y_train`, `y_test` (N, classes), one 1 in each row.
The files of all three projects look alike; how many classes there are tells the data set.

Axes: N clips, T stored and F recorded frames, C=3 coordinates (metres), V=25 joints, M=2 bodies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset.arrays import placeholders
from dataset.protocols import DATASETS, PARTS, DataSet, split_folder
from options.parser import REQUIRED
from options.prepare import BuildOptions, choice_option, raw_option
from tools.prepare.pipeline.normalise import SPINE_MIDDLE
from tools.prepare.pipeline.recordings import (
    ROW_NUMBERS,
    Collection,
    Noted,
    Recording,
    bodies_of_rows,
    state,
    two_bodies,
)
from tools.prepare.pipeline.zipped import NPZ, ZippedArray
from tools.zips import check, open_zip

KEYS = ("x_train", "y_train", "x_test", "y_test")
ENDINGS = {"train": "train", "val": "test"}
"""What the keys call a part."""

FORMS = ("ntu60", "ntu120", "pku_mmd_part1", "pku_mmd_part2")
"""Data sets that such files are known of."""

PROTOCOLS = tuple(sorted({name for form in FORMS for name in DATASETS[form].folders}))
TWICE = "twice"
"""Note of a clip with one body, written twice as files of NTU-120 have it."""
_LOOKED_AT = 16  # clips from which the centring is told


@dataclass(frozen=True, kw_only=True)
class Options(BuildOptions):
    """Which file to prepare, and what it holds."""

    loses: ClassVar = (
        "names: the files hold none; those written are placeholders, train_0 and so on in file "
        "order",
        "when frames were empty, and the recorded length of a clip that ended in empty frames",
        "bodies taken for noise, and perhaps the order of two bodies",
    )
    raw: Path = raw_option(
        "the .npz file, such as NTU60_CV.npz; a compressed one is read in one process", "FILE"
    )
    dataset: str = choice_option("ntu60", FORMS, "what the file holds")
    protocol: str = choice_option(
        REQUIRED, PROTOCOLS, "which split it holds, as the file does not say"
    )


@dataclass(frozen=True)
class Rows:
    """Reads recordings, whose paths end in `{part}_{row}`, from the rows of an .npz file."""

    arrays: Mapping[str, ZippedArray]  # (N, T, 150) of each part

    def __call__(self, recording: Recording) -> np.ndarray | Noted:
        """Read one recording up to its last frame that is not zero: (3, F, 25, 2) metres."""
        part, _, row = recording.path.name.partition("_")
        parsed = parse(self.arrays[part].row(int(row)))
        if not np.array_equal(parsed[..., 0], parsed[..., 1]):
            return parsed
        parsed[..., 1] = 0
        return Noted(parsed, TWICE)


def parse(row: np.ndarray) -> np.ndarray:
    """Turn a row (T, 150) into (3, F, 25, 2) float32 metres."""
    there = np.flatnonzero((row != 0).any(axis=1))
    if not len(there):
        raise ValueError("it has no frame that is not zero")
    return two_bodies(bodies_of_rows(row[: there[-1] + 1]))


def collect(options: Options) -> Collection:
    """Find the clips of a file that holds one protocol of a data set."""
    raw, dataset, protocol = options.raw, DATASETS[options.dataset], options.protocol
    split_folder("", dataset, protocol)  # refuses a protocol that it does not have
    with open_zip(raw, NPZ) as archive:
        has = [name.removesuffix(".npy") for name in archive.namelist()]
    if not set(KEYS) <= set(has):
        raise ValueError(f"{raw} has the keys {', '.join(has)}, not {', '.join(KEYS)}")
    check(raw, NPZ, [f"{key}.npy" for key in KEYS])  # rows are read later, without their checksums
    arrays, recordings, bad = {}, [], {}
    for part in PARTS:
        labels = _labels(raw, f"y_{ENDINGS[part]}", dataset)
        arrays[part] = _coordinates(raw, f"x_{ENDINGS[part]}", len(labels))
        for name, ones in zip(placeholders(part, len(labels)), labels, strict=True):
            if len(ones) == 1:
                recordings.append(Recording(name, raw / name, ones[0], {protocol: part}))
            else:
                bad[raw / name] = f"its row of y_{ENDINGS[part]} has {len(ones)} classes, not one"
    return Collection(
        replace(dataset, folders={protocol: dataset.folders[protocol]}),
        recordings,
        Rows(arrays),
        bad,
        remarks=[_centring(arrays["train"])],
        item="clip",
        settings=f"npz {state(raw)}",
        in_one_process=any(array.compressed for array in arrays.values()),
        notes={TWICE: "with one body written twice: the second, an exact copy, is left out"},
    )


def _coordinates(raw: Path, key: str, clips: int) -> ZippedArray:
    """Open the coordinates of one part and check that they are skeletons."""
    array = ZippedArray(raw, key)
    if len(array.shape) != 3 or array.shape[2] != ROW_NUMBERS:
        raise ValueError(f"{raw}: {key} has shape {array.shape}, not (N, frames, {ROW_NUMBERS})")
    if len(array) != clips:
        raise ValueError(f"{raw}: {key} holds {len(array)} clips, y{key[1:]} {clips}")
    if array.dtype.kind != "f":
        raise ValueError(f"{raw}: {key} holds {array.dtype}, not float32")
    return array


def _labels(raw: Path, key: str, dataset: DataSet) -> list[list[int]]:
    """Read the classes of each clip of one part, from 0 on; a good clip has one."""
    array = ZippedArray(raw, key)
    if len(array.shape) != 2:
        raise ValueError(f"{raw}: {key} has shape {array.shape}, not (N, {dataset.classes})")
    classes = array.shape[1]
    if classes != dataset.classes:
        fitting = [name for name in FORMS if DATASETS[name].classes == classes]
        hint = f"; --dataset {' or '.join(fitting)} has {classes}" if fitting else ""
        raise ValueError(
            f"{raw}: {key} has {classes} classes, {dataset.name} has {dataset.classes}{hint}"
        )
    return [np.flatnonzero(array.row(clip) > 0).tolist() for clip in range(len(array))]


def _centring(array: ZippedArray) -> str:
    """Say where the first clips have their origin."""
    origins = []
    for row in map(array.row, range(min(len(array), _LOOKED_AT))):
        frames = row[(row != 0).any(axis=1)]
        if len(frames):
            origins.append(not bodies_of_rows(frames)[0, 0, SPINE_MIDDLE].any())
    if sum(origins) * 2 > len(origins):
        return "clips centred on their first frame, as CTR-GCN, MAMP and STARS write NTU"
    return "clips in raw coordinates, as MAMP writes PKU-MMD"
