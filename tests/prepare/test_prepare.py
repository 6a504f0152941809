"""`python -m tools.prepare` from the command line: results, errors, interruption and restart."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dataset.arrays import SplitWriter, load_arrays
from dataset.protocols import DATASETS, NTU60, PARTS
from tests.oracles.prepare import prepare_clip_plain
from tests.support.other_formats import failure
from tests.support.paths import ROOT
from tests.support.raw_ntu import GOLDENS, awkward_frames, extract_golden_files, skeleton_text
from tests.support.waiting import HANGS, heeding_interrupts, wait_until
from tools.prepare.__main__ import main
from tools.prepare.formats import ntu

PERFORMERS, CAMERAS = (1, 2, 3), (1, 2)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Twelve small recordings of NTU-60: three performers, two cameras, two actions."""
    folder = tmp_path_factory.mktemp("raw")
    seeds = (seed for seed in range(1000) if len(awkward_frames(seed)) < 100)
    for performer in PERFORMERS:
        for camera in CAMERAS:
            for action in (7, 55):
                name = f"S001C{camera:03}P{performer:03}R001A{action:03}.skeleton"
                (folder / name).write_text(skeleton_text(awkward_frames(next(seeds))))
    return folder


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    """The twelve recordings, prepared in one go in this process."""
    out = tmp_path_factory.mktemp("data")
    main(["ntu", "--raw", str(raw), "--out", str(out), "-j", "1"])
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "prepared.json"  # it names --raw
    }


def fails(arguments: list[str], capsys, status: int = 2) -> str:
    """Run, expect the exit status, return what stands on stderr."""
    return failure(lambda: main(arguments), capsys, status)


def test_both_protocols_agree_with_the_plain_version(raw, prepared):
    for protocol, folder in NTU60.folders.items():
        names = []
        for part in PARTS:
            arrays = load_arrays(prepared / folder, part)
            for clip, num_frames, label, name in zip(
                arrays.data, arrays.num_frames, arrays.labels, arrays.names, strict=True
            ):
                assert np.abs(clip - prepare_clip_plain(raw / name)).max() < 1e-5
                assert num_frames == int((raw / name).read_text().split()[0])
                assert label == int(name[17:20]) - 1
                number = int(name[9:12] if protocol == "cross_subject" else name[5:8])
                training = number in ((1, 2) if protocol == "cross_subject" else (2, 3))
                assert training == (part == "train")
            assert arrays.names == sorted(arrays.names)
            names += arrays.names
        assert sorted(names) == sorted(os.listdir(raw))


def test_golden_files_are_prepared_as_published(tmp_path, capsys):
    golden_raw = extract_golden_files(tmp_path)
    out = tmp_path / "data"
    main(["ntu", "--raw", str(golden_raw), "--out", str(out), "--dataset", "ntu120", "-j", "1"])
    with np.load(GOLDENS / "prepare.npz") as file:
        goldens = dict(file)
    found = 0
    for part in PARTS:
        arrays = load_arrays(out / "NTU-RGB-D-120-AGCN" / "xsetup", part)
        for clip, num_frames, name in zip(
            arrays.data, arrays.num_frames, arrays.names, strict=True
        ):
            index = goldens["names"].tolist().index(name.removesuffix(".skeleton"))
            assert np.abs(clip - goldens["normalised"][index]).max() < 1e-5
            assert num_frames == goldens["num_frames"][index]
            found += 1
    assert found == 14


def test_only_the_published_files_are_left(prepared):
    assert all((prepared / folder / "prepared.json").is_file() for folder in NTU60.folders.values())
    assert sorted(files(prepared)) == [
        f"NTU-RGB-D-60-AGCN/{folder}/{part}_{what}"
        for folder in ("xsub", "xview")
        for part in ("train", "val")
        for what in ("data_joint.npy", "label.pkl", "num_frame.npy")
    ]


def test_the_number_of_processes_does_not_change_a_byte(raw, prepared, tmp_path):
    main(["ntu", "--raw", str(raw), "--out", str(tmp_path), "-j", "2"])
    assert files(tmp_path) == files(prepared)


