"""UTD-MHAD: public skeletons to arrays, `python -m tools.prepare utd-mhad --raw DIR`.

A file is named `a{action}_s{subject}_t{trial}_skeleton.mat`. It holds `d_skel`, the joints of the
first Kinect: (20, 3, F) metres.

Axes: F frames, C=3 coordinates (metres), V=25 joints, M=2 bodies, the second one always empty.
"""

import re

import numpy as np

from dataset.protocols import UTD_MHAD
from dataset.reading import reading
from dataset.skeleton import NUM_COORDINATES
from options.prepare import BuildOptions as Options
from tools.prepare.pipeline.matlab import read_array
from tools.prepare.pipeline.recordings import Collection, Recording, files_under, two_bodies

NUM_KINECT_JOINTS = 20
KINECT_JOINT = [3, 2, 1, 0, *range(4, 20), 1, 7, 7, 11, 11]
"""For each of the 25 joints, the joint of the first Kinect that stands for it.

The first Kinect has no joint between the shoulders but "shoulder centre", which also stands for the
neck, and no finger tips or thumbs, for which the hand stands.
"""
_NAME = re.compile(r"a(\d+)_s(\d+)_t(\d+)_skeleton", re.ASCII)


def collect(options: Options) -> Collection:
    """Find the recordings in a folder."""
    recordings, bad = [], {}
    for name, path in files_under(options.raw, ".mat").items():
        match = _NAME.fullmatch(path.stem)
        action, subject = (int(match[1]), int(match[2])) if match else (0, 0)
        if 1 <= action <= UTD_MHAD.classes and 1 <= subject <= 8:
            parts = {name: rule.part(subject) for name, rule in UTD_MHAD.rules.items()}
            recordings.append(Recording(name, path, action - 1, parts))
        else:
            bad[path] = "its name is not a{1 to 27}_s{1 to 8}_t{trial}_skeleton.mat"
    if not recordings:
        raise ValueError(f"--raw {options.raw}: no UTD-MHAD skeleton in it")
    return Collection(UTD_MHAD, recordings, read, bad)


def read(recording: Recording) -> np.ndarray:
    """Read a recording's file: (3, F, 25, 2) float32 metres; the second body is zero."""
    content = recording.path.read_bytes()
    with reading("it", "a whole MATLAB 5 file"):
        skeleton = read_array(content, "d_skel")
    if skeleton is None:
        raise ValueError("it has no d_skel")
    if skeleton.ndim != 3 or skeleton.shape[:2] != (NUM_KINECT_JOINTS, NUM_COORDINATES):
        raise ValueError(f"its d_skel has shape {skeleton.shape}, not (20, 3, frames)")
    return two_bodies(skeleton[KINECT_JOINT].transpose(2, 0, 1)[None])  # (1, F, V, C)
