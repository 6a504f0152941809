"""Augmentations against the published answers, and the distribution of every draw."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.arrays import SplitArrays
from dataset.augment import (
    CORRUPTED_JOINTS,
    Window,
    centre_window,
    crop_lengths,
    draw_crop,
    draw_spatial,
    joint_matrices,
    sample_window,
    shear_matrices,
    spatial_matrices,
    transform_joints,
)
from dataset.packed import PackedSplit
from tests.support.paths import GOLDENS

GOLDEN = np.load(GOLDENS / "augment.npz")


def golden(name):
    return torch.from_numpy(np.asarray(GOLDEN[name]))


def to_batch(clips):
    """(N, C, T, V, M), as files have it, to (N, T, M, V, C), as batches lie."""
    return clips.permute(0, 2, 4, 3, 1)


@pytest.fixture(scope="module")
def split():
    data = (GOLDEN["clips"] * GOLDEN["clip_scale"]).astype(np.float32)
    counts = GOLDEN["num_frames"]
    names = [f"clip {i}" for i in range(len(data))]
    labels = np.arange(len(data))
    return PackedSplit.from_arrays(SplitArrays(Path("golden"), data, counts, labels, names))


def test_crop_lengths_are_the_published_ones_exactly():
    num_frames = golden("num_frames")[golden("crop/clip_index")]
    lengths = crop_lengths(golden("crop/uniform"), num_frames)
    assert torch.equal(lengths, golden("crop/length"))


def test_crop_and_resize_agree(split):
    rows = golden("crop/output_rows")
    window = Window(golden("crop/start")[rows], golden("crop/length")[rows])
    got = split.sample(golden("crop/clip_index")[rows], sample_window(window))
    torch.testing.assert_close(got, to_batch(golden("crop/output")), atol=1e-5, rtol=0)


def test_centre_crop_agrees(split):
    window = centre_window(split.num_frames)
    got = split.sample(torch.arange(len(split)), sample_window(window))
    torch.testing.assert_close(got, to_batch(golden("centre/output")), atol=1e-5, rtol=0)


def test_centre_crop_is_computed_in_double_precision():
    n = torch.arange(1, 301)
    expected = [int((1 - 0.95) * int(frames) / 2) for frames in n]
    window = centre_window(n)
    assert window.start.tolist() == expected
    assert (window.length == n - 2 * window.start).all()


@pytest.fixture(scope="module")
def spatial_input():
    return to_batch(golden("crop/output")[:4])


def test_zeroed_and_mixed_joints_agree(spatial_input):
    touched = torch.zeros(4, 25, dtype=torch.bool)
    touched.scatter_(1, golden("spatial/joints"), True)
    matrix = golden("spatial/corruption_matrix_row_major").float().view(4, 3, 3).mT
    for name, chosen in (("zeroed", torch.zeros(4, 3, 3)), ("mixed", matrix)):
        got = transform_joints(spatial_input, joint_matrices(touched, chosen))
        expected = to_batch(golden(f"spatial/{name}"))
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_sheared_clips_agree(spatial_input):
    shear = shear_matrices(golden("spatial/shear_draws").float())
    matrices = joint_matrices(torch.ones(4, 25, dtype=torch.bool), shear)
    got = transform_joints(spatial_input, matrices)
    torch.testing.assert_close(got, to_batch(golden("spatial/sheared")), atol=1e-5, rtol=0)


def uniform_by_chance(values, low, high):
    """Kolmogorov-Smirnov distance from the uniform law, in units of its 0.1 % point."""
    values = ((values.flatten().double() - low) / (high - low)).sort().values
    steps = torch.arange(1, len(values) + 1) / len(values)
    return float((values - steps).abs().max()) * len(values) ** 0.5 / 1.95 < 1


def test_crop_draws_follow_their_law():
    n = torch.full((40_000,), 300)
    window = draw_crop(n, torch.Generator().manual_seed(0))
    # floor(300(0.9u + 0.1)) is 64 or less for u < 0.127: P = (65 - 30) / 270.
    shortest = (window.length == 64).double().mean()
    assert abs(shortest - 35 / 270) < 4 * (0.13 * 0.87 / 40_000) ** 0.5
    longer = window.length[window.length > 64].double()
    assert longer.max() == 299
    jitter = torch.rand(len(longer), generator=torch.Generator().manual_seed(1))
    assert uniform_by_chance(longer + jitter, 65, 300)
    room = 300 - window.length
    assert (window.start >= 0).all()
    assert (window.start <= room).all()
    jitter = torch.rand(len(room), generator=torch.Generator().manual_seed(2))
    assert uniform_by_chance((window.start + jitter) / (room + 1), 0, 1)


def test_every_start_is_drawn_alike_the_last_included():
    n = torch.full((66_000,), 66)
    window = draw_crop(n, torch.Generator().manual_seed(0))
    starts = window.start[window.length == 64]
    counts = torch.bincount(starts, minlength=3).double()
    assert len(counts) == 3
    assert (counts / counts.sum() - 1 / 3).abs().max() < 0.01


def test_short_clips_are_never_cropped():
    n = torch.arange(1, 65)
    window = draw_crop(n, torch.Generator().manual_seed(0))
    assert torch.equal(window.length, n)
    assert (window.start == 0).all()


@pytest.fixture(scope="module")
def matrices():
    return spatial_matrices(draw_spatial(8_000, torch.Generator().manual_seed(0)))


def split_by_kind(matrices):
    identity = (matrices == torch.eye(3)).all(dim=(2, 3))  # (N, V)
    shear = ~identity.any(dim=1)
    zero = (matrices == 0).all(dim=(2, 3)).any(dim=1)
    return shear, zero & ~shear, ~zero & ~shear, identity


def test_each_spatial_augmentation_has_its_published_chance(matrices):
    shear, zero, mixed, _ = split_by_kind(matrices)
    for kind, chance in ((shear, 0.5), (zero, 0.25), (mixed, 0.25)):
        assert abs(kind.double().mean() - chance) < 4 * (chance * (1 - chance) / 8_000) ** 0.5


def test_shear_is_the_same_for_all_joints_and_uniform(matrices):
    shear = matrices[split_by_kind(matrices)[0]]
    assert (shear == shear[:, :1]).all()
    first = shear[:, 0]
    assert (first.diagonal(dim1=1, dim2=2) == 1).all()
    off_diagonal = first[:, ~torch.eye(3, dtype=torch.bool)]
    for entry in range(6):
        assert uniform_by_chance(off_diagonal[:, entry], -1, 1)


def test_corruption_takes_fifteen_joints_all_alike(matrices):
    shear, _, _, identity = split_by_kind(matrices)
    touched = ~identity[~shear]
    assert (touched.sum(dim=1) == CORRUPTED_JOINTS).all()
    assert (touched.double().mean(dim=0) - 15 / 25).abs().max() < 0.04
    pairs = (touched[:, :1] & touched[:, 1:]).double().mean(dim=0)
    assert (pairs - 15 * 14 / (25 * 24)).abs().max() < 0.04


def test_mixing_is_one_full_uniform_matrix_a_clip(matrices):
    _, _, mixed, identity = split_by_kind(matrices)
    for clip, kept in zip(matrices[mixed][:50], identity[mixed][:50], strict=True):
        assert (clip[~kept] == clip[~kept][0]).all()
    drawn = torch.stack(
        [c[~k][0] for c, k in zip(matrices[mixed], identity[mixed], strict=True)]
    ).flatten(1)
    for entry in range(9):
        assert uniform_by_chance(drawn[:, entry], -1, 1)


def test_the_same_seed_draws_the_same():
    n = torch.full((5,), 200)
    for draw in (lambda g: draw_crop(n, g).length, lambda g: draw_spatial(5, g).entries):
        first, again, other = (draw(torch.Generator().manual_seed(s)) for s in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
