"""Clips resized to 50 frames: taken over as they are, marked, and not mixed with others."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.arrays import load_arrays
from dataset.packed import PackedSplit
from dataset.protocols import PARTS
from options.groups import DataOptions, EvaluationOptions, RunOptions
from tests.support.other_formats import draw_recordings, frame50_clip, label_of, split_of
from tests.support.tiny import write_checkpoint, write_dataset
from tools.evaluation.subject import Downstream
from tools.prepare.__main__ import main
from tools.prepare.formats import frame50

PARSED = draw_recordings()
CLIPS = {name: frame50_clip(parsed) for name, parsed in PARSED.items()}
FOLDER = "NTU60_frame50/xview"


def names_of(part: str) -> list[str]:
    return [name for name in reversed(PARSED) if split_of(name, "cross_view") == part]


@pytest.fixture
def raw(tmp_path):
    """A folder as the AimCLR family writes it: not sorted, labels (N, 1), no names."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for part in PARTS:
        names = names_of(part)
        np.save(folder / f"{part}_position.npy", np.stack([CLIPS[name] for name in names]))
        labels = np.array([[label_of(name)] for name in names], dtype=np.int64)
        np.save(folder / f"{part}_label.npy", labels)
        np.save(folder / f"{part}_motion.npy", np.zeros(3))
    return folder


def write_pickles(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for part in PARTS:
        names = names_of(part)
        content = ([f"{name}.skeleton" for name in names], [label_of(name) for name in names])
        (folder / f"{part}_label.pkl").write_bytes(pickle.dumps(content))
    return folder


def prepare(raw: Path, *more: str) -> Path:
    out = raw.parent / "data"
    arguments = ["frame50", "--raw", str(raw), "--out", str(out), "--dataset", "ntu60_frame50"]
    main([*arguments, "--protocol", "cross_view", *more])
    return out


def refused(raw: Path, capsys, *more: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        prepare(raw, *more)
    assert exit_.value.code == 2
    assert not any(path.is_file() for path in (raw.parent / "data").rglob("*"))
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    return errors


def test_clips_are_taken_over_in_their_order_and_numbered(raw, capsys):
    out = prepare(raw)
    for part in PARTS:
        arrays = load_arrays(out / FOLDER, part)
        names = names_of(part)
        assert np.array_equal(arrays.data, np.stack([CLIPS[name] for name in names]))
        assert arrays.num_frames.tolist() == [50] * len(names)
        assert arrays.labels.tolist() == [label_of(name) for name in names]
        assert arrays.names == [f"{part}_{row}" for row in range(len(names))]
        assert arrays.resized
    printed = capsys.readouterr().out
    assert "NTU RGB+D 60, 50 frames" in printed
    assert "NTU60_frame50/xview: train 6, val 6" in printed
    assert "placeholders" in printed
    assert "lost: the recorded length" in printed
    assert sorted(os.listdir(out / FOLDER)) == [
        "prepared.json",
        *(f"{part}_{what}" for part in PARTS for what in ("label.pkl", "position.npy")),
    ]


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_names_come_from_a_label_pickle_here_or_in_the_parent_set(raw, where):
    if where == "here":
        write_pickles(raw)
        out = prepare(raw)
    else:
        out = prepare(raw, "--labels", str(write_pickles(raw.parent / "ntu60")))
    for part in PARTS:
        arrays = load_arrays(out / FOLDER, part)
        assert arrays.names == [f"{name}.skeleton" for name in names_of(part)]


def test_a_folder_of_the_family_also_loads_where_it_lies(raw):
    arrays = load_arrays(raw, "val")
    assert arrays.labels.tolist() == [label_of(name) for name in names_of("val")]
    assert arrays.names[0] == "val_0"
    split = PackedSplit.from_arrays(arrays)
    assert split.num_frames.tolist() == [50] * 6


GOOD = np.stack([CLIPS[name] for name in names_of("val")])
NAN = GOOD.copy()
NAN[2, 1, 3, 4, 0] = np.nan


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("position", GOOD[:, :, :32], "clips of 32 frames; ntu60_frame50 has 50"),
        ("position", GOOD[:5], "names 6 clips, val_position.npy holds 5"),
        ("position", GOOD.astype(np.float64), "holds float64, not float32"),
        ("label", np.array([[1, 2]] * 6), "has shape (6, 2), not (N,) or (N, 1)"),
        ("label", np.full((6, 1), -1), "holds what is not an integer from 0 on"),
        ("label", np.ones((6, 1)), "holds what is not an integer from 0 on"),
    ],
)
def test_what_does_not_fit_is_refused(raw, capsys, name, array, fault):
    np.save(raw / f"val_{name}.npy", array)
    errors = refused(raw, capsys)
    assert f"val_{name}.npy" in errors
    assert fault in errors


