"""CTR-GCN, MAMP and STARS files to arrays, `python -m tools.prepare npz --raw FILE`.

An .npz file holds one split: `x_train`, `x_test` float32 (N, T, 150), a frame's 150 numbers ordered
body, joint, coordinate, with a tail of zeros; `y_train`, `y_test` (N, classes), one 1 in each row.
The files of all three projects look alike; how many classes there are tells the data set.

Axes: N clips, T stored and F recorded frames, C=3 coordinates (metres), V=25 joints, M=2 bodies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from dataset.arrays import placeholders
from dataset.protocols import DATASETS, PARTS, DataSet, split_folder
from dataset.skeleton import NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from tools.prepare.pipeline.command import Parser, run
from tools.prepare.pipeline.normalise import SPINE_MIDDLE
from tools.prepare.pipeline.recordings import Collection, Recording, existing_file, state
from tools.prepare.pipeline.zipped import ZippedArray, open_zip

KEYS = ("x_train", "y_train", "x_test", "y_test")
ENDINGS = {"train": "train", "val": "test"}
"""What the keys call a part."""

FORMS = ("ntu60", "ntu120", "pku_mmd_part1", "pku_mmd_part2")
"""Data sets that such files are known of."""

LOSES = (
    "names: the files hold none; those written are placeholders, train_0 and so on in file order",
    "when frames were empty, and the recorded length of a clip that ended in empty frames",
    "bodies taken for noise, and perhaps the order of two bodies",
)
_LOOKED_AT = 16  # clips from which the centring is told
_FRAME = NUM_BODIES * NUM_JOINTS * NUM_COORDINATES


@dataclass(frozen=True)
class Rows:
    """Reads recordings, whose paths end in `{part}_{row}`, from the rows of an .npz file.

    Attributes:
        arrays: the coordinates of each part, (N, T, 150).
    """

    arrays: Mapping[str, ZippedArray]

    def __call__(self, recording: Recording) -> np.ndarray:
        """Read one recording.

        Returns:
            (3, F, 25, 2) metres, up to the last frame that is not zero.

        Raises:
            ValueError: when there is no such frame, or the file is damaged.
            OSError: when it cannot be read.
        """
        part, _, row = recording.path.name.partition("_")
        return parse(self.arrays[part].row(int(row)))


def parse(row: np.ndarray) -> np.ndarray:
    """Turn a row (T, 150) into (3, F, 25, 2) float32 metres.

    Raises:
        ValueError: when all frames are zero.
    """
    there = np.flatnonzero((row != 0).any(axis=1))
    if not len(there):
        raise ValueError("it has no frame that is not zero")
    frames = row[: there[-1] + 1].reshape(-1, NUM_BODIES, NUM_JOINTS, NUM_COORDINATES)
    with np.errstate(over="ignore"):  # what float32 cannot hold is named as not finite
        return np.ascontiguousarray(frames.transpose(3, 0, 2, 1), dtype=np.float32)


def collect(raw: Path, dataset: DataSet, protocol: str) -> Collection:
    """Find the clips of a file.

    Args:
        raw: the .npz file.
        dataset: what it holds.
        protocol: which of the data set's splits it holds; the file does not say.

    Raises:
        OSError: when the file cannot be read.
        ValueError: when it is not such a file, or of another data set.
    """
    split_folder("", dataset.name, protocol)  # refuses an unknown protocol
    with open_zip(existing_file(raw)) as archive:
        has = [name.removesuffix(".npy") for name in archive.namelist()]
    if not set(KEYS) <= set(has):
        raise ValueError(f"{raw} has the keys {', '.join(has)}, not {', '.join(KEYS)}")
    arrays, recordings = {}, []
    for part in PARTS:
        labels = _labels(raw, f"y_{ENDINGS[part]}", dataset)
        arrays[part] = _coordinates(raw, f"x_{ENDINGS[part]}", len(labels))
        for name, label in zip(placeholders(part, len(labels)), labels, strict=True):
            recordings.append(Recording(name, raw / name, label, {protocol: part}))
    return Collection(
        replace(dataset, folders={protocol: dataset.folders[protocol]}),
        recordings,
        Rows(arrays),
        remarks=[_centring(arrays["train"])],
        loses=LOSES,
        item="clip",
        settings=f"npz {state(raw)}",
        in_one_process=any(array.compressed for array in arrays.values()),
    )


def _coordinates(raw: Path, key: str, clips: int) -> ZippedArray:
    """Open the coordinates of one part and check that they are skeletons."""
    array = ZippedArray(raw, key)
    if len(array.shape) != 3 or array.shape[2] != _FRAME:
        raise ValueError(f"{raw}: {key} has shape {array.shape}, not (N, frames, {_FRAME})")
    if len(array) != clips:
        raise ValueError(f"{raw}: {key} holds {len(array)} clips, {_other(key)} {clips}")
    if array.dtype.kind != "f":
        raise ValueError(f"{raw}: {key} holds {array.dtype}, not float32")
    return array


def _other(key: str) -> str:
    return key.replace("x", "y", 1)


def _labels(raw: Path, key: str, dataset: DataSet) -> list[int]:
    """Read the classes of one part, from 0 on."""
    array = ZippedArray(raw, key)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{raw}: {key} holds {array.dtype}, not numbers")
    if len(array.shape) != 2:
        raise ValueError(f"{raw}: {key} has shape {array.shape}, not (N, {dataset.classes})")
    classes = array.shape[1]
    if classes != dataset.classes:
        fitting = [name for name in FORMS if DATASETS[name].classes == classes]
        hint = f"; --dataset {' or '.join(fitting)} has {classes}" if fitting else ""
        raise ValueError(
            f"{raw}: {key} has {classes} classes, {dataset.name} has {dataset.classes}{hint}"
        )
    labels = []
    for clip in range(len(array)):
        ones = np.flatnonzero(array.row(clip) > 0)
        if len(ones) != 1:
            raise ValueError(f"{raw}: {key}: clip {clip} has {len(ones)} classes, not one")
        labels.append(int(ones[0]))
    return labels


def _centring(array: ZippedArray) -> str:
    """Say where the first clips have their origin."""
    origins = []
    for row in map(array.row, range(min(len(array), _LOOKED_AT))):
        frames = row[(row != 0).any(axis=1)].reshape(-1, NUM_BODIES, NUM_JOINTS, NUM_COORDINATES)
        if len(frames):
            origins.append(not frames[0, 0, SPINE_MIDDLE].any())
    if sum(origins) * 2 > len(origins):
        return "clips centred on their first frame, as CTR-GCN, MAMP and STARS write NTU"
    return "clips in raw coordinates, as MAMP writes PKU-MMD"


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = Parser(
        "npz",
        "Prepare a CTR-GCN, MAMP or STARS file: one split of NTU RGB+D or PKU-MMD.",
        raw="the .npz file, such as NTU60_CV.npz; a compressed one is read in one process",
        loses=LOSES,
    )
    add = parser.add_argument
    text = "what the file holds (default: %(default)s)"
    add("--dataset", choices=FORMS, default=FORMS[0], help=text)
    protocols = sorted({name for form in FORMS for name in DATASETS[form].folders})
    text = f"which split it holds; the file does not say: {', '.join(protocols)}"
    add("--protocol", required=True, metavar="NAME", help=text)
    options = parser.parse_args(argv)
    run(options, lambda: collect(options.raw, DATASETS[options.dataset], options.protocol))