def test_the_summary_puts_the_counts_beside_the_published(raw, tmp_path, capsys):
    shutil.copy(raw / "S001C001P001R001A007.skeleton", tmp_path / "S018C001P001R001A061.skeleton")
    for path in raw.iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "missing.txt").write_text("S001C001P001R001A055\n")
    main(
        ["ntu", "--raw", str(tmp_path), "--out", str(tmp_path / "data"), "-j", "1"]
        + ["--missing", str(tmp_path / "missing.txt")]
    )
    captured = capsys.readouterr()
    assert captured.out == (
        f"NTU RGB+D 60 in {tmp_path / 'data'}:\n"
        "  NTU-RGB-D-60-AGCN/xview: train 6, val 5; published: train 37,646, val 18,932\n"
        "  NTU-RGB-D-60-AGCN/xsub: train 7, val 4; published: train 40,091, val 16,487\n"
        "  not the published clips: a part of NTU RGB+D 60, or other recordings like it\n"
        "  1 recording left out: on the list of missing skeletons\n"
        "  1 recording ignored: not part of ntu60\n"
    )
    assert "11/11" in captured.err
    assert "clip/s" in captured.err


@pytest.mark.parametrize(
    ("dataset", "listed"),
    [
        ("ntu60", {"S001C002P005R002A008"}),
        ("ntu120", {"S001C002P005R002A008", "S019C001P046R001A075", "S032C003P067R002A076"}),
    ],
)
def test_recordings_on_the_official_list_of_the_data_set_are_left_out(
    tmp_path, capsys, dataset, listed
):
    kept = {"S001C001P001R001A001", "S002C002P003R001A002", "S001C003P001R001A003"}
    for name in listed | kept:
        (tmp_path / f"{name}.skeleton").write_text(skeleton_text([[np.eye(25, 3)]] * 3))
    out = tmp_path / "data"
    main(["ntu", "--raw", str(tmp_path), "--out", str(out), "-j", "1", "--dataset", dataset])
    assert f"{len(listed)} recording" in capsys.readouterr().out
    for folder in DATASETS[dataset].folders.values():
        names = {name for part in PARTS for name in load_arrays(out / folder, part).names}
        assert names == {f"{name}.skeleton" for name in kept}


def test_rotation_about_z_can_be_left_out(raw, prepared, tmp_path):
    main(["ntu", "--raw", str(raw), "--out", str(tmp_path), "-j", "1", "--no-rotate-z"])
    arrays = load_arrays(tmp_path / NTU60.folders["cross_view"], "train")
    differ = False
    for clip, name in zip(arrays.data, arrays.names, strict=True):
        assert np.abs(clip - prepare_clip_plain(raw / name, rotate_z=False)).max() < 1e-5
        differ |= bool(np.abs(clip - prepare_clip_plain(raw / name)).max() > 0.01)
    assert differ


def test_memory_holds_one_clip_not_the_data_set(prepared, tmp_path):
    for camera in (1, 2, 3):
        for number in range(40):
            name = f"S001C{camera:03}P{1 + 2 * (number % 2):03}R{1 + number:03}A001.skeleton"
            (tmp_path / name).write_text(skeleton_text([[np.eye(25, 3)]] * 3))
    arguments = ["ntu", "--raw", str(tmp_path), "--out", str(tmp_path / "data"), "-j", "1"]
    tracemalloc.start()  # `prepared` has imported what is imported late
    main(arguments)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 180_000 < 120 * 180_000


# Faults: one line each, exit status 2, nothing left behind


