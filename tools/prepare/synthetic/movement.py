"""Joint angles over time, in words: raise an arm, bend a knee, step forwards.

Axes: T frames, V=25 joints, 3 angles in radians. Words take degrees. "lead" is the side the
performer prefers, "other" the opposite one, so that actions are described without left and right.
"""

import numpy as np

from dataset.skeleton import NUM_JOINTS

_SHOULDER = {"right": 8, "left": 4}  # the elbow follows
_HIP = {"right": 16, "left": 12}  # knee and ankle follow
Degrees = np.ndarray | float


class Movement:
    """What one body does in T frames; its methods add to it.

    Attributes:
        angles: (T, V, 3) radians about x (forwards), y (twist) and z (sideways) of each joint.
        travel: (T, 3) way of the body over the ground, metres, in its own frame (-z is forwards).
        lift: (T,) height of the lowest foot above the ground, metres.
    """

    def __init__(self, frames: int, lead: str) -> None:
        self.angles = np.zeros((frames, NUM_JOINTS, 3))
        self.travel = np.zeros((frames, 3))
        self.lift = np.zeros(frames)
        other = "left" if lead == "right" else "right"
        self._sides = {"lead": (lead,), "other": (other,), "both": (lead, other)}

    def _turn(self, joint: int, x: Degrees = 0.0, y: Degrees = 0.0, z: Degrees = 0.0) -> None:
        for axis, degrees in enumerate((x, y, z)):
            self.angles[:, joint, axis] += np.radians(degrees)

    def arm(
        self,
        sides: str,
        *,
        forwards: Degrees = 0.0,
        outwards: Degrees = 0.0,
        inwards_twist: Degrees = 0.0,
        elbow: Degrees = 0.0,
    ) -> None:
        """Move an arm or both from hanging: swing, twist it about itself, bend the elbow."""
        for side in self._sides[sides]:
            sign = 1.0 if side == "right" else -1.0
            self._turn(_SHOULDER[side], forwards, sign * inwards_twist, sign * outwards)
            self._turn(_SHOULDER[side] + 1, elbow)

    def leg(
        self, sides: str, *, forwards: Degrees = 0.0, knee: Degrees = 0.0, ankle: Degrees = 0.0
    ) -> None:
        """Move a leg or both from standing: swing, bend the knee backwards, lift the toes."""
        for side in self._sides[sides]:
            for joint, degrees in enumerate((forwards, -knee, ankle), start=_HIP[side]):
                self._turn(joint, degrees)

    def trunk(self, *, forwards: Degrees = 0.0, twist: Degrees = 0.0) -> None:
        """Bend the trunk forwards, or twist it away from the leading side."""
        sign = 1.0 if self._sides["lead"] == ("right",) else -1.0
        for joint in (1, 20):  # half of it each
            self._turn(joint, -0.5 * forwards, 0.5 * sign * twist)

    def neck(self, *, forwards: Degrees = 0.0) -> None:
        """Nod the head forwards."""
        self._turn(2, -forwards)

    def turn(self, *, yaw: Degrees = 0.0, pitch: Degrees = 0.0, roll: Degrees = 0.0) -> None:
        """Turn the whole body about its base: to the left, backwards, to the left side."""
        self._turn(0, pitch, yaw, roll)


def smooth(progress: np.ndarray, begin: float, end: float) -> np.ndarray:
    """Rise from 0 to 1 between `begin` and `end`, level at both ends: (T,)."""
    u = np.clip((progress - begin) / (end - begin), 0.0, 1.0)
    return u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)  # minimum jerk, as human reaching is


def hold(progress: np.ndarray, rise: float = 0.25, fall: float = 0.75) -> np.ndarray:
    """Rise from 0 to 1 until `rise`, stay, and fall back to 0 from `fall` on: (T,)."""
    return smooth(progress, 0.0, rise) - smooth(progress, fall, 1.0)


def pulses(progress: np.ndarray, count: int, sharpness: float = 1.0) -> np.ndarray:
    """Go from 0 to 1 and back `count` times: (T,); a larger sharpness means shorter peaks."""
    return np.abs(np.sin(np.pi * count * progress)) ** (2.0 * sharpness)
