"""Invented recordings: genuine files, the same bytes for a seed, people that differ, and faults."""

import hashlib
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from dataset.protocols import NTU60
from dataset.skeleton import NUM_JOINTS
from tools.prepare.__main__ import main
from tools.prepare.formats import synthetic
from tools.prepare.formats.ntu import ClipName, choose_bodies, official_missing_list, parse
from tools.prepare.formats.ntu import read_missing_list as read_missing
from tools.prepare.synthetic import sensor
from tools.prepare.synthetic.actions import ACTIONS, Style
from tools.prepare.synthetic.body import BONES, Build, pose, rotations, stand
from tools.prepare.synthetic.movement import Movement
from tools.prepare.synthetic.performance import draw_performance, draw_performer
from tools.prepare.synthetic.skeleton_file import text

TWO_BODIES = {action for action, how in ACTIONS.items() if how.partner is not None}


def recordings(performers: int = 6, clips: int = 2, seed: int = 0) -> dict:
    return {clip: synthetic.simulate(clip, seed) for clip in synthetic.plan(performers, clips)}


@pytest.fixture(scope="module")
def simulated():
    return recordings()


def digests(folder) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_a_seed_fixes_every_byte_whatever_the_number_of_processes(tmp_path):
    for name, seed, workers in (("one", 3, 1), ("two", 3, 2), ("other", 4, 1)):
        arguments = ["--seed", seed, "--performers", 1, "--clips", 1, "-j", workers]
        main(["synthetic", "--out", str(tmp_path / name), *map(str, arguments)])
    one, two, other = (digests(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert one.keys() == other.keys()
    assert not set(one.values()) & set(other.values())


def test_files_have_the_name_and_the_layout_of_ntu(tmp_path):
    main(["synthetic", "--out", str(tmp_path), "--performers", "1", "--clips", "1", "-j", "1"])
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == len(ACTIONS)
    for path in paths:
        assert re.fullmatch(r"S003C002P001R001A0\d\d\.skeleton", path.name)
        content = path.read_bytes()
        assert content.count(b"\n") == content.count(b"\r\n")
        lines = content.decode("ascii").split("\r\n")
        assert lines.pop() == ""
        frames, line = int(lines[0]), 1
        for _ in range(frames):
            bodies, line = int(lines[line]), line + 1
            for _ in range(bodies):
                assert len(lines[line].split()) == 10
                assert int(lines[line + 1]) == NUM_JOINTS
                joints = lines[line + 2 : line + 2 + NUM_JOINTS]
                assert {len(joint.split()) for joint in joints} == {12}
                line += 2 + NUM_JOINTS
        assert line == len(lines)


def test_the_files_hold_what_was_simulated(simulated):
    for clip, recording in list(simulated.items())[:24]:
        slots = parse(text(recording).encode())
        frames = len(recording.bodies[0])
        assert slots.shape == (4, frames, NUM_JOINTS, 3)
        for frame in range(0, frames, 7):
            listed = [
                body[frame]
                for body, present in zip(recording.bodies, recording.present, strict=True)
                if present[frame]
            ]
            expected = np.zeros((4, NUM_JOINTS, 3))
            expected[: len(listed)] = np.array(listed).reshape(-1, NUM_JOINTS, 3)
            np.testing.assert_allclose(slots[:, frame], expected, atol=6e-7, err_msg=clip.name)


def test_no_name_is_on_the_list_of_missing_skeletons_and_all_belong_to_ntu60():
    names = [clip.name for clip in synthetic.plan(synthetic.MOST_PERFORMERS, synthetic.MOST_CLIPS)]
    assert names == sorted(set(names))
    assert len(names) == synthetic.MOST_PERFORMERS * len(ACTIONS) * synthetic.MOST_CLIPS
    assert not set(names) & read_missing(official_missing_list("ntu60"))
    assert all(ClipName.parse(name).belongs_to(NTU60) for name in names)


def test_more_clips_come_beside_those_of_fewer_and_every_take_is_of_its_own():
    for fewer, more in ((1, 2), (4, 6), (6, 7), (12, 13)):
        assert set(synthetic.plan(1, fewer)) < set(synthetic.plan(1, more))
    takes = [(c.replication, c.camera) for c in synthetic.plan(1, 12) if c.action == 22]
    assert sorted(takes) == list(product((1, 2, 3, 4), (1, 2, 3)))


def test_both_parts_of_both_protocols_get_every_action():
    defaults = synthetic.Options(out=Path())
    clips = synthetic.plan(defaults.performers, defaults.clips)
    for protocol in NTU60.rules:
        parts = {"train": set(), "val": set()}
        for clip in clips:
            parts[ClipName.parse(clip.name).parts(NTU60)[protocol]].add(clip.action)
        assert parts == {"train": set(ACTIONS), "val": set(ACTIONS)}


def test_actions_50_to_60_have_two_people_and_the_others_one(simulated):
    assert {1, 50, 59} <= set(ACTIONS)
    assert {action for action in ACTIONS if 50 <= action <= 60} == TWO_BODIES
    for clip in simulated:
        generator = np.random.default_rng(0)
        people = (draw_performer(generator), draw_performer(generator))
        bodies = draw_performance(clip.action, people, generator)
        assert len(bodies) == (2 if clip.action in TWO_BODIES else 1)


def test_both_people_of_an_action_are_the_two_bodies_that_preparation_keeps(simulated):
    for clip, recording in simulated.items():
        if clip.action in TWO_BODIES:
            chosen = choose_bodies(parse(text(recording).encode()))
            assert (chosen != 0).any(axis=(0, 1, 2)).all()


def test_some_recordings_have_empty_frames_drop_outs_and_bodies_that_are_none():
    drawn = list(recordings(10, 2).items())
    gone, late, single, ghosts = 0, 0, 0, 0
    for clip, recording in drawn:
        present = np.array(recording.present)  # (bodies, T)
        empty = ~present.any(axis=0)
        gone += empty.any()
        late += empty[0]
        single += (empty[1:-1] & ~empty[:-2] & ~empty[2:]).any()
        ghosts += len(recording.bodies) > (2 if clip.action in TWO_BODIES else 1)
        assert present.any()
    assert min(gone, late, single, ghosts) > 0
    assert max(gone, late, single, ghosts) < 0.3 * len(drawn)


def bone_lengths(positions: np.ndarray) -> np.ndarray:
    return np.stack(
        [np.linalg.norm(positions[:, child] - positions[:, up], axis=-1) for child, up in BONES], 1
    )


@pytest.mark.parametrize("action", ACTIONS)
def test_bones_keep_their_lengths_while_people_move(action):
    generator = np.random.default_rng(action)
    people = (draw_performer(generator), draw_performer(generator))
    bodies = draw_performance(action, people, generator)
    for person, body in zip(people, bodies, strict=False):
        children = [child for child, _ in BONES]
        expected = np.linalg.norm(person.build.offsets()[children], axis=-1)
        np.testing.assert_allclose(
            bone_lengths(body), np.broadcast_to(expected, (len(body), 24)), rtol=1e-9
        )
        assert 60 <= len(body) <= 160
        assert body[..., 1].min() > -0.35  # hands may go below the feet, not through the floor
        assert np.abs(np.diff(body, axis=0)).max() < 0.6  # no joint jumps within one frame


def test_performers_differ_in_size_and_habit():
    drawn = [draw_performer(np.random.default_rng(seed)) for seed in range(20)]
    heights = [person.build.height for person in drawn]
    assert len(set(heights)) == 20
    assert 0.03 < np.std(heights) < 0.2
    assert not np.allclose(drawn[0].habit, drawn[1].habit)


def test_cameras_see_the_same_performance_differently():
    clips = {clip.camera: clip for clip in synthetic.plan(1, 6) if clip.name[8:] == "P001R001A022"}
    one, two, three = (synthetic.simulate(clips[camera], 0) for camera in (1, 2, 3))
    assert len(one.bodies[0]) == len(two.bodies[0]) == len(three.bodies[0])
    assert not np.allclose(one.bodies[0], two.bodies[0], atol=0.05)
    assert not np.allclose(one.bodies[0], three.bodies[0], atol=0.05)


def test_in_even_replications_the_performer_is_turned_by_45_degrees():
    azimuths = [
        sensor.draw_camera(1, 2, replication, np.random.default_rng(0)).azimuth
        for replication in (1, 2, 3, 4)
    ]
    assert azimuths[:2] == azimuths[2:]
    np.testing.assert_allclose(azimuths[1] - azimuths[0], np.radians(-45))


def test_forward_kinematics_agrees_with_a_chain_of_rotations_written_out():
    angles = np.zeros((1, NUM_JOINTS, 3))
    generator = np.random.default_rng(0)
    chain = (0, 1, 20, 8, 9, 10, 11)
    angles[0, chain, :] = generator.uniform(-2, 2, (len(chain), 3))
    offsets = Build(height=1.1, arms=0.9).offsets()

    def about(axis: int, angle: float) -> np.ndarray:
        first, second = ((1, 2), (2, 0), (0, 1))[axis]
        matrix = np.eye(3)
        matrix[first, first] = matrix[second, second] = np.cos(angle)
        matrix[second, first], matrix[first, second] = np.sin(angle), -np.sin(angle)
        return matrix

    hand_tip, turn = np.zeros(3), np.eye(3)
    for joint, child in zip(chain, (*chain[1:], 23), strict=True):
        x, y, z = angles[0, joint]
        turn = turn @ about(0, x) @ about(2, z) @ about(1, y)
        hand_tip = hand_tip + turn @ offsets[child]
    np.testing.assert_allclose(pose(angles, offsets)[0, 23], hand_tip, atol=1e-12)
    np.testing.assert_allclose(
        rotations(angles[0, 9]) @ rotations(angles[0, 9]).T, np.eye(3), atol=1e-12
    )


def test_sides_mirror_each_other():
    both = {}
    for lead in ("right", "left"):
        body = Movement(50, lead)
        ACTIONS[1].play(body, np.linspace(0, 1, 50), Style())
        both[lead] = pose(body.angles, Build().offsets())
    swapped = both["left"] * [-1, 1, 1]
    np.testing.assert_allclose(both["right"][:, [8, 11, 17]], swapped[:, [4, 7, 13]], atol=1e-12)


def test_standing_puts_a_foot_on_the_ground_and_jumping_lifts_it():
    positions = np.random.default_rng(0).normal(size=(5, NUM_JOINTS, 3))
    lift = np.array([0.0, 0.1, 0.2, 0.0, 0.3])
    feet = stand(positions, lift)[:, [14, 15, 18, 19], 1].min(axis=1)
    np.testing.assert_allclose(feet, lift, atol=1e-12)


def test_a_camera_sees_who_faces_it_in_front_of_it():
    camera = sensor.Camera(0.0, 0.0, 1.4, 3.0, np.eye(3))
    body = stand(pose(np.zeros((1, NUM_JOINTS, 3)), Build().offsets()), np.zeros(1))
    seen = sensor.watch(body, camera)[0]
    assert seen[4, 0] < seen[8, 0]  # the left shoulder has the smaller x, as in NTU's files
    assert seen[19, 2] < seen[18, 2]  # toes are nearer than ankles
    assert seen[3, 1] > seen[0, 1]
    np.testing.assert_allclose(seen[0, 2], 3.0, atol=1e-9)


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--performers", "41", "--performers 41: needs a whole number, 1 to 40"),
        ("--clips", "0", "--clips 0: needs a whole number, 1 to 60"),
        ("--seed", "-1", "--seed -1: needs a whole number, 0 to 9223372036854775807"),
    ],
)
def test_a_number_out_of_range_is_one_line(tmp_path, capsys, option, value, says):
    with pytest.raises(SystemExit) as stop:
        main(["synthetic", "--out", str(tmp_path / "new"), option, value])
    assert stop.value.code == 2
    assert capsys.readouterr().err.strip() == f"error: {says}"
    assert not (tmp_path / "new").exists()


def test_a_folder_with_other_recordings_is_refused(tmp_path, capsys):
    (tmp_path / "S001C001P001R001A060.skeleton").write_text("0\n")
    with pytest.raises(SystemExit) as stop:
        main(["synthetic", "--out", str(tmp_path), "--performers", "1", "--clips", "1"])
    assert stop.value.code == 2
    assert "holds 1 other recordings" in capsys.readouterr().err
