"""What a preparation says of its arrays: complete, checked, and no arrays replaced unasked."""

import errno
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from dataset import swap
from dataset.arrays import load_arrays, load_split
from dataset.prepared import describe
from dataset.protocols import NTU60
from tests.prepare.kills import write_custom, write_frame50, write_pku
from tests.support.other_formats import draw_recordings, npz_content, write_ntu
from tests.support.paths import ROOT
from tools.prepare.__main__ import main
from tools.prepare.pipeline import publication
from tools.prepare.pipeline.publication import VERSION

PARSED = draw_recordings()
VIEW = NTU60.folders["cross_view"]


def said_of(folder: Path) -> dict:
    return json.loads((folder / "prepared.json").read_text())


@pytest.fixture
def raw(tmp_path):
    return write_ntu(tmp_path / "raw", PARSED)


@pytest.fixture
def prepare(tmp_path):
    """Prepare raw files into one folder and return it."""

    def to_arrays(source: Path, *more: str, format: str = "ntu") -> Path:
        out = tmp_path / "data"
        jobs = [] if format == "frame50" else ["-j", "1"]
        main([format, "--raw", str(source), "--out", str(out), *jobs, *more])
        return out

    return to_arrays


@pytest.fixture
def refused(prepare, capsys):
    """Prepare what must be refused and return the one line that says why."""

    def one_line(source: Path, *more: str, format: str = "ntu") -> str:
        with pytest.raises(SystemExit) as exit_:
            prepare(source, *more, format=format)
        assert exit_.value.code == 2
        return capsys.readouterr().err.strip().split("\n")[-1]

    return one_line


def npz_file(tmp_path: Path, content: dict) -> Path:
    np.savez(tmp_path / "NTU60_CV.npz", **content)
    return tmp_path / "NTU60_CV.npz"


def test_arrays_say_where_they_come_from(raw, prepare):
    out = prepare(raw, "--no-rotate-z")
    for folder in NTU60.folders.values():
        said = said_of(out / folder)
        assert said["format"] == "ntu"
        assert NTU60.folders[said["protocol"]] == folder
        assert said["source"] == {"raw": str(raw), "count": 12, "item": "file"}
        assert said["options"]["no_rotate_z"] is True
        assert said["counts"] == {"train": 6, "val": 6} if folder == VIEW else said["counts"]
        assert said["twins"] == 0
        files = {path.name: path for path in (out / folder).iterdir()}
        assert said["sha256"].keys() == files.keys() - {"prepared.json"}
        for name, digest in said["sha256"].items():
            assert hashlib.sha256(files[name].read_bytes()).hexdigest() == digest
        line = describe(load_arrays(out / folder, "val").prepared)
        assert line.startswith("prepared by ntu from 12 files, version ")
        assert line.endswith(said["generation"][:16])


def test_the_version_is_the_projects():
    assert f'version = "{VERSION}"' in (ROOT / "pyproject.toml").read_text().split("\n")


def test_the_same_source_gives_the_same_name_and_another_gives_another(tmp_path, raw, prepare):
    first = said_of(prepare(raw) / VIEW)["generation"]
    assert said_of(prepare(raw) / VIEW)["generation"] == first
    other = write_ntu(tmp_path / "other", draw_recordings(1))
    assert said_of(prepare(other, "--overwrite") / VIEW)["generation"] != first


def test_arrays_of_another_source_are_replaced_on_demand_only(tmp_path, raw, prepare, refused):
    out = prepare(raw)
    other = write_ntu(tmp_path / "other", draw_recordings(1))
    before = said_of(out / VIEW)
    error = refused(other)
    assert "holds other arrays (prepared by ntu from 12 files" in error
    assert f"read from {raw}" in error
    assert "--overwrite" in error
    assert said_of(out / VIEW) == before
    (out / VIEW / "prepared.json").write_text(json.dumps(before | {"format": "pyskl"}))
    assert "holds other arrays (prepared by pyskl from 12 files" in refused(raw)
    (out / VIEW / "prepared.json").unlink()
    assert "nothing says where these arrays come from" in refused(raw)
    prepare(raw, "--overwrite")
    assert said_of(out / VIEW) == before


def test_frame50_of_another_source_is_replaced_on_demand_only(tmp_path, prepare, refused):
    for seed in (0, 1):
        write_frame50(tmp_path / str(seed), seed)
    chosen = ("--dataset", "ntu60_frame50", "--protocol", "cross_view")
    out = prepare(tmp_path / "0", *chosen, format="frame50")
    before = {path: path.read_bytes() for path in out.rglob("*.*")}
    assert f"read from {tmp_path / '0'}" in refused(tmp_path / "1", *chosen, format="frame50")
    assert {path: path.read_bytes() for path in out.rglob("*.*")} == before
    prepare(tmp_path / "1", *chosen, "--overwrite", format="frame50")