@pytest.mark.parametrize(
    ("name", "array", "fault"),
    [
        ("position", NAN, "it has a coordinate that is not finite"),
        ("label", np.array([[1], [1], [60], [1], [1], [1]]), "its class 60 is not 0 to 59"),
    ],
)
def test_a_bad_clip_is_named_and_can_be_left_out(raw, capsys, name, array, fault):
    np.save(raw / f"val_{name}.npy", array)
    with pytest.raises(SystemExit) as exit_:
        prepare(raw)
    assert exit_.value.code == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first == f"bad clip {raw / 'val_position.npy' / 'val_2'}: {fault}"
    assert last.startswith("error: 1 bad clip, nothing written; mend or remove them, or leave them")
    assert not (raw.parent / "data").exists()
    out = prepare(raw, "--skip-bad")
    said = capsys.readouterr()
    assert "  1 bad clip skipped\n" in said.out
    assert f"bad clip {raw / 'val_position.npy' / 'val_2'}: {fault}\n" in said.err
    arrays = load_arrays(out / FOLDER, "val")
    assert arrays.names == [f"val_{row}" for row in (0, 1, 3, 4, 5)]
    assert np.array_equal(arrays.data, GOOD[[0, 1, 3, 4, 5]])
    assert len(arrays.labels) == 5
    assert arrays.prepared["skipped"] == {str(raw / "val_position.npy" / "val_2"): fault}


def test_missing_files_are_named(raw, capsys):
    (raw / "val_label.npy").unlink()
    errors = refused(raw, capsys)
    assert f"no label file {raw}/val_label.npy or val_label.pkl" in errors
    assert "--labels" in errors
    (raw / "val_position.npy").unlink()
    assert f"no file {raw}/val_position.npy" in refused(raw, capsys)


def test_labels_of_another_order_are_noticed(raw, capsys):
    folder = write_pickles(raw.parent / "ntu60")
    names, labels = names_of("val"), [label_of(name) for name in names_of("val")]
    (folder / "val_label.pkl").write_bytes(pickle.dumps((names[::-1], labels[::-1])))
    errors = refused(raw, capsys, "--labels", str(folder))
    assert "differ from" in errors
    assert "in clip 0" in errors


def test_clips_of_300_frames_are_told_what_they_are(raw, capsys):
    long = np.zeros((6, 3, 300, 25, 2), np.float32)
    np.save(raw / "val_position.npy", long)
    assert "clips of 300 frames" in refused(raw, capsys)


def test_another_origin_is_said(raw, capsys):
    np.save(raw / "val_position.npy", GOOD + 1)
    prepare(raw)
    assert "warning: " in capsys.readouterr().err


def test_a_data_set_of_recorded_lengths_is_refused(raw, capsys):
    with pytest.raises(SystemExit):
        prepare(raw, "--dataset", "ntu60")
    assert (
        "--dataset ntu60: known are pku_part1, pku_part2, ntu60_frame50" in capsys.readouterr().err
    )


def test_a_failure_leaves_nothing_unfinished(raw, capsys, monkeypatch):
    def full(writer, arrays, rows):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(frame50, "_write", full)
    assert "No space left on device" in refused(raw, capsys)


def checkpoint_of(path: Path, dataset: str) -> str:
    write_checkpoint(path)
    payload = torch.load(path, weights_only=True)
    torch.save(payload | {"data": {"dataset": dataset}}, path)
    return str(path)


@pytest.mark.parametrize(
    ("pretrained_on", "evaluated_on", "fits"),
    [
        ("ntu60", "ntu60", True),
        ("ntu60_frame50", "ntu60_frame50", True),
        ("pku_part1", "ntu60_frame50", True),
        ("ntu60", "ntu60_frame50", False),
        ("pku_part2", "ntu60", False),
        ("our_lab", "ntu60", True),
        ("our_lab", "ntu60_frame50", False),
        ("", "ntu60_frame50", True),
    ],
)
def test_resized_and_recorded_lengths_are_not_mixed(
    tmp_path, raw, pretrained_on, evaluated_on, fits
):
    pretrained = checkpoint_of(tmp_path / "checkpoint_0001.pth.tar", pretrained_on)
    data = (
        prepare(raw) if "frame50" in evaluated_on else write_dataset(tmp_path / "d").parent.parent
    )

    def evaluate() -> None:
        options = EvaluationOptions(
            pretrained=str(pretrained),
            data=DataOptions(dataset=evaluated_on, data_path=data),
            run=RunOptions(device="cpu", seed=0),
        )
        Downstream.open(options)

    if fits:
        return evaluate()
    with pytest.raises(ValueError, match="50 frames") as error:
        evaluate()
    assert pretrained_on in str(error.value)
    return None
