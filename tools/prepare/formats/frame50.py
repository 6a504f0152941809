"""Clips resized to 50 frames, checked and put in place: `python -m tools.prepare frame50`.

The AimCLR family and HiCo's PKU-MMD have, for each part, `{part}_position.npy` float32 (N, 3, 50,
25, 2) and `{part}_label.npy` (N, 1), or `{part}_label.pkl` with names. Such clips stay what they
are: each body was centred on itself, turned in every frame and stretched to 50 frames, and none of
that can be undone.

Axes: N clips, C=3 coordinates (metres), T=50 frames, V=25 joints, M=2 bodies.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset.arrays import SplitArrays, SplitWriter, load_arrays, load_label_array
from dataset.protocols import DATASETS, PARTS, DataSet, split_folder
from options.parser import REQUIRED, file_path, option
from options.prepare import RawOptions, choice_option, raw_option
from tools.prepare.pipeline.publication import (
    Origin,
    check_room,
    publish_whole,
    refuse_others,
    unfinished,
)
from tools.prepare.pipeline.recordings import remarks_on
from tools.prepare.pipeline.report import name_bad, refusal, summarise

FORMS = tuple(name for name, dataset in DATASETS.items() if dataset.frames)

PROTOCOLS = tuple(sorted({name for form in FORMS for name in DATASETS[form].folders}))
_CHUNK = 1024  # clips checked at a time: 31 MB


@dataclass(frozen=True, kw_only=True)
class Options(RawOptions):
    """Which clips to take over, and what they are."""

    loses: ClassVar = (
        "the recorded length and speed of every clip, and of long ones all detail",
        "how bodies were turned, and the distance between two persons",
        "names, where there is only a .npy of labels; those written are placeholders",
    )
    raw: Path = raw_option("folder of one split, with train_position.npy and val_position.npy")
    dataset: str = choice_option(REQUIRED, FORMS, "what the folder holds")
    protocol: str = choice_option(REQUIRED, PROTOCOLS, "which of its splits")
    labels: Path | None = option(
        None,
        read=file_path,
        metavar="DIR",
        help="folder with train_label.pkl and val_label.pkl of the 300-frame set that the clips "
        "were made of; it gives names",
        shown="none",
    )


def prepare(options: Options) -> None:
    """Check both parts, write them, and say what became of them."""
    dataset = DATASETS[options.dataset]
    folder = split_folder(options.out, dataset, options.protocol)
    parts = {part: load(options, part) for part in PARTS}
    bad: dict[Path, str] = {}
    kept: dict[str, list[int]] = {}
    for part, arrays in parts.items():
        faults = find_bad(arrays, dataset)
        bad |= {arrays.path / arrays.names[row]: fault for row, fault in faults.items()}
        kept[part] = [row for row in range(len(arrays.names)) if row not in faults]
    if bad and not options.skip_bad:
        raise refusal(bad, "clip")
    counts = {part: len(rows) for part, rows in kept.items()}
    writers = [SplitWriter(folder, part, clips, dataset.frames) for part, clips in counts.items()]
    origin = Origin("frame50", dataset, options, sum(counts.values()), "clip")
    empty = sum(not parts[part].data[row].any() for part, rows in kept.items() for row in rows)
    remarks = [
        f"{dataset.frames} frames a clip; not to be mixed with recorded lengths",
        *remarks_on(
            (empty, "clip", "all zero: nobody is in them"), (len(bad), "bad clip", "skipped")
        ),
    ]
    refuse_others(origin, writers)
    check_room(writers, options.out)
    with unfinished(origin, "frame50", writers, resumable=False) as journal:
        journal.begin()
        for writer in writers:
            _write(writer, parts[writer.part], kept[writer.part])
        remarks = publish_whole(origin, journal, writers, remarks, bad)
    name_bad(bad, "clip")
    summarise(dataset, {options.protocol: counts}, remarks, options)


def load(options: Options, part: str) -> SplitArrays:
    """Read one part, "train" or "val"; what is wrong with single clips is not looked at."""
    raw = options.raw
    position, array = raw / f"{part}_position.npy", raw / f"{part}_label.npy"
    if not position.is_file():
        raise FileNotFoundError(f"no file {position}; give --raw a folder of the AimCLR family")
    pickled = (options.labels or raw) / f"{part}_label.pkl"
    if not pickled.is_file() and (options.labels or not array.is_file()):
        here = f"{pickled}" if options.labels else f"{array} or {pickled.name}"
        raise FileNotFoundError(f"no label file {here}; copy it there or give --labels its folder")
    arrays = load_arrays(raw, part, pickled if pickled.is_file() else None)
    if pickled.is_file() and array.is_file():
        _compare(arrays, pickled, array)
    frames, dataset = arrays.data.shape[2], DATASETS[options.dataset]
    if frames != dataset.frames:
        raise ValueError(
            f"{arrays.path} has clips of {frames} frames; {dataset.name} has {dataset.frames}"
        )
    return arrays


def _compare(arrays: SplitArrays, pickled: Path, array: Path) -> None:
    """Refuse labels of another order than the clips were written in."""
    labels = np.array(load_label_array(array))
    same = len(labels) == len(arrays.labels) and labels == arrays.labels
    if not np.all(same):
        where = f" in clip {int(np.argmin(same))}" if np.ndim(same) else ""
        raise ValueError(f"{pickled}: its classes differ from those of {array}{where}")


def find_bad(arrays: SplitArrays, dataset: DataSet) -> dict[int, str]:
    """Find the clips of unknown classes and those with holes: what is wrong, by row."""
    found = {
        int(row): f"its class {arrays.labels[row]} is not 0 to {dataset.classes - 1}"
        for row in np.flatnonzero(arrays.labels >= dataset.classes)
    }
    for begin in range(0, len(arrays.data), _CHUNK):
        finite = np.isfinite(arrays.data[begin : begin + _CHUNK]).all(axis=(1, 2, 3, 4))
        for row in begin + np.flatnonzero(~finite):
            found[int(row)] = "it has a coordinate that is not finite"
    return found


def _write(writer: SplitWriter, arrays: SplitArrays, rows: Sequence[int]) -> None:
    """Write the good clips of a part as they are, in their order."""
    for place, row in enumerate(rows):
        writer.write(place, arrays.data[row])
    labels, frames = arrays.labels[rows].tolist(), arrays.num_frames[rows].tolist()
    writer.describe([arrays.names[row] for row in rows], labels, frames)
