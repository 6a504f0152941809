"""The normalisation: the golden clips, the plain version, and what it promises."""

import numpy as np
import pytest

from tests.oracles.prepare import normalise_plain
from tests.support.raw_ntu import GOLDENS, random_body
from tools.prepare.pipeline.normalise import normalise, rotation_onto


@pytest.fixture(scope="module")
def goldens():
    with np.load(GOLDENS / "prepare.npz") as file:
        return dict(file)


def test_golden_clips_come_out_as_published(goldens):
    for name, expected in zip(goldens["names"], goldens["normalised"], strict=True):
        clip = normalise(goldens[f"parsed/{name}"])
        assert clip.dtype == np.float32
        assert np.abs(clip - expected).max() < 1e-5, name


def test_the_plain_version_agrees_with_the_golden_clips(goldens):
    for name, expected in zip(goldens["names"], goldens["normalised"], strict=True):
        assert np.abs(normalise_plain(goldens[f"parsed/{name}"]) - expected).max() < 1e-5, name


def test_without_rotation_about_z_the_plain_version_agrees(goldens):
    for name in goldens["names"]:
        parsed = goldens[f"parsed/{name}"]
        difference = normalise(parsed, rotate_z=False) - normalise_plain(parsed, rotate_z=False)
        assert np.abs(difference).max() < 1e-5
    assert np.abs(normalise(parsed) - normalise(parsed, rotate_z=False)).max() > 0.01


def two_bodies(num_frames: int) -> np.ndarray:
    generator = np.random.default_rng(num_frames)
    bodies = [random_body(generator, num_frames).transpose(2, 0, 1) for _ in range(2)]
    return np.stack(bodies, axis=-1).astype(np.float32)


def test_the_first_spine_points_up_and_the_shoulders_lie_in_its_plane_with_x():
    clip = normalise(two_bodies(80))
    unrotated = normalise(two_bodies(80), rotate_z=False)
    for one in (clip, unrotated):
        assert np.abs(one[:, :, 1, 0]).max() == 0
        shoulders = one[:, 0, 8, 0] - one[:, 0, 4, 0]
        assert shoulders[0] > 0
        assert np.abs(shoulders[1:]).max() < 1e-6


def test_rotation_keeps_all_distances():
    parsed = two_bodies(300)
    clip = normalise(parsed)
    for one, other in ((3, 20), (7, 19)):
        before = np.linalg.norm(parsed[:, :, one] - parsed[:, :, other], axis=0)
        after = np.linalg.norm(clip[:, :, one] - clip[:, :, other], axis=0)
        assert np.abs(before - after).max() < 1e-5


def test_bodies_repeat_each_with_its_own_length():
    parsed = two_bodies(80)
    parsed[:, 30:, :, 1] = 0
    clip = normalise(parsed)
    # body 0 is centred on itself, so its repetition shows
    assert np.array_equal(clip[:, 80:160, :, 0], clip[:, :80, :, 0])
    # body 1, centred on body 0 frame by frame, repeats every 240 = lcm(80, 30) frames
    assert np.array_equal(clip[:, 240:, :, 1], clip[:, :60, :, 1])
    assert not np.array_equal(clip[:, 80:160, :, 1], clip[:, :80, :, 1])


def test_gaps_stay_unless_the_body_comes_late():
    parsed = two_bodies(50)
    parsed[:, 10:20] = 0
    assert not normalise(parsed)[:, 10:20].any()
    parsed[:, :1] = 0
    assert normalise(parsed).any(axis=(0, 2)).all()


def test_a_frame_that_sums_to_zero_without_being_empty_is_not_turned():
    parsed = two_bodies(300)
    parsed[:, 7] = 0
    parsed[:, 7, 2:14, 0] = 0.25
    parsed[:, 7, 14:20, 0] = -0.5
    clip = normalise(parsed)
    assert np.array_equal(clip[:, 7], parsed[:, 7])
    assert np.abs(clip - normalise_plain(parsed)).max() < 1e-5


def test_a_clip_without_bodies_stays_zero():
    assert not normalise(np.zeros((3, 12, 25, 2), np.float32)).any()


def test_the_input_is_left_as_it_was():
    parsed = two_bodies(300)
    before = parsed.copy()
    normalise(parsed)
    assert np.array_equal(parsed, before)


@pytest.mark.parametrize(
    "vector", [(0, 0, 0), (0, 0, 0.3), (0, 0, -0.3), (1e-7, 1e-7, 0.3), (1e-8, 0, 0), (2e-6, 0, 3)]
)
def test_degenerate_vectors_are_not_turned(vector):
    assert np.array_equal(rotation_onto(np.array(vector), np.array([0, 0, 1.0])), np.eye(3))


def test_any_other_vector_is_turned_onto_the_target():
    for vector in np.random.default_rng(0).normal(size=(50, 3)):
        rotation = rotation_onto(vector, np.array([1.0, 0, 0]))
        assert np.allclose(rotation @ rotation.T, np.eye(3))
        assert np.allclose(rotation @ vector, [np.linalg.norm(vector), 0, 0])
