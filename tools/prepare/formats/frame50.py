"""Clips resized to 50 frames, checked and put in place: `python -m tools.prepare frame50`.

The AimCLR family and HiCo's PKU-MMD have, for each part, `{part}_position.npy` float32 (N, 3, 50,
25, 2) and `{part}_label.npy` (N, 1), or `{part}_label.pkl` with names. Such clips stay what they
are: each body was centred on itself, turned in every frame and stretched to 50 frames, and none of
that can be undone.

Axes: N clips, C=3 coordinates (metres), T=50 frames, V=25 joints, M=2 bodies.
"""

import os
import pickle
from pathlib import Path
from typing import BinaryIO

import numpy as np

from dataset.arrays import PARTIAL, SplitArrays, load_arrays, load_label_array
from dataset.protocols import DATASETS, PARTS, DataSet, split_folder
from tools.prepare.pipeline.command import Parser, guard
from tools.prepare.pipeline.recordings import counted

FORMS = tuple(name for name, dataset in DATASETS.items() if dataset.frames)

LOSES = (
    "the recorded length and speed of every clip, and of long ones all detail",
    "how bodies were turned, and the distance between two persons",
    "names, where there is only a .npy of labels; those written are placeholders",
)
_CHUNK = 1024  # clips checked or written at a time: 31 MB


def load(raw: Path, part: str, dataset: DataSet, labels: Path | None = None) -> SplitArrays:
    """Read one part of a folder of the AimCLR family and check every clip of it.

    Args:
        raw: the folder.
        part: "train" or "val".
        dataset: what it holds.
        labels: folder of the 300-frame set that the clips were made of, with `{part}_label.pkl`;
            it gives names that the folder itself may lack.

    Raises:
        OSError: when a file is not there.
        ValueError: when a file is not what it should be, or labels differ.
    """
    position, array = raw / f"{part}_position.npy", raw / f"{part}_label.npy"
    if not position.is_file():
        raise FileNotFoundError(f"no file {position}; give --raw a folder of the AimCLR family")
    pickled = (labels or raw) / f"{part}_label.pkl"
    if not pickled.is_file() and (labels or not array.is_file()):
        here = f"{pickled}" if labels else f"{array} or {pickled.name}"
        raise FileNotFoundError(f"no label file {here}; copy it there or give --labels its folder")
    arrays = load_arrays(raw, part, pickled if pickled.is_file() else None)
    if pickled.is_file() and array.is_file():
        _compare(arrays, pickled, array)
    _check(arrays, dataset)
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


def take_over(parts: dict[str, SplitArrays], folder: Path) -> None:
    """Write both parts, in the published layout; the files appear whole and together.

    Args:
        parts: what to write, by part.
        folder: of the protocol.

    Raises:
        OSError: when a file cannot be written; nothing is left behind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    unfinished: list[Path] = []
    try:
        for part, arrays in parts.items():
            for name, write in (("label.pkl", _write_labels), ("position.npy", _write_clips)):
                unfinished.append(folder / f"{part}_{name}{PARTIAL}")
                with unfinished[-1].open("wb") as file:
                    write(arrays, file)
                    file.flush()
                    os.fsync(file.fileno())
        for path in unfinished:
            os.replace(path, path.with_name(path.name.removesuffix(PARTIAL)))
    finally:
        for path in unfinished:
            path.unlink(missing_ok=True)


def _write_labels(arrays: SplitArrays, file: BinaryIO) -> None:
    pickle.dump((arrays.names, arrays.labels.tolist()), file, protocol=4)


def _write_clips(arrays: SplitArrays, file: BinaryIO) -> None:
    header = {"descr": "<f4", "fortran_order": False, "shape": arrays.data.shape}
    np.lib.format.write_array_header_1_0(file, header)
    for begin in range(0, len(arrays.data), _CHUNK):
        file.write(np.ascontiguousarray(arrays.data[begin : begin + _CHUNK], "<f4").data)


def prepare(raw: Path, out: Path, dataset: DataSet, protocol: str, labels: Path | None) -> None:
    """Check both parts, write them, and say what became of them.

    Raises:
        OSError: when a file is not there or cannot be written.
        ValueError: when a file is not what it should be.
    """
    folder = split_folder(out, dataset.name, protocol)
    parts = {part: load(raw, part, dataset, labels) for part in PARTS}
    take_over(parts, folder)
    print(f"{dataset.title} in {out}:")
    counts = ", ".join(f"{part} {len(arrays.names):,}" for part, arrays in parts.items())
    print(f"  {dataset.folders[protocol]}: {counts}")
    print(f"  {counted(dataset.frames, 'frame')} a clip; not to be mixed with recorded lengths")
    for loss in LOSES:
        print(f"  lost: {loss}")


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = Parser(
        "frame50",
        "Check clips resized to 50 frames and put them in place, as they are.",
        raw="folder of one split, with train_position.npy and val_position.npy",
        loses=LOSES,
        builds=False,
    )
    add = parser.add_argument
    add("--dataset", required=True, choices=FORMS, help="what the folder holds")
    add("--protocol", required=True, metavar="NAME", help="which of its splits")
    text = "folder with train_label.pkl and val_label.pkl of the 300-frame set; it gives names"
    add("--labels", type=Path, metavar="DIR", help=text)
    options = parser.parse_args(argv)
    dataset = DATASETS[options.dataset]
    given = (options.raw, options.out, dataset, options.protocol, options.labels)
    guard(lambda: prepare(*given))
