"""A depth sensor that watches performances: viewpoint, noise, lost frames, bodies that are none.

Axes: T frames, V=25 joints, 3 coordinates in metres; in the camera's frame x is to its left as it
looks, y up and z the depth, as in NTU's files.
"""

from dataclasses import dataclass

import numpy as np

from tools.prepare.synthetic.performance import turned

SKEW = 0.8
"""Largest slope of a sensor's axis against another: sensors are not calibrated."""
# How often a recording suffers each fault.
LOST_LIMB = 0.04  # for each limb
DROP_OUTS = 0.10
GAP = 0.03
LATE_START = 0.03
GHOST = 0.04

# Azimuth of NTU's three cameras and heading of the performer in its two replications, degrees.
AZIMUTH = {1: -45.0, 2: 0.0, 3: 45.0}
HEADING = (-45.0, 0.0)  # in even and odd replications

_EXTREMITIES = [6, 7, 10, 11, 14, 15, 18, 19, 21, 22, 23, 24]
_LIMBS = ([5, 6, 7, 21, 22], [9, 10, 11, 23, 24], [13, 14, 15], [17, 18, 19], [2, 3])


@dataclass(frozen=True)
class Camera:
    """Where a sensor stands, and how it distorts."""

    azimuth: float  # radians
    tilt: float  # radians, downwards
    height: float  # metres above the ground
    distance: float  # metres from the performer
    skew: np.ndarray  # (3, 3), multiplies what it sees about the performer's place


@dataclass
class Recording:
    """What the sensor reports, in the order in which it lists bodies."""

    bodies: list[np.ndarray]  # (T, V, 3) each, metres in the camera's frame
    present: list[np.ndarray]  # (T,) boolean each; where false the frame does not list the body


def draw_camera(
    setup: int, camera: int, replication: int, generator: np.random.Generator
) -> Camera:
    """Place camera 1, 2 or 3 of a setup; heights and distances vary with the setup."""
    azimuth = AZIMUTH[camera] + HEADING[replication % 2]
    slopes = generator.uniform(-SKEW, SKEW, (3, 3))
    return Camera(
        azimuth=np.radians(azimuth + generator.normal(0.0, 6.0)),
        tilt=np.radians(generator.normal(-6.0, 4.0)),
        height=1.3 + 0.15 * (setup % 5) + generator.normal(0.0, 0.05),
        distance=3.2 + 0.25 * (setup % 4) + generator.normal(0.0, 0.15),
        skew=np.where(np.eye(3, dtype=bool), 1.0, slopes),
    )


def watch(positions: np.ndarray, camera: Camera) -> np.ndarray:
    """Express (..., 3) world positions in the camera's frame; who faces -z faces the camera."""
    seen = turned(positions, camera.azimuth)
    waist = np.array([0.0, 1.0, 0.0])
    seen = (seen - waist) @ camera.skew.T + waist
    seen += np.array([0.0, -camera.height, camera.distance])
    sine, cosine = np.sin(camera.tilt), np.cos(camera.tilt)
    y, z = seen[..., 1].copy(), seen[..., 2].copy()
    seen[..., 1], seen[..., 2] = cosine * y - sine * z, sine * y + cosine * z
    return seen


def _noise(body: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw (T, V, 3) measurement errors: more with depth, at extremities and out of sight."""
    size = 0.006 * (body[..., 2] / 3.0) ** 2  # (T, V)
    size[:, _EXTREMITIES] *= 1.8
    behind = (body[..., 2] - body[:, 1:2, 2]) / 0.15  # joints that the trunk hides
    size *= 1.0 + 2.0 * np.clip(behind, 0.0, 1.0)
    fast = generator.normal(size=body.shape)
    drift = np.cumsum(generator.normal(size=body.shape), axis=0) / np.sqrt(30.0)
    drift -= drift.mean(axis=0)
    return size[..., None] * (fast + 0.8 * drift)


def _lose_limbs(body: np.ndarray, generator: np.random.Generator) -> None:
    """Freeze or throw off whole limbs for a while, as tracking does under occlusion (in place)."""
    for joints in _LIMBS:
        if generator.random() < LOST_LIMB:
            begin = int(generator.integers(0, len(body)))
            span = slice(begin, begin + int(generator.integers(5, 45)))
            if generator.random() < 0.5:
                body[span, joints] = body[begin, joints]
            else:
                body[span, joints] += generator.normal(0.0, 0.15, (1, len(joints), 3))


def _lose_frames(frames: int, generator: np.random.Generator) -> np.ndarray:
    """Draw (T,) whether the body is seen: single drop-outs, gaps, a late start."""
    present = np.ones(frames, dtype=bool)
    if generator.random() < DROP_OUTS:
        present[generator.integers(1, frames, generator.integers(1, 4))] = False
    if generator.random() < GAP:
        begin = int(generator.integers(1, frames))
        present[begin : begin + int(generator.integers(2, 9))] = False
    if generator.random() < LATE_START:
        present[: int(generator.integers(1, 6))] = False
    if not present.any():
        present[-1] = True
    return present


def _ghost(
    frames: int, depth: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a body that is none (furniture): a jittering crumpled shape for part of the clip."""
    shape = generator.normal(0.0, (0.08, 0.14, 0.05), (1, 25, 3))
    shape = shape + generator.normal(0.0, (0.8, 0.2, 0.2), 3) + np.array([0.0, -0.4, depth])
    body = shape + generator.normal(0.0, 0.015, (frames, 25, 3))
    begin, end = np.sort(generator.integers(0, frames + 1, 2))
    present = np.zeros(frames, dtype=bool)
    present[begin : max(end, begin + 1)] = True
    present[-1] |= not present.any()
    return body, present


def record(bodies: list[np.ndarray], camera: Camera, generator: np.random.Generator) -> Recording:
    """Watch a performance, (T, V, 3) metres each body, through an imperfect sensor."""
    frames = len(bodies[0])
    found = []
    for body in bodies:
        seen = watch(body, camera)
        seen += _noise(seen, generator)
        _lose_limbs(seen, generator)
        found.append((seen, _lose_frames(frames, generator)))
    if generator.random() < GHOST:
        ghost = _ghost(frames, camera.distance, generator)
        found.insert(int(generator.integers(0, len(found) + 1)), ghost)
    return Recording(*map(list, zip(*found, strict=True)))