def with_bad_files(raw: Path, folder: Path) -> dict[str, str]:
    """Copy the recordings and add bad ones; return what is wrong with each."""
    shutil.copytree(raw, folder, dirs_exist_ok=True)
    frame = skeleton_text([[np.eye(25, 3)]])
    contents = {
        "S002C001P001R001A001.skeleton": (b"\xff\x00", "it is not text"),
        "S002C001P001R001A002.skeleton": (
            frame[:-9].encode(),
            "it is truncated: it ends within the last of 1 frames",
        ),
        "S002C001P001R001A003.skeleton": (
            frame.replace("1 0 0", "nan 0 0").encode(),
            "line 5 has a coordinate that is not finite",
        ),
        "S002C001P001R001A004.skeleton": (
            skeleton_text([[]] * 301).encode(),
            "line 1 counts 301 frames, not 1 to 300",
        ),
        "S002C001P001R001A005.skeleton": (
            frame.replace("\n25\r", "\n20\r").encode(),
            "line 4 counts 20 joints, not 25",
        ),
        "S002C001P003R001A006.skeleton": (
            frame.replace("1 0 0", "1e300 0 0").encode(),
            "line 5 has a coordinate that is not finite",
        ),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    return {name: fault for name, (_, fault) in contents.items()}


def lines_of(bad: dict[str, str], folder: Path) -> str:
    return "".join(f"bad file {folder / name}: {fault}\n" for name, fault in bad.items())


@pytest.mark.parametrize("workers", ["1", "2"])
def test_bad_files_are_named_and_nothing_is_left(raw, tmp_path, capsys, workers):
    bad = with_bad_files(raw, tmp_path / "raw")
    out = tmp_path / "data"
    arguments = ["ntu", "--raw", str(tmp_path / "raw"), "--out", str(out), "-j", workers]
    errors = fails(arguments, capsys)
    assert errors == lines_of(bad, tmp_path / "raw") + (
        "error: 6 bad files, nothing written; mend or remove them, or leave them out with "
        "--skip-bad"
    )
    assert not out.exists()


def test_bad_files_are_left_out_on_demand(raw, prepared, tmp_path, capsys):
    bad = with_bad_files(raw, tmp_path / "raw")
    bad |= {"S3.skeleton": "its name is not SsssCcccPpppRrrrAaaa.skeleton"}
    (tmp_path / "raw" / "S3.skeleton").touch()
    out = tmp_path / "data"
    main(["ntu", "--raw", str(tmp_path / "raw"), "--out", str(out), "-j", "1", "--skip-bad"])
    captured = capsys.readouterr()
    assert captured.err.endswith(lines_of(bad, tmp_path / "raw"))
    assert captured.out.endswith("  7 bad files skipped\n")
    assert files(out) == files(prepared)


def test_bad_names_are_refused_before_the_long_work(raw, tmp_path, capsys, monkeypatch):
    shutil.copytree(raw, tmp_path / "raw")
    (tmp_path / "raw" / "S1.skeleton").touch()
    monkeypatch.setattr(ntu, "read", lambda recording: pytest.fail("it began"))
    arguments = ["ntu", "--raw", str(tmp_path / "raw"), "--out", str(tmp_path / "data")]
    assert fails(arguments, capsys).startswith(f"bad file {tmp_path / 'raw' / 'S1.skeleton'}: ")
    assert not (tmp_path / "data").exists()


def test_what_was_prepared_before_survives_a_failure(raw, prepared, tmp_path, capsys):
    out = tmp_path / "data"
    shutil.copytree(prepared, out)
    with_bad_files(raw, tmp_path / "raw")
    arguments = ["ntu", "--raw", str(tmp_path / "raw"), "--out", str(out), "-j", "1"]
    assert "6 bad files" in fails([*arguments, "--overwrite"], capsys)
    assert files(out) == files(prepared)


def test_a_data_set_that_is_all_bad_is_refused_even_on_demand(tmp_path, capsys):
    for camera in (1, 2, 3):
        for performer in (1, 3):
            (tmp_path / f"S001C{camera:03}P{performer:03}R001A001.skeleton").touch()
    arguments = ["ntu", "--raw", str(tmp_path), "--out", str(tmp_path / "data"), "--skip-bad"]
    assert "error: no clip would be left in" in fails([*arguments, "-j", "1"], capsys)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        ([], "--raw {raw}: no *.skeleton file in it; name the folder with them"),
        (["a1_s1_t1_skeleton.mat"], "--raw {raw}: no *.skeleton file in it; name the folder"),
        (["S018C001P041R001A061.skeleton"], "--raw {raw}: no usable ntu60 recording in it"),
        (
            ["S001C002P001R001A001.skeleton"],
            "none of the 1 recordings is in the val part of cross_view",
        ),
        (["S001C001P001R001A001.skeleton", "b/S001C001P001R001A001.skeleton"], "have one name"),
    ],
)
def test_raw_folders_without_a_data_set_are_refused(tmp_path, capsys, names, fault):
    raw = tmp_path / "raw"
    (raw / "b").mkdir(parents=True)
    for name in names:
        (raw / name).touch()
    errors = fails(["ntu", "--raw", str(raw), "--out", str(tmp_path / "data")], capsys)
    assert errors.startswith("error: ")
    assert errors.count("\n") == 0
    assert fault.format(raw=raw) in errors
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["ntu"], "--raw: is missing; folder of the raw recordings"),
        (["ntu", "--raw", "nowhere"], "--raw nowhere: no such folder"),
        (["ntu", "--raw", ".", "--dataset", "ntu61"], "--dataset ntu61: known are ntu60, ntu120"),
        (["ntu", "--raw", ".", "-j", "0"], "--workers 0: needs a whole number, 1 or more"),
        (["ntu", "--raw", ".", "--missing", "nowhere.txt"], "nowhere.txt"),
        (["ntu", "--raw", ".", "--skip"], "--skip: no such option, did you mean --skip-bad?"),
        (["pku"], "format pku: no such format, did you mean pku-mmd?; known are ntu, utd-mhad, "),
    ],
)
def test_wrong_options_are_one_line(capsys, arguments, fault):
    errors = fails(arguments, capsys)
    assert errors.startswith("error: ")
    assert errors.count("\n") == 0
    assert fault in errors


