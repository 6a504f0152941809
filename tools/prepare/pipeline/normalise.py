"""The published normalisation of one clip, vectorised: fill, centre, rotate.

Axes: M=2 bodies, C=3 coordinates (x, y, z in metres), F recorded frames, T=300 frames, V=25 joints.
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
    count = NUM_BODIES if parsed[..., 1].any() else 1  # an absent second body stays zero
    bodies = np.zeros((count, NUM_COORDINATES, MAX_FRAMES, NUM_JOINTS), dtype=np.float32)
    bodies[:, :, : parsed.shape[1]] = parsed[..., :count].transpose(3, 0, 1, 2)
    for body in bodies:
        _fill(body)
    _centre(bodies)
    if rotate_z:
        bodies = _rotated(bodies, SPINE_BASE, SPINE_MIDDLE, (0.0, 0.0, 1.0))
    bodies = _rotated(bodies, LEFT_SHOULDER, RIGHT_SHOULDER, (1.0, 0.0, 0.0))
    clip = np.zeros((*bodies.shape[1:], NUM_BODIES), dtype=np.float32)
    clip[..., :count] = bodies.transpose(1, 2, 3, 0)
    return clip


def repeat(parsed: np.ndarray, rotate_z: bool = True) -> np.ndarray:
    """Bring a clip that was normalised before to 300 frames, and change nothing else.

    Args:
        parsed: (3, F, 25, 2) coordinates, 1 <= F <= 300.
        rotate_z: not looked at: the clip is turned already.

    Returns:
        (3, 300, 25, 2), the F frames over and over.
    """
    return np.take(parsed, range(MAX_FRAMES), axis=1, mode="wrap")


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
    for start in range(length, MAX_FRAMES, length):
        body[:, start : start + length] = body[:, : min(length, MAX_FRAMES - start)]


def _centre(bodies: np.ndarray) -> None:
    """Subtract the first body's middle of spine from each joint that is there; in place."""
    there = bodies.sum(axis=1) != 0  # (M, T, V)
    bodies -= bodies[0, :, :, SPINE_MIDDLE, None] * there[:, None]


def _rotated(
    bodies: np.ndarray, low: int, high: int, target: tuple[float, float, float]
) -> np.ndarray:
    """Turn bodies so that joint low -> joint high of the first one's first frame has a direction.

    Args:
        bodies: (M, 3, 300, 25) coordinates.
        low: where the arrow starts that is turned.
        high: where it ends.
        target: the unit vector onto which it is turned.
    """
    rotation = rotation_onto(bodies[0, :, 0, high] - bodies[0, :, 0, low], np.array(target))
    turned = np.einsum("ij,mjtv->mitv", rotation.astype(np.float32), bodies)
    # Summed over the joints one by one, as ever: which sums vanish depends on the order.
    sums = np.ascontiguousarray(bodies.sum(axis=1).transpose(2, 0, 1)).sum(axis=0)  # (M, T)
    body, frame = np.nonzero(sums == 0)  # left alone, as published
    turned[body, :, frame] = bodies[body, :, frame]
    return turned


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
    (a, b, c), (d, e, f) = vector.tolist(), target.tolist()
    axis = np.array([b * f - c * e, c * d - a * f, a * e - b * d])
    length = np.linalg.norm(vector)
    if np.abs(axis).sum() < _DEGENERATE:
        return np.eye(3)
    angle = np.arccos(max(-1.0, min(1.0, vector @ target / length)))
    if angle < _DEGENERATE:
        return np.eye(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
