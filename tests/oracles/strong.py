"""SCD-Net's augmentation, plainly: one clip at a time, in NumPy.

Axes: C=3 coordinates, T frames, V=25 joints, M=2 bodies. Every function takes one clip (C, T, V, M)
and imports nothing of ours.
"""

import numpy as np

from tests.oracles.augment import BONES, zero_joints

PAIRS = (
    (5, 9), (6, 10), (7, 11), (8, 12), (22, 24), (23, 25),  # arms, as the NTU papers count
    (13, 17), (14, 18), (15, 19), (16, 20),  # legs
)  # fmt: skip


def rotate(clip: np.ndarray, degrees: np.ndarray) -> np.ndarray:
    """Turn each point about x, then y, then z, one after the other."""
    x, y, z = clip.astype(np.float64)
    a, b, c = np.radians(degrees.astype(np.float64))
    y, z = np.cos(a) * y - np.sin(a) * z, np.sin(a) * y + np.cos(a) * z
    z, x = np.cos(b) * z - np.sin(b) * x, np.sin(b) * z + np.cos(b) * x
    x, y = np.cos(c) * x - np.sin(c) * y, np.sin(c) * x + np.cos(c) * y
    return np.stack([x, y, z]).astype(np.float32)


def flip(clip: np.ndarray) -> np.ndarray:
    """Left and right joints exchange places."""
    result = clip.copy()
    for one, other in PAIRS:
        result[:, :, one - 1], result[:, :, other - 1] = clip[:, :, other - 1], clip[:, :, one - 1]
    return result


def hidden_joints(seeds: np.ndarray) -> list[int]:
    """The eight joints that most walks of two bones from the five seeds lead to."""
    bones = [(child, parent) for child, parent in BONES if child != parent]
    ends = bones + [(parent, child) for child, parent in bones]
    walks = [0] * 25
    for seed in seeds:
        for start, middle in ends:
            for again, end in ends:
                walks[end - 1] += start == seed + 1 and middle == again
    return sorted(range(25), key=lambda joint: (-walks[joint], joint))[:8]


def mask_joints(clip: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """Set the joints around the seeds to zero."""
    return zero_joints(clip, hidden_joints(seeds))


def mask_time(clip: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Set the six blocks of four frames to zero whose place in an order of 16 is below 6."""
    result = clip.copy()
    for block in range(16):
        if order[block] < 6:
            result[:, 4 * block : 4 * block + 4] = 0
    return result
