"""Raw NTU file to normalised clip, joint by joint: the structure of the published preparation.

Written from the description of the published steps alone and sharing nothing with tools.prepare, it
is what the fast version is checked and timed against. One line of text and one joint at a time.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

FRAMES, JOINTS, SLOTS = 300, 25, 4


def read_plain(path: Path) -> np.ndarray:
    """Read the bodies of a file, and keep the two of largest spread: (3, F, 25, 2) float32."""
    with open(path) as file:
        num_frames = int(file.readline())
        bodies = np.zeros((SLOTS, num_frames, JOINTS, 3))
        for frame in range(num_frames):
            for slot in range(int(file.readline())):
                file.readline()
                for joint in range(int(file.readline())):
                    numbers = [float(number) for number in file.readline().split()]
                    if slot < SLOTS:
                        bodies[slot, frame, joint] = numbers[:3]
    spread = np.array([spread_plain(body) for body in bodies])
    chosen = spread.argsort(kind="stable")[::-1][:2]
    return bodies[chosen].transpose(3, 1, 2, 0).astype(np.float32)


def spread_plain(body: np.ndarray) -> float:
    """Standard deviations of x, y and z over the frames (F, 25, 3) that are not empty, added."""
    there = np.array([frame for frame in body if frame.sum() != 0])
    return sum(there[:, :, axis].std() for axis in range(3)) if len(there) else 0.0


def fill_plain(bodies: np.ndarray) -> None:
    """Move a late body to the front, then repeat each body (M, 300, 25, 3) to the end; in place."""
    for body in bodies:
        if body.sum() == 0:
            continue
        if body[0].sum() == 0:
            there = [frame.copy() for frame in body if frame.sum() != 0]
            body[:] = 0
            for position, frame in enumerate(there):
                body[position] = frame
        length = FRAMES
        while length > 0 and body[length - 1].sum() == 0:
            length -= 1
        for position in range(length, FRAMES):
            body[position] = body[position - length]


def centre_plain(bodies: np.ndarray) -> None:
    """Subtract the first body's middle of spine from every joint that is there; in place."""
    for frame in range(FRAMES):
        centre = bodies[0, frame, 1].copy()
        for body in bodies:
            for joint in range(JOINTS):
                if body[frame, joint].sum() != 0:
                    body[frame, joint] -= centre


def turn_plain(vector: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation (3, 3) that turns a vector onto a unit target, by Rodrigues' formula."""
    vector = vector.astype(np.float64)
    axis = np.cross(vector, target)
    if np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    angle = math.acos(max(-1.0, min(1.0, vector @ target / np.linalg.norm(vector))))
    if abs(angle) < 1e-6:
        return np.eye(3)
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def rotate_plain(bodies: np.ndarray, low: int, high: int, target: list[float]) -> None:
    """Turn all joints so that joint low -> joint high of the first frame points at the target."""
    rotation = turn_plain(bodies[0, 0, high] - bodies[0, 0, low], np.array(target))
    for body in bodies:
        for frame in body:
            if frame.sum() == 0:
                continue
            for joint in range(JOINTS):
                frame[joint] = rotation @ frame[joint]


def normalise_plain(parsed: np.ndarray, rotate_z: bool = True) -> np.ndarray:
    """Bring the bodies (3, F, 25, 2) of a clip to (3, 300, 25, 2), step by step."""
    bodies = np.zeros((2, FRAMES, JOINTS, 3), dtype=np.float32)
    bodies[:, : parsed.shape[1]] = parsed.transpose(3, 1, 2, 0)
    if bodies.sum() == 0:
        return bodies.transpose(3, 1, 2, 0)
    fill_plain(bodies)
    centre_plain(bodies)
    if rotate_z:
        rotate_plain(bodies, 0, 1, [0, 0, 1])
    rotate_plain(bodies, 4, 8, [1, 0, 0])
    return bodies.transpose(3, 1, 2, 0)


def prepare_clip_plain(path: Path, rotate_z: bool = True) -> np.ndarray:
    """Prepare one raw file from beginning to end, as (3, 300, 25, 2) float32.

    Args:
        path: an NTU .skeleton file.
        rotate_z: whether the spine of the first frame is turned onto +z.
    """
    return normalise_plain(read_plain(path), rotate_z)


def prepare_splits_plain(paths: Sequence[Path], protocols: Iterable[str], out: Path) -> None:
    """Write the clips of each protocol, which parses all its files and holds its split in memory.

    Args:
        paths: NTU .skeleton files.
        protocols: what the arrays are called.
        out: the folder to write to.
    """
    for protocol in protocols:
        np.save(out / protocol, np.stack([prepare_clip_plain(path) for path in paths]))
