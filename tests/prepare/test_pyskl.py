"""PYSKL and MMAction2 pickles: the same arrays up to float16, and every refusal."""

import codecs
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from dataset.arrays import load_arrays
from dataset.pickles import load_plain
from dataset.protocols import NTU60, PARTS
from tests.oracles.prepare import normalise_plain
from tests.support.other_formats import (
    draw_recordings,
    label_of,
    pyskl_content,
    refusal,
    split_of,
    write_ntu,
    write_pickle,
)
from tools.prepare.__main__ import main
from tools.prepare.pipeline import build

PARSED = draw_recordings()
FIRST = next(iter(PARSED))


def prepare(tmp_path: Path, content: object, *more: str, protocol: int = 4) -> Path:
    path = write_pickle(tmp_path / "ntu60_3danno.pkl", content, protocol)
    out = tmp_path / "data"
    main(["pyskl", "--raw", str(path), "--out", str(out), *more])
    return out


def refused(tmp_path: Path, content: object, capsys, *more: str) -> str:
    return refusal(lambda: prepare(tmp_path, content, *more), tmp_path / "data", capsys)


def test_every_clip_is_what_its_float16_coordinates_normalise_to(tmp_path):
    out = prepare(tmp_path, pyskl_content(PARSED))
    for protocol, folder in NTU60.folders.items():
        names = []
        for part in PARTS:
            arrays = load_arrays(out / folder, part)
            assert arrays.names == sorted(arrays.names)
            for clip, frames, label, name in zip(
                arrays.data, arrays.num_frames, arrays.labels, arrays.names, strict=True
            ):
                rounded = PARSED[name].astype(np.float16).astype(np.float32)
                assert np.abs(clip - normalise_plain(rounded)).max() < 1e-5
                assert (frames, label) == (PARSED[name].shape[1], label_of(name))
                assert split_of(name, protocol) == part
            names += arrays.names
        assert sorted(names) == sorted(PARSED)


def test_the_pickle_gives_what_the_raw_files_give_up_to_a_centimetre(tmp_path):
    out = prepare(tmp_path, pyskl_content(PARSED))
    raw = write_ntu(tmp_path / "raw", PARSED)
    main(["ntu", "--raw", str(raw), "--out", str(tmp_path / "ntu"), "-j", "1"])
    for folder in NTU60.folders.values():
        for part in PARTS:
            ours, theirs = (load_arrays(one / folder, part) for one in (out, tmp_path / "ntu"))
            assert [f"{name}.skeleton" for name in ours.names] == theirs.names
            assert np.array_equal(ours.num_frames, theirs.num_frames)
            assert np.array_equal(ours.labels, theirs.labels)
            assert 1e-5 < np.abs(ours.data - theirs.data).max() < 0.02


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_kind_of_pickle_is_read(tmp_path, protocol):
    path = write_pickle(tmp_path / "x.pkl", pyskl_content(PARSED), protocol)
    content = load_plain(path)
    for ours, theirs in zip(
        content["annotations"], pyskl_content(PARSED)["annotations"], strict=True
    ):
        assert np.array_equal(ours["keypoint"], theirs["keypoint"])


class Malicious:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize(
    ("content", "asked"),
    [
        (Malicious(os.system, "exit 1"), f"{os.name}.system"),
        (Malicious(eval, "1"), "builtins.eval"),
        (Malicious(np.load, "x.npy"), "numpy.load"),
        (Path("x"), "pathlib"),
        (Malicious(codecs.encode, "x", "rot13"), "it holds bytes as rot13; only plain"),
        (pickle.PickleBuffer, "pickle.PickleBuffer"),
    ],
)
def test_a_pickle_that_asks_for_anything_else_is_refused(tmp_path, capsys, content, asked):
    annotated = pyskl_content(PARSED) | {"more": content}
    errors = refused(tmp_path, annotated, capsys)
    assert asked in errors
    assert "only plain values and NumPy arrays are admitted" in errors
    assert errors.count("\n") == 0


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps([1, 2, 3])[:-4]])
def test_a_damaged_pickle_is_refused(tmp_path, capsys, content):
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(SystemExit):
        main(["pyskl", "--raw", str(tmp_path / "x.pkl")])
    assert "x.pkl is not a readable pickle" in capsys.readouterr().err


