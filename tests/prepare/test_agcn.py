"""2s-AGCN, MS-G3D and CMD arrays: taken over as they are, with the length of every clip."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from dataset.arrays import load_arrays
from dataset.protocols import NTU60, PARTS, PKU_MMD_PART2
from tests.oracles.prepare import normalise_plain
from tests.support.other_formats import (
    draw_recordings,
    label_of,
    refusal,
    split_of,
    upright_body,
    write_split,
)
from tools.prepare.__main__ import main
from tools.prepare.formats.agcn import repeats_after

PARSED = draw_recordings()
CLIPS = {name: normalise_plain(parsed) for name, parsed in PARSED.items()}
CROSS_VIEW = ("--dataset", "ntu60", "--protocol", "cross_view")


def write(folder: Path, clips: dict[str, np.ndarray], **frames: list[int]) -> Path:
    """Write a folder as 2s-AGCN does; with counts of `train` and `val`, as CMD does."""
    write_split(folder, "data_joint", clips, lambda one: np.float64(one % 51) if frames else one)
    for part, counts in frames.items():
        np.save(folder / f"{part}_num_frame.npy", np.array(counts))
    return folder


def prepare(raw: Path, *more: str) -> Path:
    out = raw.parent / "data"
    main(["agcn", "--raw", str(raw), "--out", str(out), "-j", "1", *(more or CROSS_VIEW)])
    return out


def test_clips_stay_bit_for_bit_and_their_lengths_are_recovered(tmp_path, capsys):
    out = prepare(write(tmp_path / "raw", CLIPS))
    for part in PARTS:
        arrays = load_arrays(out / NTU60.folders["cross_view"], part)
        names = [name for name in sorted(CLIPS) if split_of(name, "cross_view") == part]
        assert arrays.names == [f"{name}.skeleton" for name in names]
        for clip, frames, label, name in zip(
            arrays.data, arrays.num_frames, arrays.labels, names, strict=True
        ):
            assert np.array_equal(clip, CLIPS[name])
            assert (frames, label) == (PARSED[name].shape[1], label_of(name))
    said = "12 clips with the length recovered from its repetition"
    assert said in capsys.readouterr().out


def moving(frames: int, second: int = 0) -> np.ndarray:
    """A clip (3, F, 25, 2), whose second body is there for so many frames."""
    generator = np.random.default_rng(frames)
    bodies = np.zeros((2, frames, 25, 3), np.float32)
    bodies[0] = upright_body(generator, frames)
    bodies[1, :second] = upright_body(generator, second) if second else 0
    return bodies.transpose(3, 1, 2, 0)


@pytest.mark.parametrize(
    ("frames", "second"),
    [(1, 0), (2, 2), (150, 0), (151, 151), (298, 298), (299, 0), (90, 40), (200, 30), (83, 3)],
)
def test_the_period_is_the_length_of_the_longer_body(frames, second):
    assert repeats_after(normalise_plain(moving(frames, second))) == frames


def test_the_first_body_may_leave_before_the_second():
    parsed = moving(120, 120)
    parsed[:, 70:, :, 0] = 0
    assert repeats_after(normalise_plain(parsed)) == 120


def test_a_clip_that_does_not_repeat_counts_all_its_frames(tmp_path, capsys):
    name = next(iter(CLIPS))
    clips = CLIPS | {name: normalise_plain(moving(300, 300))}
    almost = normalise_plain(moving(60))
    almost[0, 250, 3, 0] += 0.001
    clips[sorted(CLIPS)[1]] = almost
    out = prepare(write(tmp_path / "raw", clips))
    part = split_of(name, "cross_view")
    arrays = load_arrays(out / NTU60.folders["cross_view"], part)
    row = arrays.names.index(f"{name}.skeleton")
    assert arrays.num_frames[row] == 300
    assert np.array_equal(arrays.data[row], clips[name])
    printed = capsys.readouterr().out
    assert "10 clips with the length recovered from its repetition" in printed
    assert "2 clips without repetition that shows: counted as 300 frames" in printed


def test_cmds_counts_are_taken_and_clamped_and_its_float_labels_read(tmp_path, capsys):
    sizes = {
        part: [PARSED[name].shape[1] for name in CLIPS if split_of(name, "cross_view") == part]
        for part in PARTS
    }
    sizes["train"][2] = 512
    raw = write(tmp_path / "raw", CLIPS, **sizes)
    out = prepare(raw, "--dataset", "pku_mmd_part2", "--protocol", "cross_view")
    printed = capsys.readouterr()
    most = "1 clips count more than 300 frames, up to 512; 300 are there and are taken"
    assert f"warning: {raw / 'train_num_frame.npy'}: {most}" in printed.err
    assert "recovered" not in printed.out
    sizes["train"][2] = 300
    for part in PARTS:
        arrays = load_arrays(out / PKU_MMD_PART2.folders["cross_view"], part)
        assert arrays.num_frames.tolist() == sizes[part]
        labels = [label_of(name.removesuffix(".skeleton")) % 51 for name in arrays.names]
        assert arrays.labels.tolist() == labels


def test_empty_clips_are_left_out_and_counted(tmp_path, capsys):
    name = next(iter(CLIPS))
    prepare(write(tmp_path / "raw", CLIPS | {name: np.zeros((3, 300, 25, 2), np.float32)}))
    assert "1 clip left out: nothing was recorded" in capsys.readouterr().out


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_coordinate_that_is_not_finite_is_named_and_numpy_says_nothing(tmp_path, capsys):
    name = next(iter(CLIPS))
    clip = CLIPS[name].copy()
    clip[0, 0, 5, 0] = np.inf
    raw = write(tmp_path / "raw", CLIPS | {name: clip})
    errors = refusal(lambda: prepare(raw), tmp_path / "data", capsys)
    assert "it has a coordinate that is not finite in frame 0\n" in errors


def test_two_processes_write_the_same_bytes(tmp_path):
    raw = write(tmp_path / "raw", CLIPS)
    one, two = prepare(raw), tmp_path / "two"
    main(["agcn", "--raw", str(raw), "--out", str(two), "-j", "2", *CROSS_VIEW])
    for path in one.rglob("*.*"):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()


def spoilt(tmp_path: Path, how: str) -> tuple[Path, tuple[str, ...]]:
    """A folder with a fault, and the options to prepare it with."""
    clips, given = CLIPS, CROSS_VIEW
    if how == "raw":
        clips = {name: np.zeros((3, 300, 25, 2), np.float32) for name in PARSED}
        for name, parsed in PARSED.items():
            clips[name][:, : parsed.shape[1]] = parsed
    raw = write(tmp_path / "raw", clips)
    path = raw / "val_label.pkl"
    names, labels = pickle.loads(path.read_bytes())
    contents = {
        "class": (names, [*labels[:-1], 60]),
        "half": (names, [*labels[:-1], 1.5]),
        "text": (names, ["x"] * len(names)),
        "short": (names[:-1], labels[:-1]),
        "twice": ([names[0], *names[:-1]], labels),
        "name": ([7, *names[1:]], labels),
        "lists": (names, labels, names),
    }
    if how in contents:
        path.write_bytes(pickle.dumps(contents[how]))
    elif how == "gone":
        (raw / "val_data_joint.npy").unlink()
    elif how == "turned":
        given = (*CROSS_VIEW, "--no-rotate-z")
    elif how == "split":
        given = ("--dataset", "ntu60", "--protocol", "cross_subject")
    return raw, given


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        ("raw", "its origin is nowhere on the body, as in raw files, PYSKL, MMAction2 and ST-GCN;"),
        ("raw", "try python -m tools.prepare stgcn"),
        ("class", "val_label.pkl: class 60 is not 0 to 59; choose --dataset"),
        ("half", "val_label.pkl: class 1.5 is not a whole number"),
        ("text", "val_label.pkl: class 'x' is not a whole number"),
        ("short", "val_data_joint.npy holds 6 clips, val_label.pkl names 5"),
        ("twice", "is twice in it, in val and in val"),
        ("name", "val_label.pkl: a name is int, not text"),
        ("lists", "val_label.pkl is not a pickle of names and classes"),
        ("gone", "val_data_joint.npy; give --raw the folder of one split"),
        ("turned", "--no-rotate-z given: these clips are turned already; leave it out"),
        ("split", "but not by cross_subject of ntu60; choose another --protocol or --dataset"),
    ],
)
def test_what_is_no_such_folder_is_refused_in_one_line(tmp_path, capsys, how, fault):
    raw, given = spoilt(tmp_path, how)
    errors = refusal(lambda: prepare(raw, *given), tmp_path / "data", capsys)
    assert errors.startswith("error: ")
    assert fault in errors
    assert errors.count("\n") == 0