def test_underscores_in_options_stand_for_hyphens(raw, tmp_path):
    arguments = ["ntu", "--raw", str(raw), "-j", "1", "--out"]
    main([*arguments, str(tmp_path / "one"), "--no_rotate_z"])
    main([*arguments, str(tmp_path / "other"), "--no-rotate-z"])
    assert files(tmp_path / "one") == files(tmp_path / "other")


def test_help_names_the_formats_and_their_options(capsys):
    main([])
    assert "utd-mhad" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit_:
        main(["ntu", "--help"])
    assert exit_.value.code == 0
    assert "--no-rotate-z" in capsys.readouterr().out


def test_a_disk_without_room_is_refused_at_once(raw, tmp_path, capsys, monkeypatch):
    usage = SimpleNamespace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    out = tmp_path / "new" / "data"
    errors = fails(["ntu", "--raw", str(raw), "--out", str(out)], capsys)
    assert errors == (
        f"error: --out {out}: 4.3 MB are needed and 10.0 kB are free; free some or name another "
        "folder"
    )
    assert not out.parent.exists()


# Interruption and restart


def read_and_stop_after(count: int, monkeypatch, error: BaseException) -> list[str]:
    """Let reading stop with an error after some files; return the list of names it has read."""
    names: list[str] = []
    read = ntu.read

    def stopping(recording):
        if len(names) == count:
            raise error
        names.append(recording.name)
        return read(recording)

    monkeypatch.setattr(ntu, "read", stopping)
    return names


def test_a_restart_does_not_redo_finished_clips(raw, prepared, tmp_path, capsys, monkeypatch):
    arguments = ["ntu", "--raw", str(raw), "--out", str(tmp_path), "-j", "1"]
    with monkeypatch.context() as patch:
        first = read_and_stop_after(5, patch, KeyboardInterrupt())
        errors = fails(arguments, capsys, status=130)
    assert errors == "interrupted: 5 of 12 clips done; the same command goes on from there"
    assert all(".partial" in name for name in files(tmp_path))
    second = read_and_stop_after(100, monkeypatch, KeyboardInterrupt())
    main(arguments)
    assert capsys.readouterr().out.startswith("going on after an interruption: 5 clips done\n")
    assert len(first) == 5
    assert sorted(first + second) == sorted(os.listdir(raw))
    assert files(tmp_path) == files(prepared)


