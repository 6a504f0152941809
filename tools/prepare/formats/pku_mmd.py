"""PKU-MMD I and II: long videos cut into clips, `python -m tools.prepare pku-mmd --raw DIR`.

A video is a text file of a line a frame, 150 numbers ordered body, joint, coordinate; an absent
body is zero. Its label file has a line for each clip: class from 1 on, first and last frame from 1
on, confidence 1 or 2. A split file has four lines: a heading, names of the training videos, a
heading, names of the test videos.

Axes: F frames, C=3 coordinates (metres), V=25 joints, M=2 bodies.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from dataset.protocols import DATASETS, PARTS, PKU_MMD_PART1, PKU_MMD_PART2, DataSet
from dataset.skeleton import MAX_FRAMES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from tools.prepare.pipeline.command import Parser, run
from tools.prepare.pipeline.recordings import (
    Collection,
    EmptyClipError,
    Recording,
    counted,
    existing_folder,
    state,
)

SKELETONS, LABELS = ("PKU_Skeleton_Renew", "skeleton"), ("Train_Label_PKU_final", "label")
"""What the folders are called."""

SPLIT_FILES = {
    PKU_MMD_PART1.name: {
        "cross_subject": ("cross-subject.txt", "cross_subject.txt"),
        "cross_view": ("cross-view.txt", "cross_view.txt"),
    },
    PKU_MMD_PART2.name: {
        "cross_subject": ("cross_subject_v2.txt", "cross-subject-v2.txt"),
        "cross_view": ("cross_view_v2.txt", "cross-view-v2.txt"),
    },
}
VIDEO_NAMES = {
    PKU_MMD_PART1.name: re.compile(r"\d{4}-[LMR]", re.ASCII),
    PKU_MMD_PART2.name: re.compile(r"A\d{2}N\d{2}-[LMR]", re.ASCII),
}

LOSES = (
    "frames of a clip beyond 300",
    "which clips were labelled with less confidence",
    "with --rows cmd the first frame of every clip, which is how CMD reads the labels",
)
_ROW = NUM_BODIES * NUM_JOINTS * NUM_COORDINATES
_ENDINGS = (".txt", ".skeleton", ".label")  # code reads the first, the release names the others


@dataclass(frozen=True)
class Label:
    """One line of a label file: a class from 1 on, and rows of the video from 1 on, inclusive."""

    action: int
    first: int
    last: int


@dataclass(frozen=True)
class Instances:
    """Reads recordings, whose paths are a video's and their number in it.

    Attributes:
        rows: for each recording's name, the rows [begin, end) of its video, from 0 on.
        centre: of a clip of more than 300 frames, keep the middle instead of the first 300.
    """

    rows: Mapping[str, tuple[int, int]]
    centre: bool

    def __call__(self, recording: Recording) -> np.ndarray:
        """Cut one clip out of its video.

        Returns:
            (3, F, 25, 2) float32 metres, F at most 300; absent bodies are zero.

        Raises:
            EmptyClipError: when the video has no such frames, or nobody in them.
            ValueError: when one of its rows is not 150 numbers.
            OSError: when the video cannot be read.
        """
        lines = _lines(recording.path.parent)
        begin, end = self.rows[recording.name]
        end = min(end, len(lines))
        if self.centre:
            begin += max(0, end - begin - MAX_FRAMES) // 2
        end = min(end, begin + MAX_FRAMES)
        if begin >= end:
            raise EmptyClipError
        values = _numbers(lines[begin:end], begin)
        if not values.any():
            raise EmptyClipError
        bodies = values.reshape(-1, NUM_BODIES, NUM_JOINTS, NUM_COORDINATES)
        return np.ascontiguousarray(bodies.transpose(3, 0, 2, 1))


@lru_cache(maxsize=1)  # clips come video by video
def _lines(video: Path) -> list[bytes]:
    return video.read_bytes().splitlines()


def _numbers(lines: list[bytes], begin: int) -> np.ndarray:
    """Read rows of 150 numbers each: (F, 150) float32."""
    values = [line.split() for line in lines]
    for row, numbers in enumerate(values, start=begin + 1):
        if len(numbers) != _ROW:
            raise ValueError(f"row {row} has {len(numbers)} numbers, not {_ROW}")
    try:
        exact = np.array(values, dtype=np.bytes_).astype(np.float64)
    except ValueError:
        wrong = next(row for row, numbers in enumerate(values) if not _are_numbers(numbers))
        raise ValueError(f"row {begin + wrong + 1} does not hold numbers") from None
    with np.errstate(over="ignore"):  # what float32 cannot hold is named as not finite
        return exact.astype(np.float32)


def _are_numbers(values: list[bytes]) -> bool:
    try:
        return len([float(value) for value in values]) > 0
    except ValueError:
        return False


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")  # odd signs are refused where read


def read_split(path: Path, dataset: DataSet) -> dict[str, str]:
    """Read a split file: "train" or "val" for each video.

    Raises:
        ValueError: when it is not two headings with names, or names what is no video of this part.
        OSError: when it cannot be read.
    """
    lines = [line for line in _text(path).splitlines() if line.strip()]
    if len(lines) != 2 * len(PARTS):
        raise ValueError(f"{path} has {len(lines)} lines, not a heading and names, twice")
    parts: dict[str, str] = {}
    for number, part in enumerate(PARTS):
        names = [name for name in re.split(r"[,\s]+", lines[2 * number + 1]) if name]
        if not names:
            raise ValueError(f"{path} has no name in line {2 * number + 2}")
        for name in names:
            _check_name(path, name, dataset)
            if parts.setdefault(name, part) != part:
                raise ValueError(f"{path}: {name} is in both parts")
    return parts


def _check_name(path: Path, name: str, dataset: DataSet) -> None:
    """Refuse a name that is no video's of this part."""
    if VIDEO_NAMES[dataset.name].fullmatch(name):
        return
    for other, pattern in VIDEO_NAMES.items():
        if pattern.fullmatch(name):
            title = DATASETS[other].title
            raise ValueError(f"{path}: {name} is a video of {title}; give the file of the release")
    raise ValueError(f"{path}: {name} is no video of {dataset.title}")


