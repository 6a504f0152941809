"""One's own recordings: described by a JSON, prepared like NTU, known to every script."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dataset.arrays import load_arrays
from dataset.protocols import DATASETS, PARTS, load_datasets, split_folder
from options import classification, pretraining
from tests.oracles.prepare import normalise_plain
from tests.support.other_formats import upright_body
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
    with pytest.raises(SystemExit) as exit_:
        prepare(raw)
    assert exit_.value.code == 2
    lines = capsys.readouterr().err.replace("\r", "\n").split("\n")
    return "\n".join(line for line in lines if line and "clip/s" not in line)


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
    data = pretraining.parse(["--pre-dataset", "our_lab", *where]).data
    assert (data.dataset, data.folder) == ("our_lab", folder)
    assert data.known.classes == 2
    assert data.known.source == "our lab, 2026"
    data = classification.parse(
        ["--finetune-dataset", "our_lab", "--pretrained", "random", *where]
    ).data
    assert (data.protocol, data.folder) == ("cross_subject", folder)


def test_its_folder_is_found_without_options_having_been_read(tmp_path):
    out = prepare(write(tmp_path / "raw"))
    known = load_datasets(out)
    assert known.keys() - DATASETS.keys() == {"our_lab"}
    assert split_folder(out, known["our_lab"], "cross_subject").is_dir()


def test_an_unknown_data_set_is_answered_with_the_known_ones_ours_among_them(tmp_path, capsys):
    out = prepare(write(tmp_path / "raw"))
    with pytest.raises(SystemExit):
        pretraining.parse(["--pre-dataset", "our_lap", "--data-path", str(out)])
    errors = capsys.readouterr().err
    assert "error: --pre-dataset our_lap: known are ntu60, " in errors
    assert "our_lab" in errors
    with pytest.raises(SystemExit):
        pretraining.parse(["--pre-dataset", "our_lab", "--data-path", str(out)])
    assert "--protocol cross_view: our_lab has cross_subject" in capsys.readouterr().err


def test_a_data_set_is_known_only_where_it_lies(tmp_path):
    load_datasets(prepare(write(tmp_path / "raw")))
    assert load_datasets(tmp_path / "elsewhere") == DATASETS
    assert "our_lab" not in DATASETS


def test_options_stay_free_of_numpy_with_ones_own_data(tmp_path):
    out = prepare(write(tmp_path / "raw"))
    program = (
        "import sys; from options.pretraining import parse\n"
        "where = ['--protocol', 'cross_subject', '--data-path', sys.argv[1]]\n"
        "parse(['--pre-dataset', 'our_lab', *where])\n"
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
    assert not (tmp_path / "data").exists()


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
        pretraining.parse(["--pre-dataset", "our_lab", "--data-path", str(out)])
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
    assert "no *.npy or *.skeleton file in it" in refused(raw, capsys)


def test_someone_to_train_on_who_is_in_no_recording_is_said(tmp_path, capsys):
    cross = CROSS | {"train": ["anna", "ben", "dora"]}
    prepare(write(tmp_path / "raw", changed(protocols={"cross_subject": cross})))
    assert "cross_subject: no recording has person dora" in capsys.readouterr().out
