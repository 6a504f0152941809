"""The skeleton every data set is brought to: how many joints, bodies and frames, and its bones.

Axes, everywhere in the project: N clips, C=3 coordinates (x, y, z in metres), T frames,
V=25 joints, M=2 bodies. Joints are numbered from 0, in the order of the second Kinect.
"""

NUM_COORDINATES = 3
NUM_JOINTS = 25
NUM_BODIES = 2
MAX_FRAMES = 300
"""Frames a prepared clip holds; the longest NTU RGB+D recording has 300."""

JOINT_NAMES = (
    ("base of spine", "middle of spine", "neck", "head")
    + ("left shoulder", "left elbow", "left wrist", "left hand")
    + ("right shoulder", "right elbow", "right wrist", "right hand")
    + ("left hip", "left knee", "left ankle", "left foot")
    + ("right hip", "right knee", "right ankle", "right foot")
    + ("spine",)
    + ("tip of left hand", "left thumb", "tip of right hand", "right thumb")
)
"""What each joint is. Source: Shahroudy et al. 2016 (arXiv:1604.02808), Figure 1."""

SIDES = tuple(
    next((side for side in ("left", "right") if side in name), "middle") for name in JOINT_NAMES
)
"""The side of the body that each joint is on: left, right or middle."""

PARENTS = (
    (1, 20, 20, 2)  # spine and head
    + (20, 4, 5, 6)  # left arm
    + (20, 8, 9, 10)  # right arm
    + (0, 12, 13, 14)  # left leg
    + (0, 16, 17, 18)  # right leg
    + (20,)  # the root is its own parent
    + (22, 7, 24, 11)  # left finger and thumb, right finger and thumb
)
"""The joint at the inner end of each joint's bone: bone v reaches from PARENTS[v] to v.

Source: the published pairs (reference of the bone stream); they hang the finger tips on the thumbs.
"""


def _other_side(name: str) -> str:
    """The same joint of the other side of the body; a joint in the middle is its own."""
    sides = {"left": "right", "right": "left"}
    return " ".join(sides.get(word, word) for word in name.split())


MIRRORED = tuple(JOINT_NAMES.index(_other_side(name)) for name in JOINT_NAMES)
"""For each joint the one on the other side of the body; a joint in the middle is its own."""
