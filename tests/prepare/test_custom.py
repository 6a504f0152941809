"""One's own recordings: described by a JSON, prepared like NTU, known to every script."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset import arrays as arrays_module
from dataset.arrays import load_arrays
from dataset.protocols import DATASETS, PARTS, load_datasets, split_folder
from options import classification, pretraining
from tests.oracles.prepare import normalise_plain
from tests.support.other_formats import refusal, upright_body
from tests.support.paths import ROOT
from tests.support.raw_ntu import skeleton_text
from tools.prepare.__main__ import main
from tools.prepare.formats import custom

PEOPLE, CLASSES = ("anna", "ben", "cleo"), ("wave", "point")
DESCRIPTION = {
    "name": "our_lab",
    "title": "Gestures in our lab",
    "classes": list(CLASSES),
    "pattern": r"(?P<person>[a-z]+)/(?P<class>[a-z]+)_(?P<take>\d+)",
    "protocols": {"cross_subject": {"by": "person", "train": ["anna", "ben"]}},
    "source": "our lab, 2026",
    "licence": "ours",
}


def recordings() -> dict[str, np.ndarray]:
    """Return (3, F, 25, 2) of each recording, one body or two."""
    generator = np.random.default_rng(0)
    parsed = {}
    for person in PEOPLE:
        for action in CLASSES:
            bodies = np.zeros((2, int(generator.integers(3, 20)), 25, 3))
            bodies[0] = upright_body(generator, bodies.shape[1])
            if action == "point":
                bodies[1] = 0.2 * upright_body(generator, bodies.shape[1])
            parsed[f"{person}/{action}_1"] = bodies.transpose(3, 1, 2, 0).astype(np.float32)
    return parsed


PARSED = recordings()


def bodies_of(clip: np.ndarray) -> np.ndarray:
    """Return (M, F, V, C), M = 1 or 2."""
    return clip.transpose(3, 1, 2, 0)[: 2 if clip[..., 1].any() else 1]


def write(folder: Path, description: object = DESCRIPTION, joints: list[int] | None = None) -> Path:
    """Write a folder of recordings; one of them as a .skeleton file, one without an axis M."""
    for name, clip in PARSED.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        bodies = bodies_of(clip)
        if name == "anna/wave_1" and joints is None:
            text = skeleton_text(
                [[body[frame] for body in bodies] for frame in range(len(bodies[0]))]
            )
            (folder / f"{name}.skeleton").write_text(text)
            continue
        if joints is not None:
            moved = np.zeros((*bodies.shape[:2], 1 + max(joints), 3), np.float32)
            moved[:, :, joints] = bodies
            bodies = moved
        np.save(folder / f"{name}.npy", bodies[0] if name == "ben/wave_1" else bodies)
    (folder / "dataset.json").write_text(json.dumps(description))
    return folder


def prepare(raw: Path, *more: str) -> Path:
    out = raw.parent / "data"
    main(["custom", "--raw", str(raw), "--out", str(out), "-j", "1", *more])
    return out


def refused(raw: Path, capsys) -> str:
    return refusal(lambda: prepare(raw), raw.parent / "data", capsys)


@pytest.mark.parametrize("joints", [None, list(range(30, 5, -1))])
def test_recordings_are_prepared_like_ntu(tmp_path, joints):
    described = DESCRIPTION | ({"joints": joints} if joints else {})
    out = prepare(write(tmp_path / "raw", described, joints))
    for part in PARTS:
        arrays = load_arrays(out / "our_lab" / "cross_subject", part)
        people = ("anna", "ben") if part == "train" else ("cleo",)
        names = sorted(name for name in PARSED if name.split("/")[0] in people)
        assert [Path(name).with_suffix("").as_posix() for name in arrays.names] == names
        for clip, frames, label, name in zip(
            arrays.data, arrays.num_frames, arrays.labels, names, strict=True
        ):
            assert np.abs(clip - normalise_plain(PARSED[name])).max() < 1e-5
            assert frames == PARSED[name].shape[1]
            assert CLASSES[label] in name


def test_an_interrupted_preparation_with_another_joint_map_begins_anew(
    tmp_path, capsys, monkeypatch
):
    first, second = list(range(30, 5, -1)), list(range(6, 31))
    raw, load, opened = write(tmp_path / "raw", DESCRIPTION, first), custom.map_array, []

    def stopping(*arguments, **more):
        if len(opened) == 3:
            raise KeyboardInterrupt
        opened.append(arguments)
        return load(*arguments, **more)

    (raw / "dataset.json").write_text(json.dumps(DESCRIPTION | {"joints": first}))
    with monkeypatch.context() as patch:
        patch.setattr(custom, "map_array", stopping)
        with pytest.raises(SystemExit):
            prepare(raw)
    assert "3 of 6 clips done; the same command goes on" in capsys.readouterr().err
    (raw / "dataset.json").write_text(json.dumps(DESCRIPTION | {"joints": second}))
    out = prepare(raw)
    assert "going on" not in capsys.readouterr().out
    fresh = tmp_path / "fresh"
    main(["custom", "--raw", str(raw), "--out", str(fresh), "-j", "1"])
    for path in fresh.rglob("*.*"):
        assert path.read_bytes() == (out / path.relative_to(fresh)).read_bytes()


def test_the_data_set_is_known_to_every_script_by_its_data_path(tmp_path):
    out = prepare(write(tmp_path / "raw"))
    where = ["--data-path", str(out), "--protocol", "cross_subject"]
    folder = out / "our_lab" / "cross_subject"
    data = pretraining.parser().parse(["--pre-dataset", "our_lab", *where]).data
    assert (data.dataset, data.folder) == ("our_lab", folder)
    assert data.known.classes == 2
    assert data.known.source == "our lab, 2026"
    data = (
        classification.parser()
        .parse(["--finetune-dataset", "our_lab", "--pretrained", "random", *where])
        .data
    )
    assert (data.protocol, data.folder) == ("cross_subject", folder)


def test_its_folder_is_found_without_options_having_been_read(tmp_path):
    out = prepare(write(tmp_path / "raw"))
    known = load_datasets(out)
    assert known.keys() - DATASETS.keys() == {"our_lab"}
    assert split_folder(out, known["our_lab"], "cross_subject").is_dir()


def test_an_unknown_data_set_is_answered_with_the_known_ones_ours_among_them(tmp_path, capsys):
    out = prepare(write(tmp_path / "raw"))
    with pytest.raises(SystemExit):
        pretraining.parser().parse(["--pre-dataset", "our_lap", "--data-path", str(out)])
    errors = capsys.readouterr().err
    assert "error: --pre-dataset our_lap: known are ntu60, " in errors
    assert "our_lab" in errors
    with pytest.raises(SystemExit):
        pretraining.parser().parse(["--pre-dataset", "our_lab", "--data-path", str(out)])
    assert "--protocol cross_view: our_lab has cross_subject" in capsys.readouterr().err


def test_a_data_set_is_known_only_where_it_lies(tmp_path):
    load_datasets(prepare(write(tmp_path / "raw")))
    assert load_datasets(tmp_path / "elsewhere") == DATASETS
    assert "our_lab" not in DATASETS


def test_options_stay_free_of_numpy_with_ones_own_data(tmp_path):
    out = prepare(write(tmp_path / "raw"))
    program = (
        "import sys; from options.pretraining import parser\n"
        "where = ['--protocol', 'cross_subject', '--data-path', sys.argv[1]]\n"
        "parser().parse(['--pre-dataset', 'our_lab', *where])\n"
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def changed(**more: object) -> dict:
    return {key: value for key, value in (DESCRIPTION | more).items() if value is not None}


CROSS = DESCRIPTION["protocols"]["cross_subject"]


@pytest.mark.parametrize(
    ("description", "fault"),
    [
        ([], "it is no object with name, classes, pattern, protocols"),
        (changed(name=None), "name is missing"),
        (changed(colour="red"), "colour is no key of it; they are name, classes, pattern, protoc"),
        (changed(name="our lab"), "name 'our lab' is not letters, digits and _"),
        (changed(name="ntu60"), "name ntu60 is taken"),
        (changed(classes=[]), "classes is not a list of two or more names"),
        (changed(classes=["a", "a"]), "classes names a twice"),
        (changed(classes="ab"), "classes is not a list of two or more names"),
        (changed(pattern="("), "pattern is no regular expression"),
        (changed(pattern=r"(?P<person>\w+)"), "pattern has no group (?P<class>...)"),
        (changed(protocols={}), "protocols is no object of one or more"),
        (changed(protocols={"a/b": CROSS}), "protocol 'a/b' is not letters, digits and _"),
        (changed(protocols={"x": {"by": "person"}}), "protocol x is not {by: group, train: [...]}"),
        (
            changed(protocols={"x": CROSS | {"by": "age"}}),
            "protocol x goes by age; the pattern has",
        ),
        (changed(joints=[1, 2]), "joints is not a list of 25 whole numbers from 0 on"),
        (changed(joints=[-1] * 25), "joints is not a list of 25 whole numbers from 0 on"),
        (changed(title=3), "title is not text"),
        (changed(source=["x"]), "source is not text"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(tmp_path, capsys, description, fault):
    raw = write(tmp_path / "raw", description)
    errors = refused(raw, capsys)
    assert errors.startswith(f"error: {raw / 'dataset.json'}: ")
    assert fault in errors
    assert errors.count("\n") == 0


def test_a_description_that_is_no_json_or_not_there_is_refused(tmp_path, capsys):
    raw = write(tmp_path / "raw")
    (raw / "dataset.json").write_text("{")
    assert "dataset.json is not a description in JSON" in refused(raw, capsys)
    (raw / "dataset.json").unlink()
    assert f"error: no file {raw / 'dataset.json'}; describe" in refused(raw, capsys)


def test_a_broken_description_in_the_data_path_is_one_line_of_every_script(tmp_path, capsys):
    out = prepare(write(tmp_path / "raw"))
    path = out / "our_lab" / "dataset.json"
    path.write_text("{}")
    capsys.readouterr()
    with pytest.raises(SystemExit):
        pretraining.parser().parse(["--pre-dataset", "our_lab", "--data-path", str(out)])
    assert capsys.readouterr().err == f"error: {path}: name is missing\n"
    path.write_text(json.dumps(changed(name="other")))
    with pytest.raises(ValueError, match="it describes other, but lies in our_lab"):
        load_datasets(out, "our_lab")
    assert load_datasets(out, "ntu60") == DATASETS


BODY = np.ones((4, 25, 3), np.float32)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (BODY[:, :20], "its shape is (4, 20, 3), not (F, 25, 3) or (bodies, F, 25, 3)"),
        (np.stack([BODY] * 3), "it has 3 bodies, not 1 or 2"),
        (BODY.astype("U3"), "it holds <U3, not numbers"),
        (np.array([{}]), "it is not a whole .npy file ("),
        (BODY * np.nan, "a coordinate that is not finite in frame 0"),
        (np.ones((301, 25, 3)), "it has 301 frames, not 1 to 300"),
        (b"", "it is not a whole .npy file ("),
    ],
)
def test_a_bad_recording_is_named(tmp_path, capsys, content, fault):
    raw = write(tmp_path / "raw")
    path = raw / "cleo" / "wave_1.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content, allow_pickle=True)
    errors = refused(raw, capsys)
    assert errors.startswith(f"bad file {path}: ")
    assert fault in errors


def test_names_off_the_pattern_and_unknown_classes_are_bad_files(tmp_path, capsys):
    raw = write(tmp_path / "raw")
    np.save(raw / "stray.npy", BODY)
    np.save(raw / "anna" / "jump_1.npy", BODY)
    errors = refused(raw, capsys)
    assert f"bad file {raw / 'stray.npy'}: its name does not fit the pattern" in errors
    assert (
        f"bad file {raw / 'anna' / 'jump_1.npy'}: its class jump is not one of wave, poi" in errors
    )


def test_two_files_of_one_recording_and_empty_folders_are_refused(tmp_path, capsys):
    raw = write(tmp_path / "raw")
    np.save(raw / "anna" / "wave_1.npy", BODY)
    assert "have one name" in refused(raw, capsys)
    for path in raw.rglob("*_1.*"):
        path.unlink()
    assert "no *.npy or *.bvh or *.skeleton file in it" in refused(raw, capsys)


def test_someone_to_train_on_who_is_in_no_recording_is_said(tmp_path, capsys):
    cross = CROSS | {"train": ["anna", "ben", "dora"]}
    prepare(write(tmp_path / "raw", changed(protocols={"cross_subject": cross})))
    assert "cross_subject: no recording has person dora" in capsys.readouterr().out


def joint_of(clip: np.ndarray, joint: int) -> np.ndarray:
    return clip[:, :, joint, 0].T.astype(np.float64)


def other_skeleton(kind: str, clip: np.ndarray) -> np.ndarray:
    """Joints (F, J, 3) of another skeleton with the Kinect joints of a clip where it has them."""
    order = {
        "kinect20": (0, 1, 20, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19),
        "h36m17": (0, 16, 17, 18, 12, 13, 14, 1, 20, 2, 3, 4, 5, 6, 8, 9, 10),
        "smpl24": (0, 12, 16, 20, 13, 17, 1, 14, 18, 20, 15, 19, 2, 4, 8, 3)
        + (4, 8, 5, 9, 6, 10, 7, 11),
        "mediapipe33": (3, 3, 3, 3, 3, 3, 3, 3, 3, 2, 2, 4, 8, 5, 9, 6, 10, 7, 11)
        + (7, 11, 22, 24, 12, 16, 13, 17, 14, 18, 14, 18, 15, 19),
    }[kind]
    return np.stack([joint_of(clip, joint) for joint in order], axis=1)


# 0-based, ours <- theirs; several: their mean
LIMBS_OF = {
    "kinect20": {joint: (joint,) for joint in range(20)}
    | {2: (2,), 20: (2,), 21: (7,), 22: (7,), 23: (11,), 24: (11,)},
    "h36m17": {0: (0,), 1: (7,), 2: (8, 9), 3: (10,), 20: (8,)}
    | {4: (11,), 5: (12,), 6: (13,), 7: (13,), 21: (13,), 22: (13,)}
    | {8: (14,), 9: (15,), 10: (16,), 11: (16,), 23: (16,), 24: (16,)}
    | {12: (4,), 13: (5,), 14: (6,), 15: (6,), 16: (1,), 17: (2,), 18: (3,), 19: (3,)},
    "smpl24": {0: (0,), 1: (6,), 2: (12,), 3: (15,), 20: (16, 17)}
    | {4: (16,), 5: (18,), 6: (20,), 7: (22,), 21: (22,), 22: (22,)}
    | {8: (17,), 9: (19,), 10: (21,), 11: (23,), 23: (23,), 24: (23,)}
    | {12: (1,), 13: (4,), 14: (7,), 15: (10,), 16: (2,), 17: (5,), 18: (8,), 19: (11,)},
    "mediapipe33": {0: (23, 24), 1: (11, 12, 23, 24), 2: (9, 10, 11, 12), 3: (7, 8)}
    | {4: (11,), 5: (13,), 6: (15,), 7: (17, 19), 21: (19,), 22: (21,), 20: (11, 12)}
    | {8: (12,), 9: (14,), 10: (16,), 11: (18, 20), 23: (20,), 24: (22,)}
    | {12: (23,), 13: (25,), 14: (27,), 15: (31,), 16: (24,), 17: (26,), 18: (28,), 19: (32,)},
}


def write_arrays(raw: Path, bodies: dict[str, np.ndarray], **more: object) -> Path:
    """Write .npy files and a description with more keys."""
    for name, array in bodies.items():
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(raw / f"{name}.npy", array)
    (raw / "dataset.json").write_text(json.dumps(DESCRIPTION | more))
    return raw


def loaded(out: Path) -> dict[str, np.ndarray]:
    """The clips of both parts, by name without ending."""
    parts = [load_arrays(out / "our_lab" / "cross_subject", part) for part in PARTS]
    return {
        name.removesuffix(".npy"): clip
        for arrays in parts
        for name, clip in zip(arrays.names, arrays.data, strict=True)
    }


@pytest.mark.parametrize("kind", LIMBS_OF)
@pytest.mark.parametrize("unit", [None, "mm"])
@pytest.mark.parametrize("centred", [False, True])
def test_a_joint_map_by_name_puts_joints_and_means_in_place(tmp_path, kind, unit, centred):
    bodies = {name: other_skeleton(kind, clip) for name, clip in PARSED.items()}
    if centred:  # on the hips, as much pose estimation is: zero there does not mean absent
        hips = list(LIMBS_OF[kind][0])
        bodies = {
            name: one - one[:, hips].mean(axis=1, keepdims=True) for name, one in bodies.items()
        }
    scale = 1000 if unit else 1
    given = {name: scale * one for name, one in bodies.items()}
    more = {"joints": kind} | ({"unit": unit} if unit else {})
    found = loaded(prepare(write_arrays(tmp_path / "raw", given, **more)))
    for name, one in bodies.items():
        parsed = np.zeros((3, len(one), 25, 2), np.float32)
        for ours, theirs in LIMBS_OF[kind].items():
            parsed[:, :, ours, 0] = one[:, list(theirs)].mean(axis=1).T + 2.5
        assert np.abs(found[name] - normalise_plain(parsed)).max() < 2e-5


def test_an_absent_joint_is_left_out_of_a_mean(tmp_path):
    bodies = {name: other_skeleton("mediapipe33", clip) for name, clip in PARSED.items()}
    name = next(iter(bodies))
    bodies[name][2:, 7] = 0
    found = loaded(prepare(write_arrays(tmp_path / "raw", bodies, joints="mediapipe33")))
    head, neck = found[name][:, 2, 3, 0], found[name][:, 2, 2, 0]
    theirs = bodies[name][2]
    length = np.linalg.norm(theirs[8] - theirs[[9, 10, 11, 12]].mean(axis=0))
    assert np.linalg.norm(head - neck) == pytest.approx(length, abs=1e-5)


def test_absent_bodies_and_joints_of_centred_poses_stay_absent(tmp_path):
    bodies = {}
    for name, clip in PARSED.items():
        one = np.stack([other_skeleton("smpl24", clip)] * 2)
        one -= one[:, :, :1]
        one[1] = 0
        one[0, :, 23] = 0
        bodies[name] = one
    found = loaded(prepare(write_arrays(tmp_path / "raw", bodies, joints="smpl24")))
    for clip in found.values():
        assert not clip[:, :, 11, 0].any()
        assert clip[:, :, 10, 0].any(axis=0).all()
        assert not clip[..., 1].any()
        assert (np.linalg.norm(clip[:, :, 0, 0], axis=0) > 1e-3).all()


FLAT = "poses in two dimensions cannot be prepared; lift them to three first"


@pytest.mark.parametrize(
    ("shape", "joints", "fault"),
    [
        ((4, 17, 2), "h36m17", f"its shape is (4, 17, 2): {FLAT}"),
        ((1, 4, 17, 2), "h36m17", f"its shape is (1, 4, 17, 2): {FLAT}"),
        ((4, 16, 3), "h36m17", "its shape is (4, 16, 3), not (F, 17, 3) or (bodies, F, 17, 3)"),
        ((4, 22, 3), "smpl24", "its shape is (4, 22, 3), not (F, 24, 3)"),
        ((4, 33, 4), "mediapipe33", "its shape is (4, 33, 4), not (F, 33, 3)"),
        ((4, 25, 3), "cmu", "its joints have no names, but those of the joint map do"),
        ((4, 25, 3), [[0, 30]] * 25, "not (F, 31 or more, 3)"),
    ],
)
def test_arrays_that_do_not_fit_the_joint_map_are_bad_files(tmp_path, capsys, shape, joints, fault):
    bodies = dict.fromkeys(PARSED, np.ones(shape))
    errors = refused(write_arrays(tmp_path / "raw", bodies, joints=joints), capsys)
    assert fault in errors


def test_flat_poses_are_refused_where_they_have_a_third_number_too(tmp_path, capsys):
    flat = np.ones((4, 17, 3)) * (1, 1, 0)
    raw = write_arrays(tmp_path / "raw", dict.fromkeys(PARSED, flat), joints="h36m17")
    assert f"its third coordinate is zero throughout: {FLAT}" in refused(raw, capsys)


NO_MAP = "joints is not a list of 25 whole numbers from 0 on, or of names of joints, or of lists of"
NO_UNIT = "unit is not m, cm, mm, inch or a number of metres above 0"


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"joints": "openpose"}, "joints openpose is no known map; known are kinect25, kinect20, "),
        ({"joints": [*range(24), "Head"]}, NO_MAP),
        ({"joints": [*range(24), []]}, NO_MAP),
        ({"joints": [*range(24), [0, -1]]}, NO_MAP),
        ({"joints": [*range(24), True]}, NO_MAP),
        ({"joints": 25}, NO_MAP),
        ({"unit": "ft"}, NO_UNIT),
        ({"unit": 0}, NO_UNIT),
        ({"unit": True}, NO_UNIT),
        ({"unit": ["m"]}, NO_UNIT),
    ],
)
def test_maps_and_units_that_make_no_sense_are_refused(tmp_path, capsys, more, fault):
    raw = write(tmp_path / "raw", DESCRIPTION | more)
    assert f"dataset.json: {fault}" in refused(raw, capsys)


@pytest.mark.parametrize(("cut", "begin"), [("head", 0), ("centre", 2)])
def test_long_recordings_are_cut_where_asked_and_counted(tmp_path, capsys, cut, begin):
    bodies = {name: clip[..., 0].transpose(1, 2, 0) for name, clip in PARSED.items()}
    name = next(iter(bodies))
    long = np.tile(bodies[name], (200, 1, 1))[:305]
    long += np.linspace(0, 0.1, 305, dtype=np.float32)[:, None, None] * np.eye(1, 3)
    bodies[name] = long.astype(np.float32)
    found = loaded(prepare(write_arrays(tmp_path / "raw", bodies), "--cut", cut))
    parsed = np.zeros((3, 300, 25, 2), np.float32)
    parsed[..., 0] = bodies[name][begin : begin + 300].transpose(2, 0, 1)
    assert np.abs(found[name] - normalise_plain(parsed)).max() < 1e-5
    kept = {"head": "first", "centre": "middle"}[cut]
    assert f"1 clip of more than 300 frames cut to its {kept} 300" in capsys.readouterr().out


def test_a_long_recording_is_refused_with_what_helps(tmp_path, capsys):
    bodies = dict.fromkeys(PARSED, np.ones((301, 25, 3), np.float32))
    errors = refused(write_arrays(tmp_path / "raw", bodies), capsys)
    said = "it has 301 frames, not 1 to 300; cut it, or let --cut head"
    assert said in errors


@pytest.mark.parametrize("unit", ["feet", "0", "-1", "nan", "inf"])
def test_a_unit_that_is_none_is_refused(tmp_path, capsys, unit):
    raw = write(tmp_path / "raw")
    with pytest.raises(SystemExit):
        prepare(raw, "--unit", unit)
    said = f"error: --unit {unit}: known are m, cm, mm, inch or a number of metres above 0"
    assert said in capsys.readouterr().err


def test_help_shows_the_whole_description_and_what_it_shows_is_taken(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["custom", "--help"])
    printed = capsys.readouterr().out
    for key in ("name", "classes", "pattern", "protocols", "joints", "unit", "title", "licence"):
        assert f'"{key}":' in printed
    shown = printed[printed.index("  {\n") : printed.index("  }\n") + 4]
    text = re.sub(r"^ {30,}.*$|(?<=[,\"])  +\S.*$", "", shown, flags=re.MULTILINE)
    raw = write(tmp_path / "raw")
    (raw / "dataset.json").write_text(json.dumps(json.loads(text) | {"unit": "m"}))
    prepare(raw)


def test_classes_keep_their_names(tmp_path):
    known = load_datasets(prepare(write(tmp_path / "raw")))
    assert known["our_lab"].class_names == CLASSES


@pytest.mark.parametrize("moment", ["before", "after"])
def test_description_and_arrays_of_all_protocols_are_put_in_place_at_once(
    tmp_path, monkeypatch, moment
):
    """As a kill between any two steps would leave them."""
    two = {"cross_subject": CROSS, "wave_or_not": {"by": "class", "train": ["point"]}}
    old, new = changed(protocols=two, title="old"), changed(protocols=two, title="new", unit="cm")
    out = prepare(write(tmp_path / "raw", old))
    folder = out / "our_lab"
    (folder / "cross_subject" / "notes").write_text("mine")
    put_in_place = arrays_module.put_in_place

    def stop(*given: object, **more: object) -> None:
        if moment == "after":
            put_in_place(*given, **more)
        os._exit(9)

    write(tmp_path / "raw", new)
    child = os.fork()
    if not child:
        monkeypatch.setattr(arrays_module, "put_in_place", stop)
        prepare(tmp_path / "raw")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    titles = [json.loads((folder / "dataset.json").read_text())["title"]]
    for protocol in two:
        sizes = np.abs(load_arrays(folder / protocol, "train").data).max(axis=(1, 2, 3, 4))
        titles.append("new" if sizes.min() < 0.1 else "old")  # a .skeleton file has its own unit
    assert titles == (["new"] * 3 if moment == "after" else ["old"] * 3)
    prepare(tmp_path / "raw")
    assert json.loads((folder / "dataset.json").read_text())["title"] == "new"
    assert (folder / "cross_subject" / "notes").read_text() == "mine"
    assert [path.name for path in out.iterdir()] == ["our_lab"]
