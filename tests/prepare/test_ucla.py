"""NW-UCLA: the mapping of joints, the split by view, duplicates, and every fault of a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from dataset.arrays import load_arrays
from tests.oracles.prepare import normalise_plain
from tools.prepare.__main__ import main

# 0-based, NTU <- first Kinect, hip centre first
PAIRS = {joint: joint for joint in range(20)} | {20: 2, 21: 7, 22: 7, 23: 11, 24: 11}


def skeleton(seed: int, num_frames: int = 12) -> np.ndarray:
    generator = np.random.default_rng(seed)
    sway = generator.normal(0, 0.02, size=(num_frames, 20, 3)).cumsum(axis=0)
    return generator.normal((0, 0, 3), 0.4, size=(20, 3)) + sway


def write(folder: Path, name: str, label: object, skeletons: np.ndarray) -> Path:
    path = folder / f"{name}.json"
    content = {"file_name": name, "label": label, "skeletons": skeletons.tolist()}
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed in range(9):
        view, action = 1 + seed % 3, (1, 8, 12)[seed // 3]
        write(folder, f"a{action:02}_s01_e0{seed}_v0{view}", 1 + seed, skeleton(seed, 12 + seed))
    return folder


def prepare(raw: Path, *more: str) -> Path:
    out = raw.parent / "data"
    main(["ucla", "--raw", str(raw), "--out", str(out), "-j", "1", *more])
    return out


def test_recordings_are_split_by_view_and_normalised(raw, capsys):
    out = prepare(raw)
    for part, seeds in (("train", (0, 1, 3, 4, 6, 7)), ("val", (2, 5, 8))):
        arrays = load_arrays(out / "NW-UCLA" / "xview", part)
        assert [int(name[10]) for name in arrays.names] == list(seeds)
        assert arrays.labels.tolist() == list(seeds)
        for clip, num_frames, seed in zip(arrays.data, arrays.num_frames, seeds, strict=True):
            plain = np.zeros((3, 12 + seed, 25, 2), np.float32)
            for joint, source in PAIRS.items():
                plain[:, :, joint, 0] = skeleton(seed, 12 + seed)[:, source].T
            assert num_frames == 12 + seed
            assert np.abs(clip - normalise_plain(plain)).max() < 1e-5
    printed = capsys.readouterr().out
    assert "  NW-UCLA/xview: train 6, val 3; published: train 1,020, val 464\n" in printed
    assert "also in the training part" not in printed


def test_test_clips_that_are_training_clips_too_are_counted_and_kept(raw, capsys):
    for take in (1, 2):
        write(raw, f"a02_s01_e1{take}_v02", 2, skeleton(99))
        write(raw, f"a02_s01_e1{take}_v03", 2, skeleton(99))
    out = prepare(raw)
    said = "xview: 2 of 5 test clips also in the training part, frame for frame"
    assert said in capsys.readouterr().out
    assert len(load_arrays(out / "NW-UCLA" / "xview", "val").names) == 5


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("a01_s01_e99_v04", "{}", "its name is not a{action}_s{subject}_e{take}_v{1 to 3}.json"),
        ("a01_s01_e99_v01", "{", "it is not JSON"),
        ("a01_s01_e99_v01", "[" * 100_000, "it is not JSON"),
        ("a01_s01_e99_v01", "\x80", "it is not JSON"),
        ("a01_s01_e99_v01", '{"label": 1}', "it is no object with label and skeletons"),
        ("a01_s01_e99_v01", '{"label": 11, "skeletons": []}', "its label is 11, not 1 to 10"),
        ("a01_s01_e99_v01", '{"label": 0, "skeletons": []}', "its label is 0, not 1 to 10"),
        ("a01_s01_e99_v01", '{"label": "1", "skeletons": []}', "its label is '1', not 1 to 10"),
        ("a01_s01_e99_v01", '{"label": 1, "skeletons": []}', "shape (0,), not (frames, 20, 3)"),
        ("a01_s01_e99_v01", '{"label": 1, "skeletons": [[1], 2]}', "are not frames of joints of"),
        ("a01_s01_e99_v01", '{"label": 1, "skeletons": [[["x"]]]}', "are not frames of joints of"),
    ],
)
def test_bad_files_are_named_and_can_be_left_out(raw, capsys, name, text, fault):
    path = raw / f"{name}.json"
    path.write_bytes(text.encode("latin1"))
    with pytest.raises(SystemExit) as exit_:
        prepare(raw)
    assert exit_.value.code == 2
    first, *rest = capsys.readouterr().err.strip().splitlines()
    assert first.startswith(f"bad file {path}: ")
    assert fault in first
    assert len(rest) == 1
    assert len(load_arrays(prepare(raw, "--skip-bad") / "NW-UCLA" / "xview", "train").names) == 6


@pytest.mark.parametrize(
    ("skeletons", "fault"),
    [
        (skeleton(0)[:, :19], "its skeletons have shape (12, 19, 3), not (frames, 20, 3)"),
        (skeleton(0, 301), "it has 301 frames, not 1 to 300"),
        (skeleton(0) * np.nan, "it has a coordinate that is not finite in frame 0"),
    ],
)
def test_bad_skeletons_are_named(raw, capsys, skeletons, fault):
    write(raw, "a01_s01_e99_v01", 1, skeletons)
    with pytest.raises(SystemExit):
        prepare(raw)
    assert fault in capsys.readouterr().err
