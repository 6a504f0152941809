"""UTD-MHAD: the mapping of joints, the split, and every fault of a file."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from dataset.arrays import load_arrays
from tests.oracles.prepare import normalise_plain
from tools.prepare.__main__ import main
from tools.prepare.formats.utd_mhad import read
from tools.prepare.pipeline.recordings import Recording

# 0-based, NTU <- UTD, as the data set's description pairs them
PAIRS = {0: 3, 1: 2, 2: 1, 3: 0} | {joint: joint for joint in range(4, 20)}
PAIRS |= {20: 1, 21: 7, 22: 7, 23: 11, 24: 11}


def skeleton(seed: int, num_frames: int = 41) -> np.ndarray:
    generator = np.random.default_rng(seed)
    sway = generator.normal(0, 0.02, size=(20, 3, num_frames)).cumsum(axis=2)
    return generator.normal((0, 0, 3), 0.4, size=(20, 3))[..., None] + sway


def write(folder: Path, name: str, content: np.ndarray, key: str = "d_skel") -> Path:
    path = folder / f"{name}_skeleton.mat"
    savemat(path, {key: content})
    return path


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for seed in range(8):
        write(folder, f"a{seed + 5}_s{seed + 1}_t1", skeleton(seed, 41 + seed))
    return folder


def test_joints_are_mapped_onto_the_25(raw):
    path = raw / "a5_s1_t1_skeleton.mat"
    parsed = read(Recording(path.name, path, 4, {}))
    assert parsed.shape == (3, 41, 25, 2)
    for joint, source in PAIRS.items():
        assert np.allclose(parsed[:, :, joint, 0], skeleton(0)[source])
    assert not parsed[..., 1].any()


def test_recordings_are_split_by_subject_and_normalised(raw, tmp_path, capsys):
    out = tmp_path / "data"
    main(["utd-mhad", "--raw", str(raw), "--out", str(out), "-j", "1"])
    train, val = (load_arrays(out / "UTD-MHAD" / "xsub", part) for part in ("train", "val"))
    assert train.names == sorted(f"a{n + 5}_s{n + 1}_t1_skeleton.mat" for n in (0, 2, 4, 6))
    assert val.names == sorted(f"a{n + 5}_s{n + 1}_t1_skeleton.mat" for n in (1, 3, 5, 7))
    for arrays in (train, val):
        for clip, num_frames, label, name in zip(
            arrays.data, arrays.num_frames, arrays.labels, arrays.names, strict=True
        ):
            seed = int(name[1 : name.index("_")]) - 5
            assert label == seed + 4
            assert num_frames == 41 + seed
            parsed = np.zeros((3, num_frames, 25, 2), np.float32)
            for joint, source in PAIRS.items():
                parsed[:, :, joint, 0] = skeleton(seed, num_frames)[source]
            assert np.abs(clip - normalise_plain(parsed)).max() < 1e-5
    assert capsys.readouterr().out == (
        f"UTD-MHAD in {out}:\n"
        "  UTD-MHAD/xsub: train 4, val 4; published: train 431, val 430\n"
        "  not the published clips: a part of UTD-MHAD, or other recordings like it\n"
    )


NAN = skeleton(0)
NAN[3, 1, 7] = np.nan


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (skeleton(0)[:19], "its d_skel has shape (19, 3, 41), not (20, 3, frames)"),
        (skeleton(0)[..., 0], "its d_skel has shape (20, 3), not (20, 3, frames)"),
        (skeleton(0, 301), "it has 301 frames, not 1 to 300"),
        (np.zeros((20, 3, 0)), "not 1 to 300"),
        (NAN, "it has a coordinate that is not finite in frame 7"),
        (skeleton(0) + 1j, "(d_skel does not hold numbers)"),
        (b"MATLAB?", "it is not a whole MATLAB 5 file"),
        (b"", "it is not a whole MATLAB 5 file"),
        (pickle.dumps(0), "it is not a whole MATLAB 5 file"),
        ("cut", "it is not a whole MATLAB 5 file"),
        ("other", "it has no d_skel"),
    ],
)
def test_bad_files_are_named(raw, tmp_path, capsys, content, fault):
    path = write(raw, "a1_s1_t9", skeleton(0))
    if isinstance(content, np.ndarray):
        write(raw, "a1_s1_t9", content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        write(raw, "a1_s1_t9", skeleton(0), key="skeleton")
    with pytest.raises(SystemExit) as exit_:
        main(["utd-mhad", "--raw", str(raw), "--out", str(tmp_path / "data"), "-j", "1"])
    assert exit_.value.code == 2
    errors = capsys.readouterr().err.rpartition("\r")[2].split("\n", 1)[1]
    assert errors.startswith(f"bad file {path}: ")
    assert fault in errors
    assert errors.endswith(
        "error: 1 bad file, nothing written; mend or remove them, or leave "
        "them out with --skip-bad\n"
    )
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["a28_s1_t1", "a0_s1_t1", "a1_s9_t1", "a1_s0_t1", "b1_s1_t1"])
def test_names_off_the_pattern_are_bad_files(raw, tmp_path, capsys, name):
    path = write(raw, name, skeleton(0))
    with pytest.raises(SystemExit):
        main(["utd-mhad", "--raw", str(raw), "--out", str(tmp_path / "data")])
    assert capsys.readouterr().err.startswith(
        f"bad file {path}: its name is not a{{1 to 27}}_s{{1 to 8}}_t{{trial}}_skeleton.mat\n"
    )


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    write(tmp_path, "video", skeleton(0))
    with pytest.raises(SystemExit):
        main(["utd-mhad", "--raw", str(tmp_path)])
    assert capsys.readouterr().err == f"error: --raw {tmp_path}: no UTD-MHAD skeleton in it\n"


def test_a_name_of_another_type_is_refused(tmp_path):
    path = write(tmp_path, "a1_s1_t1", skeleton(0))
    content = bytearray(path.read_bytes())
    tag = content.index(b"d_skel") - 8
    assert content[tag : tag + 8] == bytes((1, 0, 0, 0, 6, 0, 0, 0))  # miINT8, six bytes
    content[tag] = 2
    path.write_bytes(content)
    with pytest.raises(ValueError, match="the name of an array is of type 2"):
        read(Recording(path.name, path, 0, {}))
