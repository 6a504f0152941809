"""Which joints of other skeletons stand for the 25 of the second Kinect.

A map has one entry for each of our joints, in our order: a joint of the other skeleton, or several
whose mean stands for it. Joints of arrays go by number, those of BVH files by name; "X end" is the
end site below joint X. Nothing here imports torch or numpy.
"""

from collections.abc import Sequence
from typing import NamedTuple

from dataset.skeleton import NUM_JOINTS

Joint = int | str
Entry = Joint | tuple[Joint, ...] | list[Joint]


class JointMap(NamedTuple):
    """A map onto our joints.

    Attributes:
        entries: for each of our 25 joints, the joint or joints that stand for it.
        count: joints that the other skeleton has; None where that is not known.
    """

    entries: tuple[Entry, ...]
    count: int | None = None

    @property
    def named(self) -> bool:
        """Whether joints go by name, as in BVH files."""
        return any(isinstance(one, str) for entry in self.entries for one in several(entry))


def several(entry: Entry) -> tuple[Joint, ...]:
    """The joints of an entry, one or more."""
    return tuple(entry) if isinstance(entry, tuple | list) else (entry,)


def _body(
    *,
    spine: tuple[Entry, Entry, Entry, Entry, Entry],
    left_arm: Sequence[Entry],
    right_arm: Sequence[Entry],
    left_leg: Sequence[Entry],
    right_leg: Sequence[Entry],
) -> tuple[Entry, ...]:
    """Put limbs in our order.

    Args:
        spine: base, middle, top between the shoulders, neck, head.
        left_arm: shoulder, elbow, wrist, hand, tip of the hand, thumb; with four entries the hand
            stands for tip and thumb too.
        right_arm: likewise.
        left_leg: hip, knee, ankle, foot.
        right_leg: likewise.
    """
    base, middle, top, neck, head = spine
    tips = [arm[4:] or (arm[3], arm[3]) for arm in (left_arm, right_arm)]
    limbs = (*left_arm[:4], *right_arm[:4], *left_leg, *right_leg)
    return (base, middle, neck, head, *limbs, top, *tips[0], *tips[1])


def _by_name(spine: tuple[Entry, Entry, Entry, Entry, Entry], arm: str, leg: str) -> JointMap:
    """Put limbs in our order whose names differ by side: {0} is Left or Right, {1} is L or R."""

    def limb(names: str, side: str) -> list[str]:
        """Names of one side's joints."""
        return names.format(side, side[0]).split(", ")

    return JointMap(
        _body(
            spine=spine,
            left_arm=limb(arm, "Left"),
            right_arm=limb(arm, "Right"),
            left_leg=limb(leg, "Left"),
            right_leg=limb(leg, "Right"),
        )
    )


JOINT_MAPS = {
    "kinect25": JointMap(tuple(range(NUM_JOINTS)), NUM_JOINTS),
    # The first Kinect's order of its SDK: hip centre, spine, shoulder centre, head, limbs.
    "kinect20": JointMap(
        _body(
            spine=(0, 1, 2, 2, 3),
            left_arm=(4, 5, 6, 7),
            right_arm=(8, 9, 10, 11),
            left_leg=(12, 13, 14, 15),
            right_leg=(16, 17, 18, 19),
        ),
        20,
    ),
    # Human3.6M, as VideoPose3D and its kin keep it: hip, right leg, left leg, spine, thorax,
    # neck or nose, head, left arm, right arm.
    "h36m17": JointMap(
        _body(
            spine=(0, 7, 8, (8, 9), 10),
            left_arm=(11, 12, 13, 13),
            right_arm=(14, 15, 16, 16),
            left_leg=(4, 5, 6, 6),
            right_leg=(1, 2, 3, 3),
        ),
        17,
    ),
    # SMPL (Loper et al. 2015): its 24 joints regressed from the mesh.
    "smpl24": JointMap(
        _body(
            spine=(0, 6, (16, 17), 12, 15),
            left_arm=(16, 18, 20, 22),
            right_arm=(17, 19, 21, 23),
            left_leg=(1, 4, 7, 10),
            right_leg=(2, 5, 8, 11),
        ),
        24,
    ),
    # MediaPipe pose world landmarks: metres, y downwards, hips around zero.
    "mediapipe33": JointMap(
        _body(
            spine=((23, 24), (11, 12, 23, 24), (11, 12), (9, 10, 11, 12), (7, 8)),
            left_arm=(11, 13, 15, (17, 19), 19, 21),
            right_arm=(12, 14, 16, (18, 20), 20, 22),
            left_leg=(23, 25, 27, 31),
            right_leg=(24, 26, 28, 32),
        ),
        33,
    ),
    # CMU's motion capture, in B. Hahne's conversion to BVH.
    "cmu": _by_name(
        spine=("Hips", "Spine", "Spine1", "Neck1", "Head"),
        arm="{0}Arm, {0}ForeArm, {0}Hand, {0}HandIndex1, {0}HandIndex1 end, {1}Thumb end",
        leg="{0}UpLeg, {0}Leg, {0}Foot, {0}ToeBase",
    ),
    # Bandai-Namco Research Motion Dataset (Kobayashi et al. 2023, arXiv:2306.08861).
    "bandai_namco": _by_name(
        spine=("Hips", "Chest", "Neck", "Neck", "Head"),
        arm="UpperArm_{1}, LowerArm_{1}, Hand_{1}, Hand_{1}",
        leg="UpperLeg_{1}, LowerLeg_{1}, Foot_{1}, Toes_{1}",
    ),
    # 100STYLE (Mason et al. 2022), as Xsens writes BVH.
    "100style": _by_name(
        spine=("Hips", "Chest2", ("LeftCollar", "RightCollar"), "Neck", "Head"),
        arm="{0}Shoulder, {0}Elbow, {0}Wrist, {0}Wrist end",
        leg="{0}Hip, {0}Knee, {0}Ankle, {0}Toe",
    ),
}
"""The maps that `joints` of a `dataset.json` can name."""


def joint_map(joints: str | list[Entry] | None) -> JointMap:
    """The map that a checked `joints` stands for; without one the joints are ours already."""
    if joints is None or isinstance(joints, str):
        return JOINT_MAPS[joints or "kinect25"]
    return JointMap(tuple(joints))