def test_a_full_disk_is_one_line_and_the_restart_goes_on(
    raw, prepared, tmp_path, capsys, monkeypatch
):
    arguments = ["ntu", "--raw", str(raw), "--out", str(tmp_path), "-j", "1"]
    write, rows = SplitWriter.write, []

    def full(writer, row, clip):
        rows.append(row)
        if len(rows) > 6:
            raise OSError(28, "No space left on device", "train_data_joint.npy")
        write(writer, row, clip)

    with monkeypatch.context() as patch:
        patch.setattr(SplitWriter, "write", full)
        assert re.fullmatch(
            r"error: train_data_joint\.npy: the disk is full; it needs 3\.2 MB, .* are free: .*; "
            "the same command goes on from there",
            fails(arguments, capsys),
        )
    main(arguments)
    assert "3 clips done" in capsys.readouterr().out
    assert files(tmp_path) == files(prepared)


@pytest.mark.parametrize("change", ["option", "file", "list"])
def test_what_other_recordings_or_options_have_left_is_discarded(
    raw, tmp_path, capsys, monkeypatch, change
):
    shutil.copytree(raw, tmp_path / "raw")
    arguments = ["ntu", "--raw", str(tmp_path / "raw"), "-j", "1", "--out", str(tmp_path / "data")]
    with monkeypatch.context() as patch:
        read_and_stop_after(5, patch, KeyboardInterrupt())
        fails(arguments, capsys, status=130)
    if change == "option":
        arguments.append("--no-rotate-z")
    elif change == "file":
        os.utime(tmp_path / "raw" / "S001C001P001R001A007.skeleton", (1, 1))
    else:
        (tmp_path / "raw" / "S001C001P001R001A007.skeleton").unlink()
    main(arguments)
    assert capsys.readouterr().out.startswith(
        "an unfinished run with other recordings or options is discarded\n"
    )
    main([*arguments, "--out", str(tmp_path / "fresh")])
    assert files(tmp_path / "data") == files(tmp_path / "fresh")


def test_a_bad_file_after_a_restart_leaves_nothing(raw, tmp_path, capsys, monkeypatch):
    with_bad_files(raw, tmp_path / "raw")
    arguments = ["ntu", "--raw", str(tmp_path / "raw"), "-j", "1", "--out", str(tmp_path / "data")]
    with monkeypatch.context() as patch:
        read_and_stop_after(5, patch, KeyboardInterrupt())
        fails(arguments, capsys, status=130)
    assert "6 bad files" in fails(arguments, capsys)
    assert list((tmp_path / "data").rglob("*")) == []


@pytest.fixture
def stuck(raw, tmp_path):
    """The recordings, one of which keeps its reader waiting; and what it holds."""
    folder = tmp_path / "raw"
    shutil.copytree(raw, folder)
    path = folder / "S001C001P001R001A007.skeleton"
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    os.utime(path, (1, 1))
    return path, content


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_command_can_be_run_again(prepared, stuck, tmp_path, capsys, sent):
    path, content = stuck
    arguments = ["ntu", "--raw", str(path.parent), "--out", str(tmp_path / "data")]
    process = subprocess.Popen(
        heeding_interrupts([sys.executable, "-m", "tools.prepare", *arguments, "-j", "2"]),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    data = tmp_path / "data" / "NTU-RGB-D-60-AGCN" / "xsub.partial" / "train_data_joint.npy"
    wait_until(lambda: data.exists() and data.stat().st_blocks > 300, process)
    if sent == signal.SIGINT:
        os.killpg(process.pid, sent)  # as a terminal does: to the workers too
    else:
        process.send_signal(sent)
    assert process.wait(HANGS) == (-sent if sent == signal.SIGKILL else 128 + sent)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # a worker that waits for the recording
    assert "Traceback" not in process.communicate()[1]
    assert all(".partial" in name for name in files(tmp_path / "data"))
    threading.Thread(target=path.write_bytes, args=(content,)).start()
    main([*arguments, "-j", "1"])
    assert capsys.readouterr().out.startswith("going on after an interruption: ")
    assert files(tmp_path / "data") == files(prepared)
