"""BVH motion capture: the places of all joints, by forward kinematics.

A file is text: HIERARCHY is a tree of joints, each with an OFFSET from its parent and CHANNELS;
MOTION has a row of numbers for each frame, the channels of all joints in the order of the tree. A
rotation channel turns about one axis by degrees; a joint's rotations are multiplied in the order in
which they stand. Position channels are added to the OFFSET of the root, as the format's definition
says, and stand in for that of any other joint, as Bandai-Namco's files and Blender have it.

Axes: F frames, J joints and end sites in the order of the tree.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tools.prepare.pipeline.regular import to_float

END = " end"
"""What follows a joint's name in that of the end site below it."""
_POSITIONS = ("xposition", "yposition", "zposition")
_ROTATIONS = ("xrotation", "yrotation", "zrotation")
_MOTION = re.compile(r"^[ \t]*MOTION\b", re.MULTILINE)
_ROOT = -1
_MOST_JOINTS = 1000  # a body with all its fingers has 80; more would only cost memory


class Joint(NamedTuple):
    """One joint or end site.

    Attributes:
        name: what it is called.
        parent: its parent's place in the tree; -1 for the root.
        offset: (3,) from its parent, in the file's unit.
        channels: what its numbers are, in small letters.
    """

    name: str
    parent: int
    offset: np.ndarray
    channels: tuple[str, ...]


def read_bvh(content: bytes) -> tuple[list[Joint], np.ndarray]:
    """Read a BVH file.

    Returns:
        Joints and end sites, parents before their children, and the rows of numbers (F, channels
        of all joints): degrees, and lengths in the file's unit.

    Raises:
        ValueError: when it is no whole BVH file.
    """
    parts = _MOTION.split(content.decode("utf-8", errors="replace"), maxsplit=1)
    if len(parts) < 2:
        raise ValueError("it is no whole BVH file: it has no MOTION")
    joints = _read_hierarchy(iter(parts[0].split()))
    channels = sum(len(joint.channels) for joint in joints)
    if not channels:
        raise ValueError("its hierarchy has no channels")
    return joints, _read_motion(parts[1].split(), channels)


def _read_hierarchy(words: Iterator[str]) -> list[Joint]:
    """Read the tree of joints, parents before their children."""
    joints: list[Joint] = []
    open_joints: list[int] = []
    try:
        if (next(words), next(words).upper()) != ("HIERARCHY", "ROOT"):
            raise ValueError("it is no BVH file: it does not begin with HIERARCHY and ROOT")
        open_joints.append(_read_joint(words, joints, _ROOT))
        while open_joints:
            word = next(words)
            if word == "}":
                open_joints.pop()
            elif word.upper() in ("JOINT", "END"):
                open_joints.append(_read_joint(words, joints, open_joints[-1], word))
            else:
                raise ValueError(f"its hierarchy has {word[:40]!r} where a joint should be")
    except StopIteration:
        raise ValueError("its hierarchy is cut short") from None
    rest = next(words, "")
    if rest:
        raise ValueError(f"its hierarchy goes on after the root, with {rest[:40]!r}")
    names = [joint.name for joint in joints if joint.channels]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"its hierarchy has two joints {twice}")
    return joints


def _read_joint(words: Iterator[str], joints: list[Joint], parent: int, word: str = "") -> int:
    """Read one joint up to its children, and return its place."""
    if len(joints) == _MOST_JOINTS:
        raise ValueError(f"its hierarchy has more than {_MOST_JOINTS} joints")
    name = " ".join(iter(words.__next__, "{"))
    if word.upper() == "END":
        name = joints[parent].name + END
    _expect(words, "OFFSET", name)
    offset = np.array([_number(next(words), name) for _ in range(3)])
    channels: tuple[str, ...] = ()
    if word.upper() != "END":
        _expect(words, "CHANNELS", name)
        channels = tuple([next(words).lower() for _ in range(_count(next(words), name))])
    strange = [one for one in channels if one not in _POSITIONS + _ROTATIONS]
    if strange:
        raise ValueError(f"joint {name} has the channel {strange[0][:40]!r}")
    joints.append(Joint(name, parent, offset, channels))
    return len(joints) - 1


