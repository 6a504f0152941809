"""Clips resized to 50 frames, checked and put in place: `python -m tools.prepare frame50`.

The AimCLR family and HiCo's PKU-MMD have, for each part, `{part}_position.npy` float32 (N, 3, 50,
25, 2) and `{part}_label.npy` (N, 1), or `{part}_label.pkl` with names. Such clips stay what they
are: each body was centred on itself, turned in every frame and stretched to 50 frames, and none of
that can be undone.

Axes: N clips, C=3 coordinates (metres), T=50 frames, V=25 joints, M=2 bodies.
"""

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
from tools.prepare.pipeline.report import summarise

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
    counts = {part: len(arrays.names) for part, arrays in parts.items()}
    writers = {
        part: SplitWriter(folder, part, clips, dataset.frames) for part, clips in counts.items()
    }
    origin = Origin("frame50", dataset, options, sum(counts.values()), "clip")
    remarks = [f"{dataset.frames} frames a clip; not to be mixed with recorded lengths"]
    empty = sum(map(_count_empty, parts.values()))
    remarks += remarks_on((empty, "clip", "all zero: nobody is in them"))
    refuse_others(origin, list(writers.values()))
    check_room(list(writers.values()), options.out)
    with unfinished(origin, "frame50", list(writers.values()), resumable=False) as journal:
        journal.begin()
        for part, arrays in parts.items():
            _write(writers[part], arrays)
        said = {"remarks": remarks}
        remarks = remarks + publish_whole(origin, journal, list(writers.values()), said)
    summarise(dataset, {options.protocol: counts}, remarks, options)


def load(options: Options, part: str) -> SplitArrays:
    """Read one part, "train" or "val", and check every clip of it."""
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
    _check(arrays, DATASETS[options.dataset])
    return arrays


def _compare(arrays: SplitArrays, pickled: Path, array: Path) -> None:
    """Refuse labels of another order than the clips were written in."""
    labels = np.array(load_label_array(array))
    same = len(labels) == len(arrays.labels) and labels == arrays.labels
    if not np.all(same):
        where = f" in clip {int(np.argmin(same))}" if np.ndim(same) else ""
        raise ValueError(f"{pickled}: its classes differ from those of {array}{where}")


def _check(arrays: SplitArrays, dataset: DataSet) -> None:
    """Refuse clips of another length, of unknown classes or with holes in them."""
    path, (clips, _, frames, *_) = arrays.path, arrays.data.shape
    if frames != dataset.frames:
        raise ValueError(
            f"{path} has clips of {frames} frames; {dataset.name} has {dataset.frames}"
        )
    wrong = arrays.labels[arrays.labels >= dataset.classes]
    if len(wrong):
        file = path.with_name(path.name.replace("position", "label"))
        raise ValueError(f"{file}: class {wrong[0]} is not 0 to {dataset.classes - 1}")
    for begin in range(0, clips, _CHUNK):
        chunk = arrays.data[begin : begin + _CHUNK]
        finite = np.isfinite(chunk).all(axis=(1, 2, 3, 4))
        if not finite.all():
            name = arrays.names[begin + int(finite.argmin())]
            raise ValueError(f"{path}: clip {name} has a coordinate that is not finite")


def _count_empty(arrays: SplitArrays) -> int:
    """Count the clips with nobody in them."""
    return sum(not arrays.data[row].any() for row in range(len(arrays.data)))


def _write(writer: SplitWriter, arrays: SplitArrays) -> None:
    """Write a part as it is, in its order."""
    for row, clip in enumerate(arrays.data):
        writer.write(row, clip)
    writer.describe(arrays.names, arrays.labels.tolist(), arrays.num_frames.tolist())
