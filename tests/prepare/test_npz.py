"""CTR-GCN, MAMP and STARS files: the same arrays without names, and every refusal."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dataset.arrays import load_arrays
from dataset.protocols import NTU60, PARTS
from tests.oracles.prepare import normalise_plain
from tests.support.other_formats import draw_recordings, npz_content, refusal, split_of, write_ntu
from tests.support.raw_ntu import awkward_frames, skeleton_text
from tools.prepare.__main__ import main
from tools.prepare.formats import ntu
from tools.prepare.pipeline.recordings import Recording
from tools.prepare.pipeline.zipped import ZippedArray

PARSED = draw_recordings()


def prepare(tmp_path: Path, content: dict, *more: str, save=np.savez) -> Path:
    path = tmp_path / "NTU60_CV.npz"
    save(path, **content)
    out = tmp_path / "data"
    main(["npz", "--raw", str(path), "--out", str(out), "-j", "1", *more])
    return out


def refused(tmp_path: Path, content: dict, capsys, *more: str) -> str:
    return refusal(lambda: prepare(tmp_path, content, *more), tmp_path / "data", capsys)


@pytest.mark.parametrize("protocol", ["cross_view", "cross_subject"])
@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_file_gives_what_the_raw_files_give_but_for_names(tmp_path, protocol, centred, save):
    content = npz_content(PARSED, protocol, centred=centred)
    out = prepare(tmp_path, content, "--protocol", protocol, save=save)
    raw = write_ntu(tmp_path / "raw", PARSED)
    main(["ntu", "--raw", str(raw), "--out", str(tmp_path / "ntu"), "-j", "1"])
    for part in PARTS:
        ours, theirs = (
            load_arrays(one / NTU60.folders[protocol], part) for one in (out, tmp_path / "ntu")
        )
        assert np.array_equal(ours.num_frames, theirs.num_frames)
        assert np.array_equal(ours.labels, theirs.labels)
        assert np.abs(ours.data - theirs.data).max() < 2e-5
        assert ours.names == [f"{part}_{row}" for row in range(len(theirs.names))]


def test_other_protocols_are_left_alone(tmp_path):
    out = prepare(tmp_path, npz_content(PARSED, "cross_view"), "--protocol", "cross_view")
    assert not (out / NTU60.folders["cross_subject"]).exists()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_two_processes_write_the_same_bytes(tmp_path, save):
    content = npz_content(PARSED, "cross_view")
    one = prepare(tmp_path, content, "--protocol", "cross_view", save=save)
    two = tmp_path / "two"
    arguments = ["npz", "--raw", str(tmp_path / "NTU60_CV.npz"), "--out", str(two), "-j", "2"]
    main([*arguments, "--protocol", "cross_view"])
    for path in one.rglob("*.*"):
        assert path.read_bytes() == (two / path.relative_to(one)).read_bytes()


def test_empty_frames_that_were_removed_do_not_count(tmp_path):
    parsed = {}
    for seed, name in enumerate(PARSED):
        path = tmp_path / f"{name}.skeleton"
        path.write_text(skeleton_text(awkward_frames(seed + 40)))
        clip = ntu.read(Recording(path.name, path, 0, {}))
        parsed[name] = clip if clip.any() else PARSED[name]
    content = npz_content(parsed, "cross_view", centred=False)
    out = prepare(tmp_path, content, "--protocol", "cross_view")
    for part in PARTS:
        arrays = load_arrays(out / NTU60.folders["cross_view"], part)
        names = [name for name in parsed if split_of(name, "cross_view") == part]
        for clip, num_frames, name in zip(arrays.data, arrays.num_frames, names, strict=True):
            full = parsed[name][:, parsed[name].any(axis=(0, 2, 3))]
            assert num_frames == full.shape[1]
            assert np.abs(clip - normalise_plain(full)).max() < 1e-5


def test_a_hole_in_the_middle_is_kept_and_the_tail_is_not(tmp_path):
    content = npz_content(PARSED, "cross_view")
    content["x_train"][0, :9] = 1.5
    content["x_train"][0, 3:7] = 0
    content["x_train"][0, 9:] = 0
    out = prepare(tmp_path, content, "--protocol", "cross_view")
    assert load_arrays(out / NTU60.folders["cross_view"], "train").num_frames[0] == 9


def test_empty_frames_at_the_beginning_are_kept(tmp_path):
    content = npz_content(PARSED, "cross_view", centred=False)
    clip = content["x_train"][0]
    content["x_train"][0] = np.concatenate([np.zeros_like(clip[:4]), clip[:-4]])
    content["x_train"][0, 9:] = 0
    out = prepare(tmp_path, content, "--protocol", "cross_view")
    found = load_arrays(out / NTU60.folders["cross_view"], "train")
    frames = content["x_train"][0, :9].reshape(9, 2, 25, 3)
    assert not frames[:4].any()
    assert frames[8].any()
    assert found.num_frames[0] == 9
    assert np.abs(found.data[0] - normalise_plain(frames.transpose(3, 0, 2, 1))).max() < 1e-5


def test_what_was_found_and_what_is_lost_is_said(tmp_path, capsys):
    prepare(tmp_path, npz_content(PARSED, "cross_view"), "--protocol", "cross_view")
    printed = capsys.readouterr().out
    assert "clips centred on their first frame, as CTR-GCN, MAMP and STARS write NTU" in printed
    assert "lost: names: the files hold none; those written are placeholders" in printed
    content = npz_content(PARSED, "cross_view", centred=False)
    prepare(tmp_path, content, "--protocol", "cross_view")
    assert "clips in raw coordinates" in capsys.readouterr().out


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_memory_holds_one_clip_not_the_file(tmp_path, save):
    content = npz_content(PARSED, "cross_view")
    many = {key: np.concatenate([value] * 50) for key, value in content.items()}
    save(tmp_path / "many.npz", **many)
    arguments = ["npz", "--raw", str(tmp_path / "many.npz"), "--protocol", "cross_view"]
    tracemalloc.start()
    main([*arguments, "--out", str(tmp_path / "data"), "-j", "1"])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e6 < sum(value.nbytes for value in many.values()) / 10


GOOD = npz_content(PARSED, "cross_view")


def changed(key: str, value: np.ndarray) -> dict:
    return GOOD | {key: value}


EMPTY, NAN, TWICE, NONE = (GOOD[key].copy() for key in ("x_train", "x_test", "y_test", "y_test"))
EMPTY[2] = 0
NAN[1, 1, 7] = np.nan
TWICE[3, TWICE[3].argmax() + 1] = 1
NONE[3] = 0


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"x": np.zeros(3)}, "has the keys x, not x_train, y_train, x_test, y_test"),
        ({key: GOOD[key] for key in ("x_train", "y_train")}, "not x_train, y_train, x_test, y_te"),
        (changed("x_test", GOOD["x_test"][:, :, :75]), "x_test has shape (6, 300, 75), not (N, fr"),
        (changed("x_test", GOOD["x_test"].reshape(-1, 300, 2, 75)), "not (N, frames, 150)"),
        (changed("x_test", GOOD["x_test"][:5]), "x_test holds 5 clips, y_test 6"),
        (changed("x_test", GOOD["x_test"].astype(int)), "x_test holds int64, not float32"),
        (changed("x_test", np.asfortranarray(GOOD["x_test"])), "x_test is stored column by column"),
        (changed("y_test", GOOD["y_test"].argmax(1)), "y_test has shape (6,), not (N, 60)"),
        (changed("y_test", GOOD["y_test"].astype("U")), "y_test holds <U32, not numbers"),
    ],
)
def test_a_file_that_is_no_such_data_set_is_refused(tmp_path, capsys, content, fault):
    errors = refused(tmp_path, content, capsys, "--protocol", "cross_view")
    assert errors.startswith(f"error: {tmp_path / 'NTU60_CV.npz'}")
    assert fault in errors
    assert errors.count("\n") == 0


def test_the_classes_tell_which_data_set_it_is(tmp_path, capsys):
    content = npz_content(PARSED, "cross_view", classes=120)
    errors = refused(tmp_path, content, capsys, "--protocol", "cross_view")
    assert "y_train has 120 classes, ntu60 has 60; --dataset ntu120 has 120" in errors


@pytest.mark.parametrize(
    ("content", "name", "fault"),
    [
        (changed("x_train", EMPTY), "train_2", "it has no frame that is not zero"),
        (changed("x_test", NAN), "val_1", "it has a coordinate that is not finite in frame 1"),
        (changed("y_test", TWICE), "val_3", "its row of y_test has 2 classes, not one"),
        (changed("y_test", NONE), "val_3", "its row of y_test has 0 classes, not one"),
    ],
)
def test_a_bad_clip_is_named_and_can_be_left_out(tmp_path, capsys, content, name, fault):
    errors = refused(tmp_path, content, capsys, "--protocol", "cross_view")
    assert errors.startswith(f"bad clip {tmp_path / 'NTU60_CV.npz' / name}: {fault}\n")
    out = prepare(tmp_path, content, "--protocol", "cross_view", "--skip-bad")
    kept = load_arrays(out / NTU60.folders["cross_view"], name.split("_")[0])
    part, _, bad = name.partition("_")
    rows = [row for row in range(6) if row != int(bad)]
    assert kept.names == [f"{part}_{row}" for row in rows]
    classes = content["y_train" if part == "train" else "y_test"].argmax(1)
    assert kept.labels.tolist() == classes[rows].tolist()


@pytest.mark.parametrize("content", [b"", b"PK\3\4 not a zip"])
def test_a_damaged_file_is_refused(tmp_path, capsys, content):
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(SystemExit):
        main(["npz", "--raw", str(tmp_path / "x.npz"), "--protocol", "cross_view"])
    assert "x.npz is not a whole .npz file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--protocol", "cross_setup"], "--protocol cross_setup: ntu60 has cross_view, cross_subj"),
        ([], "--protocol: is missing; which split it holds"),
    ],
)
def test_the_protocol_must_be_one_of_the_data_set(tmp_path, capsys, arguments, fault):
    assert fault in refused(tmp_path, GOOD, capsys, *arguments)


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_array_that_is_cut_short_is_refused(tmp_path, capsys, kind):
    path = tmp_path / "NTU60_CV.npz"
    with zipfile.ZipFile(path, "w", kind) as archive:
        for key, value in GOOD.items():
            buffer = io.BytesIO()
            np.save(buffer, value)
            content = buffer.getvalue()
            archive.writestr(f"{key}.npy", content[:-600] if key == "x_test" else content)
    with pytest.raises(SystemExit):
        main(["npz", "--raw", str(path), "--protocol", "cross_view"])
    assert "is not a whole .npz file (x_test is cut short or too long)" in capsys.readouterr().err


def test_another_file_of_the_same_name_is_another_preparation(tmp_path, capsys, monkeypatch):
    count = iter(range(100))
    row = ZippedArray.row

    def stopping(self, index):
        if len(self.shape) == 3 and next(count) == 15:
            raise KeyboardInterrupt
        return row(self, index)

    with monkeypatch.context() as patch:
        patch.setattr(ZippedArray, "row", stopping)
        with pytest.raises(SystemExit):
            prepare(tmp_path, GOOD, "--protocol", "cross_view")
    assert list((tmp_path / "data").rglob("*.partial"))
    prepare(tmp_path, changed("x_test", GOOD["x_test"] + 1), "--protocol", "cross_view")
    assert "with other recordings or options is discarded" in capsys.readouterr().out
