"""A 25-joint body with bones of fixed length, posed by joint angles.

Axes: T frames, V=25 joints of the Kinect v2 (0-based), 3 coordinates in metres.
At rest a body stands with hanging arms: x to its right, y up, z to its back, so it faces -z.
"""

from dataclasses import dataclass

import numpy as np

from dataset.skeleton import MIRRORED, NUM_JOINTS

# Joint -> (parent, offset from it in metres) for an adult of about 1.7 m; the left side mirrors the
# right. Parents come before children, so one walk down the list poses the whole body.
_CENTRE = {
    1: (0, (0.0, 0.27, 0.0)),  # base of the spine -> middle of the spine
    20: (1, (0.0, 0.24, 0.0)),  # -> top of the spine
    2: (20, (0.0, 0.08, 0.0)),  # -> neck
    3: (2, (0.0, 0.14, -0.02)),  # -> head
}
_RIGHT = {
    8: (20, (0.17, -0.04, 0.0)),  # shoulder
    9: (8, (0.0, -0.28, 0.0)),  # elbow
    10: (9, (0.0, -0.25, 0.0)),  # wrist
    11: (10, (0.0, -0.07, 0.0)),  # hand
    23: (11, (0.0, -0.08, 0.0)),  # tip of the hand
    24: (11, (-0.03, -0.03, -0.05)),  # thumb
    16: (0, (0.08, -0.03, 0.0)),  # hip
    17: (16, (0.0, -0.42, 0.0)),  # knee
    18: (17, (0.0, -0.40, 0.0)),  # ankle
    19: (18, (0.0, -0.06, -0.13)),  # foot
}


def _skeleton() -> tuple[tuple[tuple[int, int], ...], np.ndarray]:
    """Return ((child, parent), ...) in walking order and the (V, 3) resting offsets."""
    bones = dict(_CENTRE)
    for joint, (parent, (x, y, z)) in _RIGHT.items():
        bones[joint] = (parent, (x, y, z))
        bones[MIRRORED[joint]] = (MIRRORED[parent], (-x, y, z))
    offsets = np.zeros((NUM_JOINTS, 3))
    for joint, (_, offset) in bones.items():
        offsets[joint] = offset
    return tuple((joint, parent) for joint, (parent, _) in bones.items()), offsets


BONES, OFFSETS = _skeleton()
_ARMS = (5, 6, 7, 21, 22, 9, 10, 11, 23, 24)
_LEGS = (13, 14, 15, 17, 18, 19)
_TRUNK = (1, 20, 2, 3)
_WIDTH = (4, 8, 12, 16)


@dataclass(frozen=True)
class Build:
    """Sizes of one performer, each a factor on the average adult."""

    height: float = 1.0
    arms: float = 1.0
    legs: float = 1.0
    trunk: float = 1.0
    width: float = 1.0

    def offsets(self) -> np.ndarray:
        """Return the (V, 3) offset of each joint from its parent, in metres."""
        offsets = OFFSETS * self.height
        factors = (self.arms, self.legs, self.trunk, self.width)
        for joints, factor in zip((_ARMS, _LEGS, _TRUNK, _WIDTH), factors, strict=True):
            offsets[list(joints)] *= factor
        return offsets


def rotations(angles: np.ndarray) -> np.ndarray:
    """Turn angles (..., 3), radians about x, y and z, into rotation matrices (..., 3, 3).

    They are Rx Rz Ry: swing of a limb forwards and sideways, after a twist about itself.
    """
    sx, sy, sz = np.moveaxis(np.sin(angles), -1, 0)
    cx, cy, cz = np.moveaxis(np.cos(angles), -1, 0)
    rows = (
        (cz * cy, -sz, cz * sy),
        (cx * sz * cy + sx * sy, cx * cz, cx * sz * sy - sx * cy),
        (sx * sz * cy - cx * sy, sx * cz, sx * sz * sy + cx * cy),
    )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def pose(angles: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Place every joint: forward kinematics from the base of the spine.

    Args:
        angles: (T, V, 3) radians by which each joint turns what hangs on it (see `rotations`).
        offsets: (V, 3) offset of each joint from its parent at rest, metres.

    Returns:
        (T, V, 3) metres, the base of the spine at the origin.
    """
    turns = rotations(angles)  # (T, V, 3, 3), each relative to its parent; made absolute below
    positions = np.zeros_like(angles)
    for joint, parent in BONES:
        positions[:, joint] = positions[:, parent] + turns[:, parent] @ offsets[joint]
        turns[:, joint] = turns[:, parent] @ turns[:, joint]
    return positions


def stand(positions: np.ndarray, lift: np.ndarray) -> np.ndarray:
    """Move a body (T, V, 3) along y, so that its lowest foot is `lift` (T,) metres above y = 0."""
    feet = positions[:, [14, 15, 18, 19], 1].min(axis=1)  # (T,)
    moved = positions.copy()
    moved[..., 1] += (lift - feet)[:, None]
    return moved
