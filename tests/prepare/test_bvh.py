"""BVH: forward kinematics against a plain re-computation, joint maps by names, and every fault."""

import json
import math
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from dataset.arrays import load_arrays
from dataset.joint_maps import JOINT_MAPS, several
from tests.oracles.prepare import normalise_plain
from tools.prepare.__main__ import main
from tools.prepare.pipeline.bvh import places, read_bvh


@dataclass
class Bone:
    """A joint to write into a file; an end site where it has no channels."""

    name: str
    offset: tuple[float, float, float]
    channels: list[str] = field(default_factory=list)
    children: list["Bone"] = field(default_factory=list)


def text_of(bone: Bone, depth: int = 0) -> str:
    word = "ROOT" if depth == 0 else "JOINT" if bone.channels else "End Site"
    lines = [f"{word} {bone.name}".strip() if bone.channels else word, "{"]
    lines.append("OFFSET {} {} {}".format(*bone.offset))
    if bone.channels:
        lines.append(f"CHANNELS {len(bone.channels)} {' '.join(bone.channels)}")
    lines += [text_of(child, depth + 1) for child in bone.children]
    return "\n".join(" " * depth + line for line in (*lines, "}"))


def bvh_text(root: Bone, rows: np.ndarray) -> str:
    motion = "\n".join(" ".join(f"{value:.6f}" for value in row) for row in rows)
    head = f"MOTION\nFrames: {len(rows)}\nFrame Time: 0.033333\n"
    return f"HIERARCHY\n{text_of(root)}\n{head}{motion}\n"


