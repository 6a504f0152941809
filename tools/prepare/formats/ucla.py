"""NW-UCLA: public skeletons to arrays, `python -m tools.prepare ucla --raw DIR`.

A file is named `a{action}_s{subject}_e{take}_v{view}.json`. It holds `label`, a class from 1 on,
and `skeletons`, F frames of the first Kinect's 20 joints in metres.

Axes: F frames, C=3 coordinates (metres), V=25 joints, M=2 bodies, the second one always empty.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dataset.joint_maps import joint_map
from dataset.protocols import UCLA
from dataset.skeleton import NUM_COORDINATES
from options.prepare import BuildOptions
from tools.prepare.pipeline.recordings import Collection, Recording, files_under, two_bodies

_JOINTS = joint_map("kinect20")
_NAME = re.compile(r"a(\d+)_s(\d+)_e(\d+)_v0*([123])", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Options(BuildOptions):
    """Nothing beside what all formats have."""

    loses: ClassVar = (
        "how neck, finger tips and thumbs moved: the first Kinect has none, so its shoulder centre "
        "and hands stand for them",
    )


def collect(options: Options) -> Collection:
    """Find the recordings in a folder; each is read once for its class."""
    recordings, bad = [], {}
    rule = UCLA.rules["cross_view"]
    for name, path in files_under(options.raw, ".json").items():
        match = _NAME.fullmatch(path.stem)
        if match is None:
            bad[path] = "its name is not a{action}_s{subject}_e{take}_v{1 to 3}.json"
            continue
        try:
            label, _ = parse(path)
        except (ValueError, OSError) as error:
            bad[path] = str(error)
            continue
        part = rule.part(int(match[4]))
        recordings.append(Recording(name, path, label - 1, {"cross_view": part}))
    if not recordings and not bad:
        raise ValueError(f"--raw {options.raw}: no NW-UCLA skeleton in it")
    return Collection(UCLA, recordings, read, bad)


def read(recording: Recording) -> np.ndarray:
    """Read a recording's file: (3, F, 25, 2) float32 metres; the second body is zero."""
    return two_bodies(parse(recording.path)[1][None, :, list(_JOINTS.entries)])


def parse(path: Path) -> tuple[int, np.ndarray]:
    """Read the class, from 1 on, and the skeletons (F, 20, 3) of a file."""
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({error})") from None
    if not isinstance(content, dict) or not {"label", "skeletons"} <= content.keys():
        raise ValueError("it is no object with label and skeletons")
    label = content["label"]
    if type(label) is not int or not 1 <= label <= UCLA.classes:
        raise ValueError(f"its label is {label!r:.40}, not 1 to {UCLA.classes}")
    try:
        skeleton = np.array(content["skeletons"], dtype=np.float64)
    except (ValueError, TypeError):
        raise ValueError("its skeletons are not frames of joints of numbers") from None
    if skeleton.ndim != 3 or skeleton.shape[1:] != (_JOINTS.count, NUM_COORDINATES):
        raise ValueError(f"its skeletons have shape {skeleton.shape}, not (frames, 20, 3)")
    return label, skeleton