def test_only_the_protocols_of_the_pickle_are_written(tmp_path, capsys):
    content = pyskl_content(PARSED)
    del content["split"]["xview_train"], content["split"]["xview_val"]
    out = prepare(tmp_path, content)
    assert (out / NTU60.folders["cross_subject"]).is_dir()
    assert not (out / NTU60.folders["cross_view"]).exists()
    printed = capsys.readouterr().out
    assert "NTU-RGB-D-60-AGCN/xsub: train 8, val 4; published: train 40,091, val 16,487" in printed
    assert "lost: float16" in printed


def test_clips_longer_than_300_frames_are_cut_and_counted(tmp_path, capsys):
    parsed = PARSED | {FIRST: np.tile(PARSED[FIRST], (1, 200, 1, 1))[:, :303]}
    out = prepare(tmp_path, pyskl_content(parsed))
    part = split_of(FIRST, "cross_view")
    arrays = load_arrays(out / NTU60.folders["cross_view"], part)
    assert arrays.num_frames[arrays.names.index(FIRST)] == 300
    assert "1 clip cut to its first 300 frames" in capsys.readouterr().out


def test_annotations_in_no_split_are_ignored_and_counted(tmp_path, capsys):
    content = pyskl_content(PARSED)
    for names in content["split"].values():
        if FIRST in names:
            names.remove(FIRST)
    prepare(tmp_path, content)
    assert "1 annotation ignored: in none of the splits" in capsys.readouterr().out


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_clip_with_nobody_in_it_is_left_out_and_counted(tmp_path, capsys, protocol):
    """MMAction2 writes it as an array of no bodies, whose pickle makes an empty `bytes`."""
    content = pyskl_content(PARSED)
    nobody = np.zeros((0, 7, 25, 3), np.float16)
    content["annotations"][0] |= {"keypoint": nobody, "total_frames": 7}
    assert (b"__builtin__\nbytes" in pickle.dumps(nobody, 2)) or protocol == 4
    out = prepare(tmp_path, content, protocol=protocol)
    folder = out / NTU60.folders["cross_view"]
    names = [name for part in PARTS for name in load_arrays(folder, part).names]
    assert sorted(names) == sorted(PARSED.keys() - {FIRST})
    assert "1 clip left out: nothing was recorded" in capsys.readouterr().out


def changed(**more: object) -> dict:
    content = pyskl_content(PARSED)
    content["annotations"][0] |= more
    return content


BODY = np.ones((1, 5, 25, 3), np.float16)
NAN = BODY.copy()
NAN[0, 3, 2, 1] = np.nan


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (changed(keypoint=np.ones((3, 5, 25, 3)), total_frames=5), "it has 3 bodies, not 1 or 2"),
        (changed(keypoint=BODY[:, :, :17, :2], total_frames=5), "(1, 5, 17, 2), not (bodies, fr"),
        (changed(keypoint=BODY[0], total_frames=5), "(5, 25, 3), not (bodies, frames, 25, 3)"),
        (changed(keypoint=[1, 2], total_frames=5), "its keypoint is no array of numbers"),
        (changed(keypoint=BODY.astype("U3"), total_frames=5), "its keypoint is no array of numb"),
        (changed(keypoint=BODY, total_frames=6), "it has 5 frames, its total_frames says 6"),
        (changed(keypoint=BODY[:, :0], total_frames=0), "it has 0 frames, not 1 to 300"),
        (changed(keypoint=NAN, total_frames=5), "is not finite in frame 3"),
        (changed(label=60), "its label is 60, not 0 to 59"),
        (changed(label=-1), "its label is -1, not 0 to 59"),
        (changed(label=1.5), "its label is 1.5, not 0 to 59"),
        (changed(label=None), "its label is None, not 0 to 59"),
    ],
)
def test_a_bad_annotation_is_named(tmp_path, capsys, content, fault):
    errors = refused(tmp_path, content, capsys)
    assert errors.startswith(f"bad clip {tmp_path / 'ntu60_3danno.pkl' / FIRST}: ")
    assert fault in errors
    assert errors.endswith(
        "error: 1 bad clip, nothing written; mend or remove them, or leave them out with --skip-bad"
    )


