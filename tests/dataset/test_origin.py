"""Clips of every preparation are told apart at load, and the wrong ones named."""

import pickle

import numpy as np
import pytest

from dataset import origin
from dataset.arrays import load_arrays
from tests.oracles.prepare import normalise_plain
from tests.support.other_formats import draw_recordings, frame50_clip, npz_content
from tests.support.tiny import save_arrays

PARSED = draw_recordings()


def raw() -> np.ndarray:
    clips = np.zeros((len(PARSED), 3, 300, 25, 2), np.float32)
    for clip, parsed in zip(clips, PARSED.values(), strict=True):
        clip[:, : parsed.shape[1]] = parsed
    return clips


def published() -> np.ndarray:
    return np.stack([normalise_plain(parsed) for parsed in PARSED.values()])


def without_rotation() -> np.ndarray:
    return np.stack([normalise_plain(parsed, rotate_z=False) for parsed in PARSED.values()])


def first_frame() -> np.ndarray:
    content = npz_content(PARSED, "cross_view")
    rows = np.concatenate([content["x_train"], content["x_test"]])
    return rows.reshape(-1, 300, 2, 25, 3).transpose(0, 4, 1, 3, 2)


def frame50() -> np.ndarray:
    clips = np.zeros((len(PARSED), 3, 300, 25, 2), np.float32)
    clips[:, :, :50] = np.stack([frame50_clip(parsed) for parsed in PARSED.values()])
    return clips


def counts(clips: np.ndarray) -> np.ndarray:
    return np.array([np.flatnonzero(clip.any(axis=(0, 2, 3)))[-1] + 1 for clip in clips])


def write(folder, clips):
    names = [f"clip{number:02}" for number in range(len(clips))]
    save_arrays(folder, "train", clips, counts(clips), [0] * len(clips), names)


@pytest.mark.parametrize(
    ("clips", "expected"),
    [
        (raw(), origin.RAW),
        (published(), origin.PUBLISHED),
        (without_rotation(), origin.PUBLISHED),
        (first_frame(), origin.FIRST_FRAME),
        (frame50(), origin.FRAME50),
        (np.zeros((2, 3, 300, 25, 2), np.float32), ""),
    ],
)
def test_each_origin_is_told(clips, expected):
    lengths = counts(clips) if clips.any() else np.full(len(clips), 300)
    assert origin.origin(clips, lengths) == expected


def test_joints_and_clips_that_were_not_recorded_do_not_change_it():
    clips = published()
    clips[:5] = 0
    clips[5:, :, :, 20] = 0
    assert origin.origin(clips, np.full(len(clips), 300)) == origin.PUBLISHED


def test_a_few_odd_frames_do_not_change_it():
    clips = published()
    clips[:, :, :20:3, 1, 0] = 0.1
    assert origin.origin(clips, np.full(len(clips), 60)) == origin.PUBLISHED


def test_what_lies_behind_the_recorded_frames_is_not_looked_at():
    clips = published()
    lengths = np.array([parsed.shape[1] for parsed in PARSED.values()])
    for clip, length in zip(clips, lengths, strict=True):
        clip[:, length:] = 1
    assert origin.origin(clips, lengths) == origin.PUBLISHED


def test_frames_without_anybody_do_not_speak_for_an_origin():
    clips = raw()
    clips[:, :, 1::2] = 0
    clips[:, :, 20:] = 0
    assert origin.origin(clips, np.full(len(clips), 300)) == origin.RAW


@pytest.mark.parametrize(
    ("clips", "named"),
    [
        (raw(), "raw files, PYSKL, MMAction2 and ST-GCN"),
        (first_frame(), "CTR-GCN, MAMP and STARS"),
        (frame50(), "AimCLR and its kin (frame50)"),
    ],
)
def test_clips_of_another_preparation_are_refused_in_one_line(tmp_path, clips, named):
    write(tmp_path, clips)
    with pytest.raises(ValueError, match=f"^{tmp_path}/train_data_joint.npy: ") as error:
        load_arrays(tmp_path, "train")
    assert named in str(error.value)
    assert "python -m tools.prepare" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("clips", [published(), without_rotation()])
def test_clips_of_the_published_preparation_load(tmp_path, clips):
    write(tmp_path, clips)
    assert len(load_arrays(tmp_path, "train").data) == len(clips)


@pytest.mark.parametrize(("clips", "warned"), [(frame50(), False), (published(), True)])
def test_files_of_a_fixed_length_with_another_origin_load_with_a_warning(
    tmp_path, capsys, clips, warned
):
    np.save(tmp_path / "train_position.npy", clips[:, :, :50])
    labels = ([f"clip{row}" for row in range(len(clips))], [0] * len(clips))
    (tmp_path / "train_label.pkl").write_bytes(pickle.dumps(labels))
    load_arrays(tmp_path, "train")
    errors = capsys.readouterr().err
    assert errors.count("its origin is") == warned
    assert errors.startswith(
        f"warning: {tmp_path}/train_position.npy: its origin is the mi" * warned
    )


def scaled(size: float) -> np.ndarray:
    """Published clips whose spines are some metres long from base to head."""
    clips = np.zeros((3, 3, 300, 25, 2), np.float32)
    for joint, height in ((0, -0.4), (20, 0.3), (2, 0.4), (3, 0.6)):
        clips[:, 1, :, joint, 0] = height * size
    return clips


@pytest.mark.parametrize("size", [0.5, 0.61, 0.9, 1.0])
def test_spines_of_humans_are_not_remarked_upon(tmp_path, capsys, size):
    write(tmp_path, scaled(size))
    load_arrays(tmp_path, "train")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("size", "said"), [(600, "600"), (1.22, "1.22"), (0.3, "0.3")])
def test_spines_of_no_human_are_a_warning_with_their_length(tmp_path, capsys, size, said):
    write(tmp_path, scaled(size))
    load_arrays(tmp_path, "train")
    errors = capsys.readouterr().err
    assert f"its spines measure {said} from base to head" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize(("rest", "found"), [(9e-5, origin.PUBLISHED), (2e-4, origin.RAW)])
def test_at_zero_is_within_a_tenth_of_a_millimetre(rest, found):
    clips = published()
    clips[:, :, :, 1, 0] += np.float32(rest)
    assert origin.origin(clips, np.full(len(clips), 300)) == found