def read_labels(path: Path, classes: int) -> list[Label]:
    """Read a label file.

    Raises:
        ValueError: when a line is not a label, or there is none.
        OSError: when it cannot be read.
    """
    labels = []
    for number, line in enumerate(_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        values = [value.strip() for value in line.split(",")]
        if len(values) != 4 or not all(re.fullmatch(r"-?\d+", value) for value in values):
            raise ValueError(f"line {number} is not class,start,end,confidence")
        action, first, last, confidence = map(int, values)
        if not 1 <= action <= classes:
            raise ValueError(f"line {number}: class {action} is not 1 to {classes}")
        if first < 1:
            raise ValueError(f"line {number}: frame {first} is not 1 or more")
        if confidence not in (1, 2):
            raise ValueError(f"line {number}: confidence {confidence} is not 1 or 2")
        labels.append(Label(action, first, last))
    if not labels:
        raise ValueError("it holds no label")
    return labels


def collect(raw: Path, dataset: DataSet, rows: str = "inclusive", cut: str = "head") -> Collection:
    """Find the clips in the videos of one part.

    Args:
        raw: folder of the release, with the folders of skeletons and labels and the split files.
        dataset: PKU_MMD_PART1 or PKU_MMD_PART2.
        rows: "inclusive" counts frames from 1 and keeps the last, "cmd" counts from 0 and does not.
        cut: "head" or "centre", what is kept of a clip of more than 300 frames.

    Raises:
        OSError: when one of them cannot be read.
        ValueError: when one of them is not there, or a split file makes no sense.
    """
    skeletons, labels = _videos(raw, SKELETONS), _videos(raw, LABELS)
    splits, remarks = _read_splits(raw, dataset)
    recordings, bad = [], {}
    places: dict[str, tuple[int, int]] = {}
    for video, parts in _by_video(splits).items():
        try:
            lines = _labels_of(video, skeletons, labels, dataset)
        except _BadVideoError as error:
            bad[error.path] = str(error)
            continue
        for index, label in enumerate(lines):
            name = f"{video}_{index:03}"
            path = skeletons[video] / f"{index:03}"
            recordings.append(Recording(name, path, label.action - 1, parts))
            places[name] = (label.first - (rows == "inclusive"), label.last)
    remarks += _remarks(places, skeletons.keys() - _by_video(splits).keys(), cut)
    states = [state(path) for path in skeletons.values()]
    return Collection(
        replace(dataset, folders={name: dataset.folders[name] for name in splits}),
        recordings,
        Instances(places, cut == "centre"),
        bad,
        remarks,
        LOSES,
        item="clip",
        settings=f"pku-mmd {cut} {sorted(places.items())} {states}",
    )


def _videos(raw: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Return the files of the first folder with one of these names, by their own without ending."""
    found = (path for name in names for path in sorted(existing_folder(raw).rglob(name)))
    folders = [path for path in found if path.is_dir()]
    if not folders:
        raise FileNotFoundError(f"--raw {raw}: no folder {' or '.join(names)} in it")
    files = {path.stem: path for path in sorted(folders[0].iterdir()) if path.suffix in _ENDINGS}
    if not files:
        raise FileNotFoundError(f"{folders[0]}: no file of {' or '.join(_ENDINGS)} in it")
    return files


def _read_splits(raw: Path, dataset: DataSet) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Read the split files that are there; return each protocol's parts, and what is missing."""
    splits, remarks = {}, []
    for protocol, names in SPLIT_FILES[dataset.name].items():
        found = [path for name in names for path in sorted(raw.rglob(name))]
        if found:
            splits[protocol] = read_split(found[0], dataset)
        else:
            remarks.append(f"{protocol} not prepared: no {' or '.join(names)}")
    if not splits:
        wanted = [name for names in SPLIT_FILES[dataset.name].values() for name in names]
        raise FileNotFoundError(f"--raw {raw}: no {', '.join(wanted)} in it")
    return splits, remarks


def _by_video(splits: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Turn the parts of each protocol's videos into the parts of each video, sorted by name."""
    names = sorted({video for parts in splits.values() for video in parts})
    return {
        video: {protocol: parts[video] for protocol, parts in splits.items() if video in parts}
        for video in names
    }


class _BadVideoError(ValueError):
    """Raised for a video none of whose clips can be prepared."""

    def __init__(self, path: Path, fault: object) -> None:
        super().__init__(fault)
        self.path = path


def _labels_of(
    video: str, skeletons: Mapping[str, Path], labels: Mapping[str, Path], dataset: DataSet
) -> list[Label]:
    """Return the labels of a video that has both its files, or raise a _BadVideoError."""
    for files in (skeletons, labels):
        if video not in files:
            folder = next(iter(files.values())).parent
            raise _BadVideoError(folder / video, "it is in a split file but not there")
    try:
        return read_labels(labels[video], dataset.classes)
    except (ValueError, OSError) as error:
        raise _BadVideoError(labels[video], error) from None


def _remarks(places: Mapping[str, tuple[int, int]], unused: set[str], cut: str) -> list[str]:
    """Count what is cut, and the videos that no split file names."""
    long = sum(end - begin > MAX_FRAMES for begin, end in places.values())
    kept = "first" if cut == "head" else "middle"
    counts = (
        (
            long,
            f"{counted(long, 'clip')} of more than {MAX_FRAMES} frames cut to its {kept} "
            f"{MAX_FRAMES}",
        ),
        (len(unused), f"{counted(len(unused), 'video')} ignored: in no split file"),
    )
    return [remark for count, remark in counts if count]


def main(argv: list[str] | None = None) -> None:
    """Run the command line."""
    parser = Parser(
        "pku-mmd",
        "Prepare PKU-MMD I or II from raw videos and labels: both protocols from one reading.",
        raw="folder of the release: its skeletons, its labels and its split files",
        loses=LOSES,
    )
    add = parser.add_argument
    choices = (PKU_MMD_PART1.name, PKU_MMD_PART2.name)
    text = "which part of the release (default: %(default)s)"
    add("--dataset", choices=choices, default=choices[0], help=text)
    text = (
        "how labels are read: frames from 1 on with the last, as meant, or from 0 on without, as "
        "CMD, HaLP, PCM3 and MAMP do (default: %(default)s)"
    )
    add("--rows", choices=("inclusive", "cmd"), default="inclusive", help=text)
    text = (
        "what is kept of more than 300 frames: the first, as CMD and its kin, or the middle, as "
        "AimCLR and its kin (default: %(default)s)"
    )
    add("--cut", choices=("head", "centre"), default="head", help=text)
    options = parser.parse_args(argv)
    dataset = DATASETS[options.dataset]
    run(options, lambda: collect(options.raw, dataset, options.rows, options.cut))