def _expect(words: Iterator[str], wanted: str, name: str) -> None:
    word = next(words)
    if word.upper() != wanted:
        raise ValueError(f"joint {name} has {word[:40]!r} where {wanted} should be")


def _number(word: str, name: str) -> float:
    try:
        return to_float(word)
    except ValueError:
        raise ValueError(f"joint {name} has {word[:40]!r} where a number should be") from None


def _count(word: str, name: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) < 3):
        raise ValueError(f"joint {name} has {word[:40]!r} channels")
    return int(word)


def _read_motion(words: list[str], channels: int) -> np.ndarray:
    """Read the rows of numbers: (F, channels)."""
    heading = [word.lower() for word in words[:4]]
    if len(words) < 5 or (heading[0], *heading[2:]) != ("frames:", "frame", "time:"):
        raise ValueError("its MOTION does not begin with Frames: and Frame Time:")
    if not (heading[1].isascii() and heading[1].isdecimal() and len(heading[1]) < 10):
        raise ValueError(f"its number of frames is {words[1][:40]!r}")
    frames, numbers = int(heading[1]), words[5:]
    if len(numbers) != frames * channels:
        raise ValueError(
            f"its MOTION has {len(numbers)} numbers, not {frames} frames of {channels}"
        )
    try:
        if any("_" in word for word in numbers):  # which Python allows in a number
            raise ValueError
        return np.array(numbers, dtype=np.float64).reshape(frames, channels)
    except ValueError:
        raise ValueError("its MOTION holds what is not a number") from None


def places(joints: list[Joint], values: np.ndarray) -> np.ndarray:
    """Where each joint is.

    Args:
        joints: the tree, parents before their children.
        values: (F, channels of all joints), degrees and the file's unit.

    Returns:
        (F, J, 3): the parent's place, plus its rotation times the joint's own translation.
    """
    turns: list[np.ndarray] = []  # (F, 3, 3) of each joint, from its axes to the world's
    found = np.zeros((len(values), len(joints), 3))
    column = 0
    for index, joint in enumerate(joints):
        own = values[:, column : column + len(joint.channels)]
        column += len(joint.channels)
        translation, rotation = _local(joint, own)
        if joint.parent == _ROOT:
            found[:, index] = translation
            turns.append(rotation)
        else:
            turn = turns[joint.parent]
            found[:, index] = found[:, joint.parent] + np.einsum("fij,fj->fi", turn, translation)
            turns.append(turn @ rotation)
    return found


def _local(joint: Joint, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Translation (F, 3) and rotation (F, 3, 3) of a joint against its parent."""
    translation = np.tile(joint.offset, (len(values), 1))
    rotation = np.tile(np.eye(3), (len(values), 1, 1))
    for channel, column in zip(joint.channels, values.T, strict=True):
        if channel in _ROTATIONS:
            rotation = rotation @ _turn(_ROTATIONS.index(channel), np.radians(column))
        elif joint.parent == _ROOT:
            translation[:, _POSITIONS.index(channel)] += column
        else:
            translation[:, _POSITIONS.index(channel)] = column
    return translation, rotation


def _turn(axis: int, angles: np.ndarray) -> np.ndarray:
    """Rotations (F, 3, 3) about the x, y or z axis, by (F,) radians."""
    second, third = (axis + 1) % 3, (axis + 2) % 3
    turn = np.tile(np.eye(3), (len(angles), 1, 1))
    turn[:, second, second] = turn[:, third, third] = np.cos(angles)
    turn[:, third, second] = np.sin(angles)
    turn[:, second, third] = -turn[:, third, second]
    return turn
