"""ST-GCN, CrosSCLR and AimCLR arrays: the same as the raw files give."""

from pathlib import Path

import numpy as np
import pytest

from dataset.arrays import load_arrays
from dataset.protocols import NTU60, PARTS
from tests.oracles.prepare import normalise_plain
from tests.support.other_formats import draw_recordings, refusal, split_of, write_ntu, write_split
from tools.prepare.__main__ import main

PARSED = draw_recordings()


def prepare(raw: Path, *more: str) -> Path:
    out = raw.parent / "data"
    main(["stgcn", "--raw", str(raw), "--out", str(out), "-j", "1", "--protocol", "xview", *more])
    return out


@pytest.mark.parametrize("number", [int, np.int64, np.float64])
def test_the_folder_gives_what_the_raw_files_give_byte_for_byte(tmp_path, number):
    out = prepare(write_split(tmp_path / "raw", "data", PARSED, number))
    skeletons = write_ntu(tmp_path / "ntu", PARSED)
    main(["ntu", "--raw", str(skeletons), "--out", str(tmp_path / "other"), "-j", "1"])
    folder = NTU60.folders["cross_view"]
    for part in PARTS:
        ours, theirs = (load_arrays(one / folder, part) for one in (out, tmp_path / "other"))
        assert np.abs(ours.data - theirs.data).max() < 1e-5
        assert ours.names == theirs.names
        assert np.array_equal(ours.num_frames, theirs.num_frames)
        assert np.array_equal(ours.labels, theirs.labels)


def test_the_length_is_that_to_the_last_frame_with_anybody_in_it(tmp_path, capsys):
    name, gone, *_ = PARSED
    parsed = PARSED[name].copy()
    parsed = np.concatenate([parsed, np.zeros_like(parsed[:, :3]), parsed[:, :1] + 0.1], axis=1)
    padded = np.concatenate([parsed, np.zeros_like(parsed[:, :9])], axis=1)
    empty = np.zeros_like(PARSED[gone])
    out = prepare(write_split(tmp_path / "raw", "data", PARSED | {name: padded, gone: empty}))
    arrays = load_arrays(out / NTU60.folders["cross_view"], split_of(name, "cross_view"))
    row = arrays.names.index(f"{name}.skeleton")
    assert arrays.num_frames[row] == parsed.shape[1]
    assert np.abs(arrays.data[row] - normalise_plain(parsed)).max() < 1e-5
    assert f"{gone}.skeleton" not in arrays.names
    assert "1 clip left out: nothing was recorded" in capsys.readouterr().out


def test_clips_that_are_normalised_already_are_refused(tmp_path, capsys):
    raw = write_split(
        tmp_path / "raw", "data", {name: normalise_plain(one) for name, one in PARSED.items()}
    )
    errors = refusal(lambda: prepare(raw), tmp_path / "data", capsys)
    assert "train_data.npy: its origin is the middle of the first body's spine in every" in errors
    assert errors.endswith("try python -m tools.prepare agcn")


def test_a_bad_clip_is_named_and_can_be_left_out(tmp_path, capsys):
    name = next(iter(PARSED))
    bad = PARSED[name].copy()
    bad[1, 1, 3, 0] = np.nan
    raw = write_split(tmp_path / "raw", "data", PARSED | {name: bad})
    part = split_of(name, "cross_view")
    errors = refusal(lambda: prepare(raw), tmp_path / "data", capsys)
    assert errors.startswith(f"bad clip {raw / part}_0: it has a coordinate that is not finite in")
    prepare(raw, "--skip-bad")
    assert "1 bad clip skipped" in capsys.readouterr().out
