"""Batches of labelled clips: the published crops, every clip once, epochs fixed by a state."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dataset.arrays import SplitArrays, load_arrays
from dataset.augment import PROBE_SHORTEST_CROP, draw_crop
from dataset.batches import LabelledBatches
from dataset.packed import PackedSplit
from tests.oracles.augment import (
    centre_view,
    crop_resize,
    ramp,
    space_major,
    stream_of,
    time_major,
    window_of,
)
from tests.support.tiny import write_dataset


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    return load_arrays(write_dataset(tmp_path_factory.mktemp("data"), frames=(50, 200)), "train")


@pytest.fixture(scope="module")
def split(arrays):
    return PackedSplit.from_arrays(arrays)


def batches(split, clips=None, stream="joint", size=7, seed=1, **more):
    clips = torch.arange(len(split)) if clips is None else torch.tensor(clips)
    return LabelledBatches(split, clips, stream, size, torch.Generator().manual_seed(seed), **more)


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_views_are_the_plain_crops_of_the_drawn_windows(stream, split, arrays):
    ours = batches(split, stream=stream)
    generator = torch.Generator().manual_seed(1)
    order = torch.randperm(24, generator=generator)
    start, length = draw_crop(split.num_frames[order], generator, PROBE_SHORTEST_CROP)
    assert ((length >= torch.minimum(split.num_frames[order], torch.tensor(64))).all()).item()
    ours.start_epoch()
    for step in range(len(ours)):
        (time, space), labels = ours.batch(step)
        for row in range(len(labels)):
            place = 7 * step + row
            clip = int(order[place])
            window = crop_resize(arrays.data[clip], int(start[place]), int(length[place]))
            plain = stream_of(window, stream)
            np.testing.assert_allclose(time[row].numpy(), time_major(plain), atol=1e-5)
            np.testing.assert_allclose(space[row].numpy(), space_major(plain), atol=1e-5)
            assert labels[row] == arrays.labels[clip]


def test_the_centre_crop_is_the_one_of_the_test(split, arrays):
    ours = batches(split, clips=[3], random_crop=False)
    ours.start_epoch()
    (time, _), _ = ours.batch(0)
    plain, _ = centre_view(arrays.data[3], int(arrays.num_frames[3]), "joint")
    np.testing.assert_allclose(time[0].numpy(), plain, atol=1e-5)


def test_random_crops_have_half_the_frames_or_more():
    data = np.stack([ramp(300)] * 100)
    names, counts = [f"clip{i:03d}" for i in range(100)], np.full(100, 300)
    long = SplitArrays(Path("ramps"), data, counts, np.zeros(100, np.int64), names)
    ours = batches(PackedSplit.from_arrays(long), size=100)
    ours.start_epoch()
    (time, _), _ = ours.batch(0)
    lengths = [window_of(clip, 300)[1] for clip in time.numpy()]
    assert 150 <= min(lengths) < 165
    assert 285 < max(lengths) <= 300


def test_an_epoch_has_every_labelled_clip_once_and_no_other(split):
    chosen = [1, 4, 5, 9, 11, 17, 20, 23]
    ours = batches(split, clips=chosen, size=3)
    assert len(ours) == 3
    ours.start_epoch()
    seen = torch.cat([ours.batch(step)[1] for step in range(3)])
    assert seen.sort().values.tolist() == split.labels[chosen].sort().values.tolist()
    assert [len(ours.batch(step)[1]) for step in range(3)] == [3, 3, 2]


def test_the_state_at_its_start_fixes_an_epoch(split):
    ours, again = batches(split), batches(split, seed=99)
    for _ in range(3):
        ours.start_epoch()
    again.generator.set_state(ours.epoch_state)
    again.start_epoch()
    for step in (2, 0):
        assert torch.equal(ours.batch(step)[0].time, again.batch(step)[0].time)


def test_epochs_differ(split):
    ours = batches(split)
    ours.start_epoch()
    first = ours.batch(0)[0].time
    ours.start_epoch()
    assert not torch.equal(first, ours.batch(0)[0].time)


def test_a_batch_before_its_epoch_is_refused(split):
    with pytest.raises(RuntimeError, match="start_epoch"):
        batches(split).batch(0)