def test_an_annotation_that_is_none_is_named_and_can_be_left_out(tmp_path, capsys):
    content = pyskl_content(PARSED)
    content["annotations"][0] = None
    errors = refused(tmp_path, content, capsys)
    source = tmp_path / "ntu60_3danno.pkl"
    assert f"bad clip {source}/annotations[0]: it is None, not a dict of frame_dir" in errors
    assert f"bad clip {source / FIRST}: it has no annotation, but is in xsub_" in errors
    prepare(tmp_path, content, "--skip-bad")
    assert "2 bad clips skipped" in capsys.readouterr().out


def with_split(**lists: object) -> dict:
    content = pyskl_content(PARSED)
    content["split"] |= lists
    return content


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ([], "holds no dict of split and annotations"),
        ({"split": {}}, "holds no dict of split and annotations"),
        ({"split": {}, "annotations": []}, "has no split of ntu60; it has none"),
        ({"split": {"train": []}, "annotations": []}, "no split of ntu60; it has train"),
        (with_split(xset_train=[], xset_val=[]), "has xset_train, xset_val, which ntu60 has not"),
        (with_split(xsub_val=None), "xsub_val is not a list of names"),
        (with_split(xsub_val=[3]), "xsub_val is not a list of names"),
        (with_split(xsub_train=[FIRST, FIRST]), f"xsub_train names {FIRST} twice"),
        (with_split(xsub_val=list(PARSED)), "is in xsub_train and in xsub_val"),
        (with_split(xsub_test=[]), "has xsub_test, which ntu60 has not"),
        (
            pyskl_content(PARSED) | {"annotations": pyskl_content(PARSED)["annotations"] * 2},
            "has two annotations of",
        ),
    ],
)
def test_a_pickle_that_is_no_such_data_set_is_refused(tmp_path, capsys, content, fault):
    errors = refused(tmp_path, content, capsys)
    assert errors.startswith(f"error: {tmp_path / 'ntu60_3danno.pkl'}")
    assert fault in errors
    assert errors.count("\n") == 0


def test_half_a_split_is_refused(tmp_path, capsys):
    content = pyskl_content(PARSED)
    del content["split"]["xview_val"]
    assert "has xview_train but no xview_val" in refused(tmp_path, content, capsys)


def test_a_file_that_is_not_there_and_another_data_set_are_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["pyskl", "--raw", str(tmp_path / "none.pkl")])
    assert capsys.readouterr().err == f"error: --raw {tmp_path / 'none.pkl'}: no such file\n"
    errors = refused(tmp_path, pyskl_content(PARSED), capsys, "--dataset", "ntu120")
    assert "has xview_train, xview_val, which ntu120 has not; it has xsub, xset" in errors


def test_the_pickle_stays_in_the_process_that_read_it(tmp_path, monkeypatch):
    workers = []
    in_processes = build.in_processes

    def noting(work, tasks, number):
        workers.append(number)
        return in_processes(work, tasks, number)

    monkeypatch.setattr(build, "in_processes", noting)
    prepare(tmp_path, pyskl_content(PARSED), "-j", "4")
    assert workers == [1]


def test_help_says_what_is_lost(capsys):
    with pytest.raises(SystemExit):
        main(["pyskl", "--help"])
    assert "Lost by this format: float16" in capsys.readouterr().out
