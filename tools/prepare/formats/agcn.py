"""2s-AGCN and MS-G3D arrays, and CMD's of PKU-MMD: `python -m tools.prepare agcn --raw DIR`.

A folder holds one split: `{part}_data_joint.npy` float32 (N, 3, 300, 25, 2) and `{part}_label.pkl`,
a pickle of (names, classes from 0 on). Clips are normalised and repeated to 300 frames as ours are.
CMD adds `{part}_num_frame.npy`, where counts of longer clips go beyond 300; without it the length
of a clip is the period of its repetition, as far as that shows.

Axes: N clips, C=3 coordinates (metres), T=300 frames, V=25 joints, M=2 bodies.
"""

from collections.abc import Mapping
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
from tools.prepare.pipeline.normalise import SPINE_MIDDLE, repeat
from tools.prepare.pipeline.recordings import Collection, Noted, Recording, state

_EQUAL = 1e-6  # metres; a repeated frame has the very numbers of the first time
_ALIKE = 1e-5  # metres; of a second body, whose place was rounded anew each time

_FOUND, _NOT_FOUND = "found", "not found"
_NOTES = {
    _FOUND: "with the length recovered from its repetition",
    _NOT_FOUND: f"without repetition that shows: counted as {MAX_FRAMES} frames",
}


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


def collect(options: Options) -> Collection:
    """Find the clips of the folder."""
    files = [options.raw / f"{part}_num_frame.npy" for part in PARTS]
    found = stgcn.collect_split(options, "data_joint", Rows)
    paths, settings = found.read.paths, found.settings
    stgcn.check_origin(paths, (RAW, FIRST_FRAME, FRAME50), "stgcn")
    read = found.read
    if any(path.is_file() for path in files):
        counts = {
            part: load_frame_counts(file, load_coordinates(path)).tolist()
            for file, (part, path) in zip(files, paths.items(), strict=True)
        }
        read, settings = Rows(paths, counts), f"{settings} {[state(path) for path in files]}"
    return replace(found, read=read, settings=settings, normalise=repeat, notes=_NOTES)


@dataclass(frozen=True)
class Rows(stgcn.Rows):
    """Reads recordings, whose paths end in `{part}_{row}`, from the arrays of both parts.

    Attributes:
        counts: recorded frames of each clip of each part; None where that is not known.
    """

    counts: Mapping[str, list[int]] | None = None

    def __call__(self, recording: Recording) -> np.ndarray | Noted:
        """Read one recording: (3, F, 25, 2) float32 metres."""
        part, row = self.place(recording)
        clip = self.clip(part, row)
        if self.counts:
            return clip[:, : self.counts[part][row]]
        frames = repeats_after(clip)
        return Noted(clip[:, :frames], _FOUND if frames < MAX_FRAMES else _NOT_FOUND)


def repeats_after(clip: np.ndarray) -> int:
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
