"""The published normalisation of one clip, vectorised: fill, centre, rotate.

Axes: C=3 coordinates (x, y, z in metres), F recorded frames, T=300 frames, V=25 joints, M=2 bodies.
A body, frame or joint counts as empty where its coordinates sum to 0, as published; all arithmetic
on coordinates is float32, as published, so that these sums vanish in the same places.

Source: steps 3 to 6 of the published preparation of NTU RGB+D.
"""

import numpy as np

from dataset.skeleton import MAX_FRAMES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS

SPINE_BASE, SPINE_MIDDLE, LEFT_SHOULDER, RIGHT_SHOULDER = 0, 1, 4, 8
_DEGENERATE = 1e-6
"""Below this axis length or angle (radians) a rotation is left out, as published."""


def normalise(parsed: np.ndarray, rotate_z: bool = True) -> np.ndarray:
    """Bring the two bodies of a recording to the form that all models take.

    Args:
        parsed: (3, F, 25, 2) coordinates in metres, 1 <= F <= 300; absent bodies, frames and joints
            are zero.
        rotate_z: whether the first frame's spine is turned onto +z.

    Returns:
        (3, 300, 25, 2) float32: each body filled to the end by repetition, the first body's middle
        of spine at the origin in every frame, and by one rotation of the whole clip the first
        frame's spine along +z and then its shoulders along +x. A clip without bodies stays zero.
    """
    clip = np.zeros((NUM_COORDINATES, MAX_FRAMES, NUM_JOINTS, NUM_BODIES), dtype=np.float32)
    clip[:, : parsed.shape[1]] = parsed
    for body in np.moveaxis(clip, 3, 0):
        _fill(body)
    _centre(clip)
    if rotate_z:
        _rotate(clip, SPINE_BASE, SPINE_MIDDLE, np.array([0.0, 0.0, 1.0]))
    _rotate(clip, LEFT_SHOULDER, RIGHT_SHOULDER, np.array([1.0, 0.0, 0.0]))
    return clip


def _fill(body: np.ndarray) -> None:
    """Start a body (3, 300, 25) at its first frame and repeat it to the end; in place."""
    there = np.flatnonzero(body.sum(axis=(0, 2)))
    if not len(there):
        return
    if there[0] > 0:  # a late body loses its gaps too, and its alignment with the other body
        length = len(there)
        body[:, :length] = body[:, there]
    else:
        length = there[-1] + 1
    body[:, length:] = body[:, np.arange(MAX_FRAMES - length) % length]


def _centre(clip: np.ndarray) -> None:
    """Subtract the first body's middle of spine from each joint that is there; in place."""
    there = clip.sum(axis=0) != 0  # (T, V, M)
    clip -= clip[:, :, SPINE_MIDDLE, 0][:, :, None, None] * there


def _rotate(clip: np.ndarray, low: int, high: int, target: np.ndarray) -> None:
    """Turn a clip so that joint low -> joint high of the first frame points at target; in place."""
    rotation = rotation_onto(clip[:, 0, high, 0] - clip[:, 0, low, 0], target)
    turned = np.einsum("ij,jtvm->itvm", rotation.astype(np.float32), clip)
    frame, body = np.nonzero(clip.sum(axis=0).sum(axis=1) == 0)  # left alone, as published
    turned[:, frame, :, body] = clip[:, frame, :, body]
    clip[:] = turned


def rotation_onto(vector: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the rotation that turns a vector to point where a target points.

    Args:
        vector: (3,) in metres, of any length.
        target: (3,) of length 1.

    Returns:
        (3, 3) float64; the identity where the vector is too short, points there already or points
        exactly the other way: the axis is then undefined, and the published code does not rotate.

    Source:
        Rodrigues' formula, R = I + sin(angle) K + (1 - cos(angle)) K K with K the cross product.
    """
    vector = vector.astype(np.float64)
    axis = np.cross(vector, target)
    length = np.linalg.norm(vector)
    if np.abs(axis).sum() < _DEGENERATE:
        return np.eye(3)
    angle = np.arccos(np.clip(vector @ target / length, -1.0, 1.0))
    if angle < _DEGENERATE:
        return np.eye(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
