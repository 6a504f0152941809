"""The packed split against the dense arrays, and shuffled epochs."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset import packed as batches
from dataset.arrays import SplitArrays
from dataset.augment import (
    FRAMES,
    SPATIAL,
    STREAM,
    Pipeline,
    Window,
    draw_crop,
    draw_spatial,
    load_pipeline,
    sample_window,
)
from dataset.batches import EpochDraws, PretrainingBatches, draw_order
from dataset.packed import PackedSplit
from dataset.protocols import AUGMENTATIONS, STREAMS
from dataset.views import downstream_views
from tests.oracles.augment import (
    crop_resize,
    mix_joints,
    ramp,
    shear,
    space_major,
    stream_of,
    time_major,
    window_of,
    zero_joints,
)


def dense_split(count=11, seed=0):
    """Clips of 1 to 300 frames, every third without a second body, garbage in the looped tail."""
    rng = np.random.default_rng(seed)
    counts = np.concatenate([[300, 1], rng.integers(1, 301, count - 2)])
    data = rng.standard_normal((count, 3, 300, 25, 2)).astype(np.float32)
    for clip, frames in enumerate(counts):
        if clip % 3 == 0:
            data[clip, :, :frames, :, 1] = 0
    names = [f"clip{i:02d}" for i in range(count)]
    return SplitArrays(Path("val_data_joint.npy"), data, counts, np.arange(count) % 4, names)


@pytest.fixture(params=[256, 4])
def pair(request, monkeypatch):
    monkeypatch.setattr(batches, "CHUNK", request.param)
    arrays = dense_split()
    return arrays, PackedSplit.from_arrays(arrays)


def test_sampling_equals_interpolating_the_dense_window(pair):
    arrays, split = pair
    clips = torch.tensor([3, 0, 1, 0, 10, 7])
    length = torch.clamp(split.num_frames[clips] // 2, min=1)
    start = (split.num_frames[clips] - length) // 2
    got = split.sample(clips, sample_window(Window(start, length)))
    for row, clip in enumerate(clips.tolist()):
        window = arrays.data[clip, :, int(start[row]) : int(start[row] + length[row])]
        flat = torch.from_numpy(window).permute(0, 2, 3, 1).flatten(0, 2)[None]
        flat = torch.nn.functional.interpolate(flat, FRAMES, mode="linear", align_corners=False)
        expected = flat[0].view(3, 25, 2, FRAMES).permute(3, 2, 1, 0)
        torch.testing.assert_close(got[row], expected, atol=1e-6, rtol=0)


def test_only_recorded_frames_of_present_bodies_are_kept(pair):
    arrays, split = pair
    counts = arrays.num_frames
    absent = counts[::3].sum()
    assert len(split.frames) == 1 + 2 * counts.sum() - absent
    assert (split.first_row[::3, 1] == 0).all()
    assert torch.equal(split.num_frames, torch.from_numpy(counts))
    assert split.names == arrays.names
    assert split.labels.tolist() == arrays.labels.tolist()


def test_a_body_that_comes_late_is_kept():
    arrays = dense_split(2)
    arrays.data[0, :, :250, :, 1] = 0
    arrays.data[0, :, 250:, :, 1] = 1
    split = PackedSplit.from_arrays(arrays)
    assert split.first_row[0, 1] > 0


@pytest.mark.parametrize("body", [0, 1])
@pytest.mark.parametrize(("value", "present"), [(-0.0, False), (1e-45, True), (-1.0, True)])
def test_a_body_is_absent_if_all_its_coordinates_are_zero_of_either_sign(body, value, present):
    arrays = dense_split(2)
    arrays.data[0] = 1
    arrays.data[0, ..., body] = 0
    arrays.data[0, 2, 7, 24, body] = value
    first = PackedSplit.from_arrays(arrays).first_row[0]
    assert (first[body] > 0) == present
    assert first[1 - body] > 0


def test_arrays_of_another_order_in_memory_are_packed_alike():
    arrays = dense_split()
    other = dataclasses.replace(arrays, data=np.asfortranarray(arrays.data))
    assert torch.equal(
        PackedSplit.from_arrays(other).frames, PackedSplit.from_arrays(arrays).frames
    )


def test_a_body_only_in_the_looped_tail_is_not():
    arrays = dense_split(2)
    arrays.num_frames[0] = 20
    arrays.data[0, :, :20, :, 1] = 0
    assert PackedSplit.from_arrays(arrays).first_row[0, 1] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_coordinate_that_is_not_finite_is_named(value):
    arrays = dense_split()
    arrays.data[5, 1, 0, 3, 0] = value
    with pytest.raises(ValueError, match=r"val_data_joint.npy: clip clip05 .* not finite"):
        PackedSplit.from_arrays(arrays)


def test_the_clip_with_the_fault_is_named_and_what_was_not_recorded_has_none():
    arrays = dense_split()
    arrays.num_frames[2] = 10
    arrays.data[2, :, 10:] = np.nan
    PackedSplit.from_arrays(arrays)
    arrays.data[5, 0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="clip clip05 "):
        PackedSplit.from_arrays(arrays)


@pytest.mark.parametrize("sample", [4, 1000])
def test_a_table_on_a_device_is_made_about_as_large_as_it_becomes(monkeypatch, sample):
    arrays = dense_split(60)
    packed = PackedSplit.from_arrays(arrays)
    monkeypatch.setattr(batches, "SAMPLE", sample)
    monkeypatch.setattr(batches, "CHUNK", 4)
    monkeypatch.setattr(batches, "_place", lambda nbytes, device: torch.device("meta"))
    split = PackedSplit.from_arrays(arrays, "cuda")
    assert split.frames.shape == packed.frames.shape
    most = 1.3 if sample < 60 else batches.SLACK
    assert split.frames.untyped_storage().nbytes() <= most * packed.frames.nbytes


def test_the_guess_is_right_where_all_clips_are_looked_at_and_near_where_few_are(monkeypatch):
    arrays = dense_split(200)
    arrays.data[:, :, 0, :, 1] = 0  # second bodies come late
    rows = len(PackedSplit.from_arrays(arrays).frames) - 1
    assert batches._guess_rows(arrays) == pytest.approx(rows)
    monkeypatch.setattr(batches, "SAMPLE", 60)
    assert batches._guess_rows(arrays) != rows
    assert batches._guess_rows(arrays) == pytest.approx(rows, rel=0.1)


def test_a_table_that_was_made_too_small_grows_and_keeps_its_rows():
    chunks = torch.randn(5, 7, 25, 3).split([1, 2, 2])
    table = batches._Table(torch.zeros(1, 25, 3))
    for chunk in chunks:
        table.append(chunk.flatten(0, 1))
    assert table.used == 36
    assert torch.equal(table.rows[1:36], torch.cat(chunks).flatten(0, 1))
    assert (table.rows[0] == 0).all()


def on_disk(folder, mode):
    arrays = dense_split()
    np.save(folder / "val_data_joint.npy", arrays.data)
    mapped = np.lib.format.open_memmap(folder / "val_data_joint.npy", mode=mode)
    return arrays, dataclasses.replace(arrays, data=mapped)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the system does not say")
def test_the_file_does_not_stay_in_memory(tmp_path):
    arrays, mapped = on_disk(tmp_path, "r")
    split = PackedSplit.from_arrays(mapped)
    assert torch.equal(split.frames, PackedSplit.from_arrays(arrays).frames)
    assert resident(mapped.data) == 0
    mapped.data.sum()
    assert resident(mapped.data) > 10**6  # or the test shows nothing


def resident(mapped):
    """Bytes of a memory map that are in memory."""
    _, _, found = Path("/proc/self/smaps").read_text().partition(str(mapped.filename))
    return 1024 * int(found.partition("Rss:")[2].split()[0])


def test_changes_to_a_private_memory_map_survive_its_loading(tmp_path):
    _, mapped = on_disk(tmp_path, "c")
    mapped.data[0, 0, 0, 0, 0] = 7
    PackedSplit.from_arrays(mapped)
    assert mapped.data[0, 0, 0, 0, 0] == 7


def test_an_epoch_holds_each_clip_at_most_once_and_drops_the_rest():
    order = draw_order(11, 4, torch.Generator().manual_seed(0))
    assert order.shape == (2, 4)
    assert len(set(order.flatten().tolist())) == 8


def test_too_few_clips_for_a_batch_are_refused():
    with pytest.raises(ValueError, match="3 clips do not fill one batch; choose --batch-size 3"):
        draw_order(3, 4, torch.Generator())


def _pretraining(seed=0, stream="joint"):
    split = PackedSplit.from_arrays(dense_split())
    return PretrainingBatches(split, stream, 4, torch.Generator().manual_seed(seed))


def test_two_views_have_the_published_layouts():
    loader = _pretraining()
    loader.start_epoch()
    for view in loader.batch(0):
        assert view.time.shape == (4, 64, 150)
        assert view.space.shape == (4, 50, 192)
        clip = view.time.view(4, 64, 2, 25, 3)
        assert torch.equal(view.space, clip.permute(0, 2, 3, 1, 4).reshape(4, 50, 192))


def test_the_two_views_of_a_clip_differ_and_share_their_draw_with_no_other():
    loader = _pretraining()
    loader.start_epoch()
    query, key = loader.batch(0)
    assert not torch.equal(query.time, key.time)
    draws = EpochDraws.draw(loader.split.num_frames, 4, torch.Generator().manual_seed(0))
    flat = draws.window.length.flatten()
    assert len(flat.unique()) > 4
    entries = draws.stages[0].entries.flatten(0, 2)
    assert len(entries.unique(dim=0)) == entries.shape[0]


def ramps(count, frames):
    """Clips whose views tell from which frames they were read."""
    data = np.stack([ramp(frames)] * count)
    names = [f"clip{i:03d}" for i in range(count)]
    lengths, labels = np.full(count, frames), np.zeros(count, np.int64)
    return PackedSplit.from_arrays(SplitArrays(Path("ramps"), data, lengths, labels, names))


def windows(view, frames):
    """(B, 2) start and length of the crop of each clip."""
    return np.array([window_of(clip, frames) for clip in view.time.numpy()])


def test_query_and_key_view_have_a_crop_each_of_the_published_lengths():
    loader = PretrainingBatches(ramps(60, 300), "joint", 60, torch.Generator().manual_seed(0))
    loader.start_epoch()
    query, key = (windows(view, 300) for view in loader.batch(0))
    for drawn in (query, key):
        assert drawn[:, 1].min() == 64
        assert 270 < drawn[:, 1].max() <= 300
        assert len(np.unique(drawn, axis=0)) > 50
    differ = (query != key).mean(axis=0)  # of starts, of lengths; one in 60 is both times 64
    assert (differ > 0.9).all()


@pytest.mark.parametrize(("frames", "shortest"), [(300, 150), (100, 64)])
def test_a_random_crop_downstream_has_half_the_frames_or_more_and_at_least_64(frames, shortest):
    split, draws = ramps(100, frames), torch.Generator().manual_seed(0)
    drawn = windows(downstream_views(split, torch.arange(100), "joint", draws), frames)
    assert shortest <= drawn[:, 1].min() <= 1.1 * shortest
    assert 0.95 * frames < drawn[:, 1].max() <= frames
    assert len(np.unique(drawn[:, 0])) > 20


def test_an_epoch_comes_back_from_its_generator_state():
    first = _pretraining()
    first.start_epoch()
    first.start_epoch()
    again = _pretraining(seed=9)
    again.generator.set_state(first.epoch_state)
    again.start_epoch()
    for step in range(len(first)):
        for one, other in zip(first.batch(step), again.batch(step), strict=True):
            assert torch.equal(one.time, other.time)


def test_epochs_differ():
    loader = _pretraining()
    loader.start_epoch()
    one = loader.batch(0)[0].time
    loader.start_epoch()
    assert not torch.equal(one, loader.batch(0)[0].time)


def test_a_batch_before_its_epoch_is_refused():
    with pytest.raises(RuntimeError, match="start_epoch"):
        _pretraining().batch(0)


def test_downstream_views_are_the_same_every_time_unless_random_crops_are_asked_for():
    split = PackedSplit.from_arrays(dense_split())
    clips = torch.arange(len(split))
    one, again = (downstream_views(split, clips, "bone") for _ in range(2))
    assert torch.equal(one.time, again.time)
    random = downstream_views(split, clips, "bone", torch.Generator().manual_seed(0))
    assert not torch.equal(one.time, random.time)


@pytest.mark.parametrize(("free", "place"), [(10**9, "cuda"), (10**6, "cpu")])
def test_a_table_that_does_not_fit_the_device_stays_with_the_host(monkeypatch, free, place):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
    assert batches._place(2 * 10**6, torch.device("cuda")).type == place


def test_a_table_on_the_host_feeds_another_device():
    split = PackedSplit.from_arrays(dense_split())
    elsewhere = dataclasses.replace(split, device=torch.device("meta"))
    clips = torch.arange(3)
    window = Window(torch.zeros(3, dtype=torch.long), split.num_frames[:3])
    assert elsewhere.sample(clips, sample_window(window)).device.type == "meta"


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(AUGMENTATIONS, "toy", "tests.support.toy_augmentation:TOY")


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_another_pipeline_is_one_row_with_stages_and_a_stream_of_its_own(toy, stream):
    arrays = dense_split()
    split = PackedSplit.from_arrays(arrays)
    loader = PretrainingBatches(split, stream, 4, torch.Generator().manual_seed(0), "toy")
    loader.start_epoch()
    same = torch.Generator().manual_seed(0)
    clips = torch.randperm(11, generator=same)[:8].view(2, 4)
    start, length = draw_crop(split.num_frames[clips][:, None].expand(-1, 2, -1), same)
    by, moved, factor = (
        torch.rand(*sizes, generator=same).unflatten(0, (2, 2, 4)).numpy()
        for sizes in ((16, 3), (16,), (16,))
    )
    assert len(np.unique(moved < 0.5)) == 2
    for step, view, row in itertools.product(range(2), range(2), range(4)):
        at = (step, view, row)
        clip = arrays.data[clips[step, row]].copy()
        frames = arrays.num_frames[clips[step, row]]
        clip = stream_of(crop_resize(clip[:, :frames], int(start[at]), int(length[at])), stream)
        clip = clip + (by[at] if moved[at] < 0.5 else np.zeros(3))[:, None, None, None]
        clip = clip * factor[at]
        got = loader.batch(step)[view]
        np.testing.assert_allclose(got.time[row].numpy(), time_major(clip), atol=1e-5)
        np.testing.assert_allclose(got.space[row].numpy(), space_major(clip), atol=1e-5)


def test_a_further_pipeline_does_not_shift_the_draws_of_the_others(monkeypatch):
    def views():
        loader = _pretraining(stream="bone")
        loader.start_epoch()
        loader.start_epoch()
        return [part for step in range(2) for view in loader.batch(step) for part in view]

    before = views()
    monkeypatch.setitem(AUGMENTATIONS, "toy", "tests.support.toy_augmentation:TOY")
    load_pipeline("toy")
    assert all(map(torch.equal, before, views()))


def test_hico_draws_order_crops_and_then_its_one_choice_from_one_generator():
    split = PackedSplit.from_arrays(dense_split())
    draws = EpochDraws.draw(split.num_frames, 4, torch.Generator().manual_seed(5))
    same = torch.Generator().manual_seed(5)
    clips = torch.randperm(11, generator=same)[:8].view(2, 4)
    window = draw_crop(split.num_frames[clips][:, None].expand(-1, 2, -1), same)
    spatial = draw_spatial(16, same)
    plain = [clips, *window, *(part.unflatten(0, (2, 2, 4)) for part in spatial)]
    assert len(plain) == len(draws.tensors())
    assert all(map(torch.equal, plain, draws.tensors()))


@pytest.mark.parametrize("stream", STREAMS)
def test_hicos_views_are_cropped_sheared_or_corrupted_and_then_made_streams(stream):
    arrays = dense_split()
    split = PackedSplit.from_arrays(arrays)
    loader = PretrainingBatches(split, stream, 4, torch.Generator().manual_seed(1))
    loader.start_epoch()
    same = torch.Generator().manual_seed(1)
    clips = torch.randperm(11, generator=same)[:8].view(2, 4)
    start, length = draw_crop(split.num_frames[clips][:, None].expand(-1, 2, -1), same)
    drawn = [part.numpy() for part in draw_spatial(16, same)]
    kinds = set()
    for row, at in enumerate(itertools.product(range(2), range(2), range(4))):
        step, view, place = at
        number = clips[step, place]
        recorded = arrays.data[number][:, : arrays.num_frames[number]]
        clip = crop_resize(recorded, int(start[at]), int(length[at]))
        sheared, zero, joints, entries = (part[row] for part in drawn)
        touched = np.flatnonzero(np.argsort(joints, kind="stable") < 15)
        if sheared < 0.5:
            clip = shear(clip, entries[:6] * 2 - 1)
        elif zero < 0.5:
            clip = zero_joints(clip, touched)
        else:
            clip = mix_joints(clip, touched, (entries * 2 - 1).reshape(3, 3))
        kinds.add((sheared < 0.5, sheared < 0.5 or zero < 0.5))
        taken, got = stream_of(clip, stream), loader.batch(step)[view]
        for mine, plainly in ((got.time, time_major), (got.space, space_major)):
            np.testing.assert_allclose(mine[place].numpy(), plainly(taken), atol=1e-5)
    assert len(kinds) == 3


def test_a_recorded_step_finds_the_draws_of_each_epoch_where_they_were(toy):
    split = PackedSplit.from_arrays(dense_split())
    loader = PretrainingBatches(split, "joint", 4, torch.Generator().manual_seed(0), "toy")
    loader.start_epoch()
    places = [part.data_ptr() for part in loader._draws.tensors()]
    first = loader.batch(1)[0].time
    loader.start_epoch()
    assert [part.data_ptr() for part in loader._draws.tensors()] == places
    assert not torch.equal(first, loader.views()[0].time)


def test_an_unknown_pipeline_and_one_without_a_stream_are_refused():
    split = PackedSplit.from_arrays(dense_split())
    with pytest.raises(
        ValueError, match="^augmentation none: choose one of hico, strong, strong-sided$"
    ):
        PretrainingBatches(split, "joint", 4, torch.Generator(), "none")
    for steps in ((SPATIAL,), (STREAM, SPATIAL, STREAM)):
        with pytest.raises(ValueError, match="takes the stream once"):
            Pipeline(steps)


def test_the_parts_of_a_batch_are_the_batch_for_every_pipeline():
    split = PackedSplit.from_arrays(dense_split())
    for name in AUGMENTATIONS:

        def epoch(rows, name=name):
            generator = torch.Generator().manual_seed(4)
            made = PretrainingBatches(split, "joint", 4, generator, name, rows)
            made.start_epoch()
            assert len(made) == 2
            return [layout for view in made.batch(1) for layout in view]  # four of (B, …)

        whole, first, second = map(epoch, (slice(0, 4), slice(0, 2), slice(2, 4)))
        for batch, one, other in zip(whole, first, second, strict=True):
            torch.testing.assert_close(torch.cat([one, other]), batch, rtol=1e-6, atol=1e-6)
