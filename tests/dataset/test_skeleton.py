"""The skeleton's constants: the published bones, one tree, one name a joint."""

from ast import literal_eval

from dataset.skeleton import JOINT_NAMES, MIRRORED, NUM_JOINTS, PARENTS
from tests.oracles.strong import PAIRS

PUBLISHED_PAIRS = (
    "(1,2) (2,21) (3,21) (4,3) (5,21) (6,5) (7,6) (8,7) (9,21) (10,9) (11,10) (12,11) (13,1) "
    "(14,13) (15,14) (16,15) (17,1) (18,17) (19,18) (20,19) (21,21) (22,23) (23,8) (24,25) (25,12)"
)


def test_parents_are_the_published_pairs():
    pairs = [literal_eval(pair) for pair in PUBLISHED_PAIRS.split()]
    assert [child for child, _ in pairs] == list(range(1, NUM_JOINTS + 1))
    assert tuple(parent - 1 for _, parent in pairs) == PARENTS


def test_every_joint_hangs_on_joint_20():
    for joint in range(NUM_JOINTS):
        for _ in range(NUM_JOINTS):
            joint = PARENTS[joint]
        assert joint == 20


def test_bones_stay_on_their_side_of_the_body():
    for joint, parent in enumerate(PARENTS):
        sides = {
            side
            for side in ("left", "right")
            for end in (joint, parent)
            if side in JOINT_NAMES[end]
        }
        assert len(sides) <= 1


def test_each_joint_has_its_own_name():
    assert len(JOINT_NAMES) == len(set(JOINT_NAMES)) == NUM_JOINTS


def test_each_joint_of_a_side_is_mirrored_by_the_other_sides():
    expected = list(range(NUM_JOINTS))
    for left, right in PAIRS:
        expected[left - 1], expected[right - 1] = right - 1, left - 1
    assert list(MIRRORED) == expected
    for joint, other in enumerate(MIRRORED):
        left, right = sorted((JOINT_NAMES[joint], JOINT_NAMES[other]))
        assert left.replace("left", "right") == right.replace("left", "right")
