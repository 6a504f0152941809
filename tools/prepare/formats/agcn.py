"""2s-AGCN and MS-G3D arrays, and CMD's of PKU-MMD: `python -m tools.prepare agcn --raw DIR`.

A folder holds one split: `{part}_data_joint.npy` float32 (N, 3, 300, 25, 2) and `{part}_label.pkl`,
a pickle of (names, classes from 0 on). Clips are normalised and repeated to 300 frames as ours are.
CMD adds `{part}_num_frame.npy`, where counts of longer clips go beyond 300; without it the length
of a clip is the period of its repetition, as far as that shows.

Axes: N clips, C=3 coordinates (metres), T=300 frames, V=25 joints, M=2 bodies.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset.arrays import load_coordinates, load_frame_counts
from dataset.origin import FIRST_FRAME, FRAME50, RAW
from dataset.protocols import PARTS
from dataset.skeleton import MAX_FRAMES
from moco.config import SettingError
from options.prepare import raw_option
from tools.prepare.formats import stgcn
from tools.prepare.pipeline.build import build
from tools.prepare.pipeline.normalise import SPINE_MIDDLE, repeat
from tools.prepare.pipeline.recordings import Collection, counted, state

_EQUAL = 1e-6  # metres; a repeated frame has the very numbers of the first time
_ALIKE = 1e-5  # metres; of a second body, whose place was rounded anew each time


@dataclass(frozen=True, kw_only=True)
class Options(stgcn.Options):
    """Which split to prepare."""

    loses: ClassVar = (
        "without num_frame files the length of clips whose repetition does not show; they count "
        f"{MAX_FRAMES} frames",
        "frames of a clip beyond 300",
    )
    raw: Path = raw_option("folder of one split, with train_data_joint.npy and train_label.pkl")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.no_rotate_z:
            fault = "these clips are turned already; leave it out"
            raise SettingError("no_rotate_z", "given", fault)


def prepare(options: Options) -> None:
    """Write the arrays of the folder's protocol."""
    build(collect(options), options)


def collect(options: Options) -> Collection:
    """Find the clips of the folder."""
    files = [options.raw / f"{part}_num_frame.npy" for part in PARTS]
    found = stgcn.collect_split(options, "data_joint", repeats_after)
    paths = found.read.paths
    stgcn.check_origin(paths, (RAW, FIRST_FRAME, FRAME50), "stgcn")
    found = replace(found, normalise=repeat, remarks_on_frames=_recovered)
    if not any(path.is_file() for path in files):
        return found
    counts = {
        part: load_frame_counts(file, load_coordinates(path)).tolist()
        for file, (part, path) in zip(files, paths.items(), strict=True)
    }
    return replace(
        found,
        read=stgcn.Rows(paths, Counted(counts)),
        remarks_on_frames=Collection.remarks_on_frames,
        settings=f"{found.settings} {[state(path) for path in files]}",
    )


@dataclass(frozen=True)
class Counted:
    """Knows the recorded frames of each clip of each part."""

    frames: Mapping[str, list[int]]

    def __call__(self, clip: np.ndarray, part: str, row: int) -> int:
        """Say how many frames of a clip were recorded."""
        return self.frames[part][row]


def repeats_after(clip: np.ndarray, part: str, row: int) -> int:
    """Frames after which a clip (3, T, 25, 2) repeats until its end; T where that does not show.

    Bodies were repeated each by its own length, and then the second one was moved with the first.
    So each is looked at by itself, the second around its spine; both together repeat later or not
    at all where their lengths differ.
    """
    first, second = clip[..., 0], clip[..., 1]
    if not second.any():
        return _period(first, _EQUAL)
    alone = second - second[:, :, SPINE_MIDDLE, None] * second.any(axis=0)
    each = max(_period(first, _EQUAL), _period(alone, _ALIKE))
    return min(each, _period(clip, _EQUAL))


def _period(clip: np.ndarray, tolerance: float) -> int:
    """The shortest period of (3, T, ...) that holds to the end; T where there is none."""
    T = clip.shape[1]
    like_first = np.abs(clip - clip[:, :1]).reshape(3, T, -1).max(axis=(0, 2)) <= tolerance  # (T,)
    for period in np.flatnonzero(like_first)[1:].tolist():
        if np.abs(clip[:, period:] - clip[:, : T - period]).max() <= tolerance:
            return period
    return T


def _recovered(frames: Iterable[int]) -> list[str]:
    """Say of how many clips the length was found."""
    frames = list(frames)
    shown = sum(count < MAX_FRAMES for count in frames)
    return [
        f"the length of {shown:,} of {counted(len(frames), 'clip')} recovered from its repetition; "
        f"the others count {MAX_FRAMES} frames"
    ]
