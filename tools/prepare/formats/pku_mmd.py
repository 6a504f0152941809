"""PKU-MMD I and II: long videos cut into clips, `python -m tools.prepare pku-mmd --raw DIR`.

A video is a text file of a line a frame, 150 numbers ordered body, joint, coordinate; an absent
body is zero. Its label file has a line for each clip: class from 1 on, first and last frame from 1
on, confidence 1 or 2. A split file has four lines: a heading, names of the training videos, a
heading, names of the test videos.

Axes: F frames, C=3 coordinates (metres), V=25 joints, M=2 bodies.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from dataset.protocols import DATASETS, PARTS, PKU_MMD_PART1, PKU_MMD_PART2, DataSet
from dataset.skeleton import MAX_FRAMES
from options.prepare import BuildOptions, choice_option, raw_option
from tools.prepare.pipeline.recordings import (
    ROW_NUMBERS,
    Collection,
    EmptyClipError,
    Noted,
    Recording,
    bodies_of_rows,
    remarks_on,
    state,
    two_bodies,
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

SHORT, BEYOND = "short", "beyond"
"""Notes of clips whose label goes beyond the end of the video, as of one that was cut."""
_ENDINGS = (".txt", ".skeleton", ".label")  # code reads the first, the release names the others


@dataclass(frozen=True, kw_only=True)
class Options(BuildOptions):
    """Which part of the release to prepare, and how it is read."""

    loses: ClassVar = (
        "frames of a clip beyond 300",
        "which clips were labelled with less confidence",
        "with --rows cmd the first frame of every clip, which is how CMD reads the labels",
    )
    raw: Path = raw_option("folder of the release: its skeletons, its labels and its split files")
    dataset: str = choice_option(PKU_MMD_PART1.name, SPLIT_FILES, "which part of the release")
    rows: str = choice_option(
        "inclusive",
        ("inclusive", "cmd"),
        "how labels count frames, from 1 to the last as meant, or from 0 without the last as CMD, "
        "HaLP, PCM3 and MAMP do",
    )
    cut: str = choice_option(
        "head",
        ("head", "centre"),
        "what is kept of more than 300 frames, the first as CMD and its kin do, or the middle as "
        "AimCLR and its kin do",
    )


class Label(NamedTuple):
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

    def __call__(self, recording: Recording) -> np.ndarray | Noted:
        """Cut one clip out of its video: (3, F, 25, 2) float32 metres, F at most 300.

        Raises:
            EmptyClipError: when the video has no such frames, or nobody in them.
        """
        lines = _lines(recording.path.parent)
        begin, end = self.rows[recording.name]
        cut = end > len(lines)
        end = min(end, len(lines))
        if self.centre:
            begin += max(0, end - begin - MAX_FRAMES) // 2
        end = min(end, begin + MAX_FRAMES)
        if begin >= end:
            raise EmptyClipError(BEYOND if cut else "")
        values = _numbers(lines[begin:end], begin)
        if not values.any():
            raise EmptyClipError
        parsed = two_bodies(bodies_of_rows(values))
        return Noted(parsed, SHORT) if cut else parsed


@lru_cache(maxsize=1)  # clips come video by video
def _lines(video: Path) -> list[bytes]:
    return video.read_bytes().splitlines()


def _numbers(lines: list[bytes], begin: int) -> np.ndarray:
    """Read rows of 150 numbers each: (F, 150) float32."""
    values = [line.split() for line in lines]
    for row, numbers in enumerate(values, start=begin + 1):
        if len(numbers) != ROW_NUMBERS:
            raise ValueError(f"row {row} has {len(numbers)} numbers, not {ROW_NUMBERS}")
    rows = np.empty((len(values), ROW_NUMBERS), np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold is named as not finite
        for row, numbers in enumerate(values):
            try:
                rows[row] = np.array(numbers, dtype=np.bytes_).astype(np.float64)
            except ValueError:
                raise ValueError(f"row {begin + row + 1} does not hold numbers") from None
    return rows


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="replace")  # odd signs are refused where read


def read_split(path: Path, dataset: DataSet) -> dict[str, str]:
    """Read a split file: "train" or "val" for each video."""
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
    fits = [part for part, pattern in VIDEO_NAMES.items() if pattern.fullmatch(name)]
    if not fits:
        raise ValueError(f"{path}: {name} is no video of {dataset.title}")
    if dataset.name not in fits:
        title = DATASETS[fits[0]].title
        raise ValueError(f"{path}: {name} is a video of {title}; give the file of the release")


def read_labels(path: Path, classes: int) -> list[Label]:
    """Read a label file."""
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
        if min(first, last) < 1:
            raise ValueError(f"line {number}: frame {min(first, last)} is not 1 or more")
        if confidence not in (1, 2):
            raise ValueError(f"line {number}: confidence {confidence} is not 1 or 2")
        labels.append(Label(action, first, last))
    if not labels:
        raise ValueError("it holds no label")
    return labels


def collect(options: Options) -> Collection:
    """Find the clips in the videos of the split files that are there."""
    dataset = DATASETS[options.dataset]
    skeletons, labels = _videos(options.raw, SKELETONS), _videos(options.raw, LABELS)
    splits, remarks = _read_splits(options.raw, dataset)
    wanted = sorted({video for parts in splits.values() for video in parts})
    labelled, bad = _read_all_labels(wanted, skeletons, labels, dataset.classes)
    recordings: list[Recording] = []
    rows: dict[str, tuple[int, int]] = {}
    for video, lines in labelled.items():
        parts = {protocol: of[video] for protocol, of in splits.items() if video in of}
        for index, (action, first, last) in enumerate(lines):
            name, path = f"{video}_{index:03}", skeletons[video] / f"{index:03}"
            recordings.append(Recording(name, path, action - 1, parts))
            rows[name] = (first - (options.rows == "inclusive"), last)
    long = sum(end - begin > MAX_FRAMES for begin, end in rows.values())
    kept = "first" if options.cut == "head" else "middle"
    remarks += remarks_on(
        (long, "clip", f"of more than {MAX_FRAMES} frames cut to its {kept} {MAX_FRAMES}"),
        (len(skeletons.keys() - set(wanted)), "video", "ignored: in no split file"),
    )
    states = [state(path) for path in skeletons.values()]
    return Collection(
        replace(dataset, folders={name: dataset.folders[name] for name in splits}),
        recordings,
        Instances(rows, options.cut == "centre"),
        bad,
        remarks,
        item="clip",
        notes={
            SHORT: "shorter than labelled: the video ends within it",
            BEYOND: "left out: the video ends before it",
        },
        settings=f"pku-mmd {options.cut} {sorted(rows.items())} {states}",
    )


def _read_all_labels(
    videos: Iterable[str], skeletons: Mapping[str, Path], labels: Mapping[str, Path], classes: int
) -> tuple[dict[str, list[Label]], dict[Path, str]]:
    """Return the labels of each video that has both its files, and the bad files and faults."""
    found, bad = {}, {}
    for video in videos:
        gone = [files for files in (skeletons, labels) if video not in files]
        if gone:
            path = next(iter(gone[0].values())).parent / video
            bad[path] = "it is in a split file but not there"
            continue
        try:
            found[video] = read_labels(labels[video], classes)
        except (ValueError, OSError) as error:
            bad[labels[video]] = str(error)
    return found, bad


def _videos(raw: Path, names: tuple[str, ...]) -> dict[str, Path]:
    """Return the files of the first folder with one of these names, by their own without ending."""
    found = (path for name in names for path in sorted(raw.rglob(name)))
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