def test_a_stop_after_the_exchange_does_not_take_the_old_arrays_for_the_new(
    tmp_path, raw, prepare, monkeypatch
):
    out = prepare(raw)
    old = load_arrays(out / VIEW, "train").data.copy()
    other = write_ntu(tmp_path / "other", draw_recordings(1))

    def stopped(old, folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(swap, "_remove", stopped)
        with pytest.raises(SystemExit):
            prepare(other, "--overwrite")
    prepare(other, "--overwrite")
    assert not np.array_equal(load_arrays(out / VIEW, "train").data, old)
    main(["verify", "--data-path", str(out)])
    assert not list(out.rglob("*.partial"))


def test_half_a_prepared_json_on_a_full_disk_is_written_anew(raw, prepare, refused, monkeypatch):
    def half(path, content):
        path.write_bytes(content[:9])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(publication, "write_unfinished", half)
        line = refused(raw)
    assert re.search(r"\.partial/prepared\.json: the disk is full; \d+\.\d MB are free", line)
    assert said_of(prepare(raw) / VIEW)["counts"] == {"train": 6, "val": 6}


def test_verify_compares_every_byte(raw, prepare, capsys):
    out = prepare(raw)
    main(["verify", "--data-path", str(out)])
    assert capsys.readouterr().out.count(": whole; prepared by ntu from 12 files") == 2
    for name in ("train_data_joint.npy", "val_label.pkl", "val_num_frame.npy"):
        path = out / VIEW / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(SystemExit) as exit_:
            main(["verify", "--data-path", str(out), "--dataset", "ntu60"])
        assert exit_.value.code == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert f"{out / VIEW}: {name} changed since it was prepared" in captured.err
        assert ": whole; " in captured.out
        path.write_bytes(content)
    (out / VIEW / "prepared.json").unlink()
    main(["verify", "--data-path", str(out)])
    assert "xview: not checked; nothing says where" in capsys.readouterr().out


@pytest.mark.parametrize("dataset", ["", "ntu120", "nonsense"])
def test_verify_refuses_where_there_is_nothing_to_check(tmp_path, capsys, dataset):
    (tmp_path / "data").mkdir()
    with pytest.raises(SystemExit) as exit_:
        main(["verify", "--data-path", str(tmp_path / "data"), "--dataset", dataset])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda said: said | {"counts": {"train": 5, "val": 6}}, "speaks of 5 train clips"),
        (lambda said: said | {"generation": "0" * 64}, "prepared.json is damaged"),
        (lambda said: said | {"source": 3}, "prepared.json is damaged"),
        (lambda said: [said], "prepared.json is damaged"),
        (lambda said: {}, "prepared.json is damaged"),
    ],
)
def test_a_prepared_json_of_other_arrays_or_a_damaged_one_is_refused(raw, prepare, change, fault):
    folder = prepare(raw) / VIEW
    (folder / "prepared.json").write_text(json.dumps(change(said_of(folder))))
    with pytest.raises(ValueError, match=fault):
        load_split(folder)


def test_test_clips_that_also_train_are_counted_by_content(tmp_path, prepare, capsys):
    content = npz_content(PARSED, "cross_view")
    content["x_test"][[0, 3]] = content["x_train"][[4, 1]]
    source = npz_file(tmp_path, content)
    out = prepare(source, "--protocol", "cross_view", format="npz")
    assert "xview: 2 of 6 test clips also in the training part" in capsys.readouterr().out
    assert said_of(out / VIEW)["twins"] == 2


def test_a_body_written_twice_is_left_out_and_counted(tmp_path, prepare, capsys):
    content = npz_content(PARSED, "cross_view")
    once = prepare(npz_file(tmp_path, content), "--protocol", "cross_view", format="npz")
    before = [arrays.data.copy() for arrays in load_split(once / VIEW)]
    alone = 0
    for part in ("x_train", "x_test"):
        for row in content[part]:
            if not row[:, 75:].any():
                row[:, 75:] = row[:, :75]
                alone += 1
    capsys.readouterr()
    out = prepare(npz_file(tmp_path, content), "--protocol", "cross_view", format="npz")
    assert alone == 6
    remark = "6 clips with one body written twice: the second, an exact copy, is left out"
    assert remark in capsys.readouterr().out
    assert remark in said_of(out / VIEW)["remarks"]
    for arrays, data in zip(load_split(out / VIEW), before, strict=True):
        assert np.array_equal(arrays.data, data)


def test_clips_of_a_video_that_was_cut_are_counted(tmp_path, prepare, capsys):
    write_pku(tmp_path / "pku", 0)
    video = tmp_path / "pku" / "skeleton" / "0002-L.txt"
    labels = (tmp_path / "pku" / "label" / "0002-L.txt").read_text().split("\n")
    second = int(labels[1].split(",")[1])
    lines = video.read_text().splitlines(keepends=True)
    video.write_text("".join(lines[: second + 1]))  # two frames of the second, none of the third
    prepare(tmp_path / "pku", format="pku-mmd")
    out = capsys.readouterr().out
    assert "1 clip shorter than labelled: the video ends within it" in out
    assert "1 clip left out: the video ends before it" in out


def test_clips_of_frame50_with_nobody_in_them_are_counted(tmp_path, prepare, capsys):
    raw = tmp_path / "frame50"
    write_frame50(raw, 0)
    clips = np.load(raw / "val_position.npy")
    clips[2] = 0
    np.save(raw / "val_position.npy", clips)
    form = ("--dataset", "ntu60_frame50", "--protocol", "cross_view")
    prepare(raw, *form, format="frame50")
    assert "1 clip all zero: nobody is in them" in capsys.readouterr().out


def test_of_many_bad_files_the_first_are_named_and_all_are_recorded(raw, prepare, capsys):
    for number in range(100):
        (raw / f"S001C001P001R{number + 2:03}A001.skeleton").write_text("0\n")
    out = prepare(raw, "--skip-bad")
    errors = capsys.readouterr().err
    assert errors.count("bad file /") == 20
    assert "80 more bad files, most often (80): line 1 counts 0 frames, not 1 to 300" in errors
    assert len(said_of(out / VIEW)["skipped"]) == 100


def test_ones_own_data_set_says_so_too(tmp_path, prepare):
    write_custom(tmp_path / "own", 0)
    out = prepare(tmp_path / "own", format="custom")
    assert said_of(out / "our_lab" / "by_camera")["format"] == "custom"