def matrix(axis: str, degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return {
        "X": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "Y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "Z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


def walk(bone: Bone, row: list[float], parent: np.ndarray, found: dict, root: bool = True) -> None:
    """Place a bone and those below it by homogeneous matrices, takes its numbers from the row."""
    moved, turned = np.array(bone.offset, float), np.eye(4)
    for channel in bone.channels:
        value, axis = row.pop(0), channel[0]
        if channel.endswith("rotation"):
            turn = np.eye(4)
            turn[:3, :3] = matrix(axis, value)
            turned = turned @ turn
        else:
            place = "XYZ".index(axis)
            moved[place] = moved[place] + value if root else value
    shift = np.eye(4)
    shift[:3, 3] = moved
    world = parent @ shift @ turned
    found[bone.name] = world[:3, 3]
    for child in bone.children:
        walk(child, row, world, found, root=False)


def plain(root: Bone, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The places (F, 3) of every bone, by name."""
    frames = []
    for row in np.round(rows, 6).tolist():
        frames.append({})
        walk(root, row, np.eye(4), frames[-1])
    return {name: np.array([frame[name] for frame in frames]) for name in frames[0]}


def rotations(order: str) -> list[str]:
    return [f"{axis}rotation" for axis in order]


POSITIONS = ["Xposition", "Yposition", "Zposition"]


def chain(order: str, six: bool) -> Bone:
    """A root with an offset, a chain and a fork below it, all turning in one order."""
    own = (POSITIONS if six else []) + rotations(order)
    tip = Bone("b", (2.0, 0.5, 0.1), own, [Bone("b end", (0.0, 3.0, 0.3))])
    side = Bone("c", (-1.0, 2.0, 0.4), rotations(order[::-1]), [Bone("c end", (1.0, 1.0, 1.0))])
    middle = Bone("a", (0.2, 4.0, -0.1), own, [tip, side])
    return Bone("root", (5.0, -2.0, 1.0), POSITIONS + rotations(order), [middle])


def channels(bone: Bone) -> int:
    return len(bone.channels) + sum(map(channels, bone.children))


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("order", ["".join(axes) for axes in permutations("XYZ")])
def test_joints_and_end_sites_are_where_plain_matrices_put_them(order, six):
    root = chain(order, six)
    rows = np.random.default_rng(0).uniform(-180, 180, size=(7, channels(root)))
    joints, values = read_bvh(bvh_text(root, rows).encode())
    found, expected = places(joints, values), plain(root, rows)
    assert [joint.name for joint in joints] == ["root", "a", "b", "b end", "c", "c end"]
    for index, joint in enumerate(joints):
        assert np.abs(found[:, index] - expected[joint.name]).max() < 1e-9


def test_a_known_pose():
    """A quarter turn about z carries a bone along x to y."""
    text = """HIERARCHY\r
ROOT Hips\r
{\r
\tOFFSET 0 0 0\r
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation\r
\tJOINT Arm\r
\t{\r
\t\tOFFSET 2 0 0\r
\t\tCHANNELS 3 Zrotation Yrotation Xrotation\r
\t\tEnd Site\r
\t\t{\r
\t\t\tOFFSET 1 0 0\r
\t\t}\r
\t}\r
}\r
MOTION\r
Frames:\t1\r
Frame Time:\t0.1\r
10 0 0 90 0 0 90 0 0\r
"""
    found = places(*read_bvh(text.encode()))[0]
    assert np.allclose(found, [[10, 0, 0], [10, 2, 0], [9, 2, 0]])


SPINES = {
    "cmu": ("Hips LowerBack Spine Spine1 Neck Neck1 Head", "Zrotation Yrotation Xrotation"),
    "bandai_namco": ("joint_Root Hips Spine Chest Neck Head", "Zrotation Xrotation Yrotation"),
    "100style": ("Hips Chest Chest2 Chest3 Chest4 Neck Head", "Yrotation Xrotation Zrotation"),
}
LIMBS = {
    "cmu": (
        ["{0}Shoulder {0}Arm {0}ForeArm {0}Hand {0}FingerBase {0}HandIndex1", "{1}Thumb"],
        ["{1}HipJoint {0}UpLeg {0}Leg {0}Foot {0}ToeBase"],
    ),
    "bandai_namco": (
        ["Shoulder_{1} UpperArm_{1} LowerArm_{1} Hand_{1}"],
        ["UpperLeg_{1} LowerLeg_{1} Foot_{1} Toes_{1}"],
    ),
    "100style": (
        ["{0}Collar {0}Shoulder {0}Elbow {0}Wrist"],
        ["{0}Hip {0}Knee {0}Ankle {0}Toe"],
    ),
}


def line_of(names: str, step: tuple[float, float, float], own: list[str]) -> Bone:
    """A chain of bones down to an end site."""
    *rest, last = names.split()
    bone = Bone(last, step, own, [Bone(f"{last} end", step)])
    for name in reversed(rest):
        bone = Bone(name, step, own, [bone])
    return bone


def find(bone: Bone, name: str) -> Bone | None:
    if bone.name == name:
        return bone
    return next(filter(None, (find(child, name) for child in bone.children)), None)


def body(kind: str) -> Bone:
    """A whole body with the names of one of the known sources, in centimetres."""
    spine, turns = SPINES[kind]
    own = (POSITIONS if kind == "bandai_namco" else []) + turns.split()
    root = line_of(spine, (0.0, 11.0, 0.5), own)
    root.channels = POSITIONS + turns.split()
    hips = find(root, "Hips")
    arms, legs = LIMBS[kind]
    shoulders = {"cmu": "Spine1", "bandai_namco": "Chest", "100style": "Chest4"}[kind]
    for side, sign in (("Left", 1), ("Right", -1)):
        for names, below, step in (
            *((one, shoulders, (sign * 13.0, 0.5, 1.0)) for one in arms),
            *((one, "Hips", (sign * 5.0, -30.0, 2.0)) for one in legs),
        ):
            bone = line_of(names.format(side, side[0]), step, own)
            parent = find(root, f"{side}Hand") if "Thumb" in names else find(root, below)
            (parent or hips).children.append(bone)
    return root


def motion(root: Bone, frames: int, seed: int) -> np.ndarray:
    """Rows of numbers: bones keep their lengths, and all joints turn a little."""
    generator = np.random.default_rng(seed)
    columns: list[np.ndarray] = []

    def fill(bone: Bone) -> None:
        for channel in bone.channels:
            if channel.endswith("rotation"):
                columns.append(generator.normal(0, 2, frames).cumsum())
            else:
                rest = bone.offset["XYZ".index(channel[0])]
                columns.append(rest + generator.normal(0, 0.1, frames))
        for child in bone.children:
            fill(child)

    fill(root)
    return np.stack(columns, axis=1)


def write(raw: Path, root: Bone, frames: int = 9, **more: object) -> dict[str, np.ndarray]:
    """Write a folder of four motions and its description; return the rows of each."""
    raw.mkdir()
    rows = {}
    for seed, name in enumerate(("anna_walk", "anna_run", "ben_walk", "ben_run")):
        rows[name] = motion(root, frames + seed, seed)
        (raw / f"{name}.bvh").write_text(bvh_text(root, rows[name]))
    described = {
        "name": "mocap",
        "classes": ["walk", "run"],
        "pattern": "(?P<who>[a-z]+)_(?P<class>[a-z]+)",
        "protocols": {"cross_subject": {"by": "who", "train": ["anna"]}},
        **more,
    }
    (raw / "dataset.json").write_text(json.dumps(described))
    return rows


def prepare(raw: Path, *more: str) -> Path:
    out = raw.parent / "data"
    main(["custom", "--raw", str(raw), "--out", str(out), "-j", "1", *more])
    return out


def expected(root: Bone, rows: np.ndarray, kind: str, metres: float = 0.01) -> np.ndarray:
    found = plain(root, rows)
    clip = np.zeros((3, len(rows), 25, 2), np.float32)
    for joint, entry in enumerate(JOINT_MAPS[kind].entries):
        names = several(entry)
        clip[:, :, joint, 0] = metres * sum(found[name] for name in names).T / len(names)
    return clip


@pytest.mark.parametrize("kind", ["cmu", "bandai_namco", "100style"])
@pytest.mark.parametrize("unit", [None, "option", "description"])
def test_motions_are_prepared_like_any_recording(tmp_path, kind, unit):
    root = body(kind)
    more = {"unit": "inch"} if unit == "description" else {}
    rows = write(tmp_path / "raw", root, joints=kind, **more)
    out = prepare(tmp_path / "raw", *(["--unit", "0.0254"] if unit == "option" else []))
    for part, names in (("train", ["anna_run", "anna_walk"]), ("val", ["ben_run", "ben_walk"])):
        arrays = load_arrays(out / "mocap" / "cross_subject", part)
        assert arrays.names == [f"{name}.bvh" for name in names]
        assert arrays.labels.tolist() == [1, 0]
        for clip, frames, name in zip(arrays.data, arrays.num_frames, names, strict=True):
            assert frames == len(rows[name])
            parsed = expected(root, rows[name], kind, 0.0254 if unit else 0.01)
            assert np.abs(clip - normalise_plain(parsed)).max() < 2e-5
    described = json.loads((out / "mocap" / "dataset.json").read_text())
    assert described.get("unit") == {None: None, "option": 0.0254, "description": "inch"}[unit]


def test_a_map_of_ones_own_names_is_followed_and_means_are_taken(tmp_path):
    root = body("bandai_namco")
    names = [entry for entry in JOINT_MAPS["bandai_namco"].entries]
    names[3] = ["Head", "Head end"]
    rows = write(tmp_path / "raw", root, joints=names)
    out = prepare(tmp_path / "raw")
    arrays = load_arrays(out / "mocap" / "cross_subject", "train")
    parsed = expected(root, rows["anna_run"], "bandai_namco")
    found = plain(root, rows["anna_run"])
    parsed[:, :, 3, 0] = 0.01 * (found["Head"] + found["Head end"]).T / 2
    assert np.abs(arrays.data[0] - normalise_plain(parsed)).max() < 2e-5


@pytest.mark.parametrize(("cut", "begin"), [("head", 0), ("centre", 31)])
def test_long_motions_are_cut_where_asked_and_counted(tmp_path, capsys, cut, begin):
    root = body("100style")
    rows = write(tmp_path / "raw", root, frames=299, joints="100style")
    (tmp_path / "raw" / "ben_run.bvh").write_text(bvh_text(root, motion(root, 363, 3)))
    out = prepare(tmp_path / "raw", "--cut", cut)
    kept = "first" if cut == "head" else "middle"
    said = f"2 clips of more than 300 frames cut to its {kept} 300"
    assert said in capsys.readouterr().out
    arrays = load_arrays(out / "mocap" / "cross_subject", "val")
    assert arrays.num_frames.tolist() == [300, 300]
    assert len(rows["ben_walk"]) == 301
    parsed = expected(root, motion(root, 363, 3)[begin : begin + 300], "100style")
    assert np.abs(arrays.data[0] - normalise_plain(parsed)).max() < 2e-5


GOOD = bvh_text(chain("ZXY", six=False), np.zeros((2, 15)))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it is no whole BVH file: it has no MOTION"),
        (GOOD.partition("MOTION")[0], "it has no MOTION"),
        (GOOD.replace("HIERARCHY", "TREE"), "it does not begin with HIERARCHY and ROOT"),
        (GOOD.replace("JOINT", "JIONT"), "its hierarchy has 'JIONT' where a joint should be"),
        (GOOD.replace("}\nMOTION", "MOTION"), "its hierarchy is cut short"),
        (GOOD.replace("MOTION", "}\nMOTION"), "its hierarchy goes on after the root, with '}'"),
        (GOOD.replace("JOINT b", "JOINT a"), "its hierarchy has two joints a"),
        (GOOD.replace("OFFSET", "OFFSTE", 1), "joint root has 'OFFSTE' where OFFSET should be"),
        (GOOD.replace("5.0", "five"), "joint root has 'five' where a number should be"),
        (GOOD.replace("CHANNELS 6", "CHANNELS six"), "joint root has 'six' channels"),
        (GOOD.replace("CHANNELS 6", "CHANNELS 999999999999"), "joint root has '99999"),
        (GOOD.replace("Zposition", "Wposition"), "joint root has the channel 'wposition'"),
        (GOOD.replace("Frames: 2", "Frames: 3"), "its MOTION has 30 numbers, not 3 frames of 15"),
        (GOOD.replace("Frames: 2", "Frames: -2"), "its number of frames is '-2'"),
        (GOOD.replace("Frame Time:", "Rate:"), "its MOTION does not begin with Frames: and Fra"),
        (GOOD.replace("5.0", "5_0"), "joint root has '5_0' where a number should be"),
        (GOOD.replace("0.000000\n", "x\n", 1), "its MOTION holds what is not a number"),
        (GOOD.replace("0.000000\n", "1_0\n", 1), "its MOTION holds what is not a number"),
        (GOOD[:-20], "numbers, not 2 frames of 15"),
    ],
)
def test_a_file_that_is_no_motion_is_named(text, fault):
    with pytest.raises(ValueError, match=r".") as error:
        read_bvh(text.encode())
    assert fault in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("joints", "fault"),
    [
        ("cmu", "it has no joint Head, Hips, LThumb end, LeftArm, "),
        ("smpl24", "its joints have names; choose joints that do, as those of cmu, bandai_namco"),
        (None, "its joints have names; choose joints that do, as those of cmu"),
    ],
)
def test_a_motion_of_other_joints_is_a_bad_file(tmp_path, capsys, joints, fault):
    write(tmp_path / "raw", chain("ZXY", six=False), **({"joints": joints} if joints else {}))
    with pytest.raises(SystemExit) as exit_:
        prepare(tmp_path / "raw")
    assert exit_.value.code == 2
    assert fault in capsys.readouterr().err


def test_a_motion_with_a_number_that_is_not_finite_is_a_bad_file(tmp_path, capsys):
    root = body("100style")
    write(tmp_path / "raw", root, joints="100style")
    path = tmp_path / "raw" / "ben_run.bvh"
    rows = motion(root, 5, 0)
    rows[3, 1] = np.nan
    path.write_text(bvh_text(root, rows))
    with pytest.raises(SystemExit):
        prepare(tmp_path / "raw")
    assert f"bad file {path}: it has a coordinate that is not finite in frame 3" in (
        capsys.readouterr().err
    )
