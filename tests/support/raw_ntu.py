"""Raw NTU files for tests: the golden ones, and random ones with everything that goes wrong in NTU.

Axes: F frames, V=25 joints, C=3 coordinates in metres.
"""

import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.support.paths import GOLDENS

PERFORMERS = {  # of every setup of NTU RGB+D 120: who took part, each before three cameras, twice
    1: (1, 2, 3, 4, 5, 6, 7, 8),
    2: (3, 7, 8, 9, 10, 11, 12, 13, 14),
    3: (1, 2, 7, 8, 15, 16, 17, 18, 19),
    4: (3, 7, 8, 20),
    5: (4, 10, 13, 15, 16, 17, 18, 21),
    6: (1, 7, 8, 15, 16, 17, 19, 22, 23, 24),
    7: (1, 7, 8, 15, 16, 17, 18, 19, 25, 26, 27, 28),
    8: (1, 7, 8, 15, 19, 25, 29, 30, 31, 32, 33, 34, 35, 36),
    9: (7, 8, 15, 16, 17, 19, 25),
    10: (7, 8, 13, 15, 16, 17, 18, 19, 21, 25),
    11: (1, 2, 7, 8, 15, 16, 17, 18, 19, 25, 27, 28, 38),
    12: (7, 8, 15, 16, 17, 18, 19, 25, 27, 28, 37),
    13: (7, 8, 15, 16, 17, 18, 19, 25, 27, 28, 37),
    14: (7, 8, 15, 17, 19, 25, 27, 37, 39),
    15: (7, 8, 15, 16, 17, 19, 25, 37),
    16: (7, 8, 19, 21, 25, 39, 40),
    17: (3, 7, 8, 9, 15, 16, 17, 20),
    18: (8, 41, 42, 43, 44, 45),
    19: (8, 41, 42, 46, 47, 48, 49, 50, 51),
    20: (8, 41, 43, 44, 52, 53, 54),
    21: (55, 56, 57, 58, 59, 60),
    22: (61, 62, 63, 64, 65, 66, 67),
    23: (55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65, 66, 67, 68),
    24: (57, 60, 61, 62, 63, 64, 67),
    25: (55, 56, 58, 59, 65, 66, 68),
    26: (8, 41, 44, 49, 50, 51, 69, 70, 71, 72, 74, 75, 76, 77),
    27: (6, 8, 11, 41, 43, 44, 78, 79, 80, 81, 82, 83, 84, 85, 86),
    28: (8, 41, 42, 43, 46, 48, 70, 73, 87),
    29: (6, 8, 41, 43, 44, 48, 49, 51, 67, 74, 75, 80, 88, 89, 90),
    30: (8, 11, 41, 43, 44, 48, 67, 75, 76, 81, 85, 88, 91, 92, 93, 94, 95, 96),
    31: (6, 8, 41, 42, 43, 44, 51, 67, 82, 85, 96, 97, 98, 99, 100, 101),
    32: (8, 41, 43, 44, 67, 102, 103, 104, 105, 106),
}


def all_names() -> list[str]:
    """Names of all 114,480 recordings of NTU RGB+D 120, those on the missing list included."""
    return sorted(
        f"S{setup:03}C{camera:03}P{performer:03}R{replication:03}A{action:03}"
        for setup, performers in PERFORMERS.items()
        for performer in performers
        for camera in (1, 2, 3)
        for replication in (1, 2)
        for action in (range(1, 61) if setup <= 17 else range(61, 121))
    )


def extract_golden_files(folder: Path) -> Path:
    """Unpack the golden raw files and return the folder that they are in."""
    with tarfile.open(GOLDENS / "raw.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "raw"


def skeleton_text(frames: Sequence[Sequence[np.ndarray]], end: str = "\r\n") -> str:
    """Write a recording as NTU writes it.

    Args:
        frames: for each frame, the (25, 3) joints of each body in it.
        end: what ends a line.
    """
    lines = [str(len(frames))]
    for bodies in frames:
        lines.append(str(len(bodies)))
        for number, body in enumerate(bodies):
            lines += [f"{72057594037927930 + number} 0 1 1 1 1 0 -0.118311 0.036032 2", "25"]
            lines += [
                f"{x:.7g} {y:.7g} {z:.7g} 250.0 231.1 960.1 NaN -0.09 0.05 0.9 -0.1 2"
                for x, y, z in body.tolist()
            ]
    return end.join(lines) + end


def random_body(generator: np.random.Generator, num_frames: int) -> np.ndarray:
    """Return a moving body, (F, 25, 3)."""
    place = generator.uniform((-1, -1, 2), (1, 1, 4))
    pose = generator.normal(0, 0.4, size=(25, 3))
    sway = np.cumsum(generator.normal(0, 0.02, size=(num_frames, 25, 3)), axis=0)
    return place + pose + sway


def awkward_frames(seed: int) -> list[list[np.ndarray]]:
    """Draw a recording with late, leaving, missing and mirrored bodies, in changing slots."""
    generator = np.random.default_rng(seed)
    num_frames = int(generator.choice([1, 2, 3, 17, 60, 299, 300]))
    bodies = [random_body(generator, num_frames) for _ in range(generator.integers(0, 7))]
    if len(bodies) > 1 and generator.random() < 0.3:
        bodies[1] = bodies[0] * (-1, 1, 1)  # of equal spread
    if bodies and generator.random() < 0.3:
        bodies[0][:, generator.integers(25)] = 0
    if bodies and generator.random() < 0.3:  # the rotations are degenerate
        bodies[0][0, [0, 1, 4, 8]] = [[0, 0, 2], [0, 0, 2.5], [0.2, 0, 2.4], [-0.2, 0, 2.4]]
    there = np.ones((num_frames, len(bodies)), dtype=bool)
    for column in there.T:
        first, last = np.sort(generator.integers(0, num_frames + 1, size=2))
        kind = generator.integers(4)
        column[: first if kind in (1, 3) else 0] = False
        column[last if kind in (2, 3) else num_frames :] = False
    there[generator.random(num_frames) < generator.choice([0, 0.1, 0.5])] = False
    return [
        [body[frame] for body, here in zip(bodies, row, strict=True) if here]
        for frame, row in enumerate(there)
    ]
