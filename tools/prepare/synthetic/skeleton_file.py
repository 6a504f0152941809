"""A recording as the text of NTU's `.skeleton` file.

Axes: T frames, V=25 joints, 3 coordinates in metres in the camera's frame.
"""

import numpy as np

from tools.prepare.synthetic.sensor import Recording

# Focal lengths and centres of the Kinect v2's depth and colour pictures, pixels (libfreenect2).
_DEPTH = (365.5, 254.9, 205.4)
_COLOUR = (1081.4, 959.5, 539.5)
_FIRST_BODY_ID = 72057594037930000  # NTU's tracking ids are of this size
# x y z, depth x y, colour x y, orientation (not simulated), tracking state
_JOINT = "%.6f %.6f %.6f %.1f %.1f %.1f %.1f 0 0 0 0 2\r\n"
_BODY = " 0 1 1 1 1 0 %.4f %.4f 2\r\n25\r\n" + 25 * _JOINT  # behind the tracking id


def text(recording: Recording) -> str:
    """Write a recording as text, with CRLF line ends."""
    bodies = [_bodies(number, body) for number, body in enumerate(recording.bodies)]
    frames = len(recording.bodies[0])
    parts = [f"{frames}\r\n"]
    for frame in range(frames):
        listed = [
            body[frame]
            for body, present in zip(bodies, recording.present, strict=True)
            if present[frame]
        ]
        parts += [f"{len(listed)}\r\n", *listed]
    return "".join(parts)


def _bodies(number: int, body: np.ndarray) -> list[str]:
    """Write the T times that one body (T, V, 3) is listed: header, joint count, joints."""
    lean = (body[:, 20] - body[:, 0])[:, [0, 2]]
    values = np.concatenate([lean, _columns(body).reshape(len(body), -1)], axis=1)
    return [f"{_FIRST_BODY_ID + number}{_BODY % tuple(row)}" for row in values.tolist()]


def _columns(body: np.ndarray) -> np.ndarray:
    """Add the pictures' pixels to (T, V, 3) positions: (T, V, 7)."""
    x, y, z = np.moveaxis(body, -1, 0)
    pictures = []
    for focal, centre_x, centre_y in (_DEPTH, _COLOUR):
        pictures += [centre_x + focal * x / z, centre_y - focal * y / z]
    return np.stack([x, y, z, *pictures], axis=-1)
