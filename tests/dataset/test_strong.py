"""The strong augmentation against a plain one clip by clip, and how often each change is made."""

import itertools

import numpy as np
import pytest
import torch

from dataset.augment import STREAM, draw_crop, load_pipeline
from dataset.batches import PretrainingBatches
from dataset.packed import PackedSplit
from dataset.skeleton import MIRRORED
from dataset.strong import (
    FLIP,
    JOINT_MASK,
    ROTATE,
    SHEAR,
    STRONG,
    TIME_MASK,
    draw_rotation,
    draw_shear,
    joints_around,
    rotation_matrices,
)
from tests.dataset.test_augment import uniform_by_chance
from tests.dataset.test_batches import dense_split
from tests.oracles import strong as oracle
from tests.oracles.augment import crop_resize, shear, space_major, stream_of, time_major

MANY = 8_000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clips_of(count):
    """Clips as batches lie (N, T, M, V, C), none of whose coordinates is zero."""
    return torch.rand(count, 64, 2, 25, 3, generator=seeded(9)) + 0.5


def plainly(change, clips):
    """Apply a change of one clip (C, T, V, M) to each of N as batches lie."""
    changed = [change(row, clip.transpose(3, 0, 2, 1)) for row, clip in enumerate(clips.numpy())]
    return torch.from_numpy(np.stack(changed).transpose(0, 2, 4, 3, 1).copy())


def plain_draws(count, generator):
    """What the five stages draw, one after the other, and a change for each by clip and row."""

    def taken():
        return (torch.rand(count, generator=generator) < 0.5).numpy()

    rotated = taken()
    axis = torch.randint(3, (count, 1), generator=generator).numpy()
    largest = np.where(np.arange(3) == axis, 30, 1)
    degrees = torch.rand(count, 3, generator=generator).numpy() * largest
    flipped, sheared = taken(), taken()
    entries = torch.rand(count, 6, generator=generator).numpy() * 2 - 1
    hidden = taken()
    seeds = torch.randint(25, (count, 5), generator=generator).numpy()
    blank = taken()
    order = torch.rand(count, 16, generator=generator).argsort(dim=1).numpy()
    return {
        "rotate": lambda i, clip: oracle.rotate(clip, degrees[i]) if rotated[i] else clip,
        "flip": lambda i, clip: oracle.flip(clip) if flipped[i] else clip,
        "shear": lambda i, clip: shear(clip, entries[i]) if sheared[i] else clip,
        "joints": lambda i, clip: oracle.mask_joints(clip, seeds[i]) if hidden[i] else clip,
        "time": lambda i, clip: oracle.mask_time(clip, order[i]) if blank[i] else clip,
    }


STAGES = {
    "rotate": ROTATE,
    "flip": FLIP,
    "shear": SHEAR,
    "joints": JOINT_MASK,
    "time": TIME_MASK,
}


@pytest.mark.parametrize("name", STAGES)
def test_each_stage_does_to_every_clip_what_was_drawn_for_it(name):
    mine, same, clips = seeded(), seeded(), clips_of(48)
    changes = plain_draws(48, same)
    drawn = {each: stage.draw(48, mine) for each, stage in STAGES.items()}
    got = STAGES[name].apply(clips, drawn[name])
    torch.testing.assert_close(got, plainly(changes[name], clips), atol=1e-5, rtol=0)
    unchanged = (got == clips).flatten(1).all(dim=1)
    assert 0 < unchanged.sum() < 48


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_a_batch_is_cropped_made_a_stream_and_then_changed_five_times(stream):
    arrays = dense_split()
    split = PackedSplit.from_arrays(arrays)
    loader = PretrainingBatches(split, stream, 4, seeded(), "strong")
    loader.start_epoch()
    same = seeded()
    clips = torch.randperm(11, generator=same)[:8].view(2, 4)
    start, length = draw_crop(split.num_frames[clips][:, None].expand(-1, 2, -1), same)
    changes = plain_draws(16, same)
    for row, at in enumerate(itertools.product(range(2), range(2), range(4))):
        step, view, place = at
        number = clips[step, place]
        recorded = arrays.data[number][:, : arrays.num_frames[number]]
        clip = stream_of(crop_resize(recorded, int(start[at]), int(length[at])), stream)
        for change in changes.values():
            clip = change(row, clip)
        got = loader.batch(step)[view]
        np.testing.assert_allclose(got.time[place].numpy(), time_major(clip), atol=1e-5)
        np.testing.assert_allclose(got.space[place].numpy(), space_major(clip), atol=1e-5)


def test_the_stream_is_taken_first_and_the_changes_have_their_order():
    assert STRONG.steps == (STREAM, *STAGES.values())
    assert load_pipeline("strong") is STRONG


@pytest.mark.parametrize(("name", "crossed"), [("strong", True), ("strong-sided", False)])
def test_left_stays_left_only_where_the_name_says_so(name, crossed):
    pipeline, clips = load_pipeline(name), clips_of(32)
    one_side = [joint for joint, other in enumerate(MIRRORED) if other > joint]
    clips[:, :, :, one_side] = 0
    draws = [stage.draw(len(clips), seeded()) for stage in pipeline.stages]
    changed = pipeline.apply(clips, draws, "joint")
    assert len(pipeline.stages) == 4 + crossed
    assert changed[:, :, :, one_side].any() == crossed


@pytest.mark.parametrize("name", STAGES)
def test_each_change_is_made_to_half_of_the_clips_whatever_the_others(name):
    """The draws of all stages are one stream of numbers, so they are looked at together."""
    generator = seeded(3)
    changed = {}
    for each, stage in STAGES.items():
        (draws,) = stage.draw(MANY, generator)
        unchanged = torch.eye(3) if draws.dim() == 3 else torch.zeros(())
        changed[each] = (draws != unchanged).view(MANY, -1).any(dim=1)
    mine = changed.pop(name)
    tolerance = 4 * 0.5 / MANY**0.5
    assert abs(mine.double().mean() - 0.5) < tolerance
    for other in changed.values():
        assert abs((mine & other).double().mean() - 0.25) < tolerance


def test_a_rotation_turns_about_x_then_y_then_z():
    quarter = torch.tensor([[90.0, 90.0, 0.0], [0.0, 90.0, 90.0]])
    moved = rotation_matrices(quarter) @ torch.tensor([0.0, 0.0, 1.0])
    # About x, z becomes -y, which stays about y; about y, z becomes x, and about z that is y.
    expected = torch.tensor([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]])
    torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)


def test_one_angle_is_up_to_thirty_degrees_and_the_others_up_to_one():
    matrix = draw_rotation(MANY, seeded()).matrix.double()
    matrix = matrix[(matrix != torch.eye(3)).flatten(1).any(dim=1)]
    # Of Rz Ry Rx: the bottom row is (-sin y, cos y sin x, cos y cos x).
    x = torch.atan2(matrix[:, 2, 1], matrix[:, 2, 2])
    y = -torch.asin(matrix[:, 2, 0])
    z = torch.atan2(matrix[:, 1, 0], matrix[:, 0, 0])
    angles = torch.stack([x, y, z], dim=1).rad2deg()
    assert angles.min() > -1e-4
    largest, axis = angles.max(dim=1)
    chosen = torch.bincount(axis[largest > 1.001], minlength=3) / (largest > 1.001).sum()
    assert (chosen - 1 / 3).abs().max() < 0.04
    others = angles.scatter(1, axis[:, None], -1)[largest > 1.001]
    assert uniform_by_chance(others[others >= 0], 0, 1)
    assert largest.max() < 30.001
    assert uniform_by_chance(largest[largest > 2], 2, 30)


def test_shear_entries_are_uniform():
    matrix = draw_shear(MANY, seeded()).matrix
    matrix = matrix[(matrix != torch.eye(3)).flatten(1).any(dim=1)]
    assert (matrix.diagonal(dim1=1, dim2=2) == 1).all()
    for entry in matrix[:, ~torch.eye(3, dtype=torch.bool)].T:
        assert uniform_by_chance(entry, -1, 1)


def test_masks_hide_eight_joints_and_six_blocks_of_frames():
    clips = clips_of(64)
    joints = JOINT_MASK.draw(64, seeded())
    hidden = (JOINT_MASK.apply(clips, joints) == 0).all(dim=(1, 2, 4)).sum(dim=1)
    assert set(hidden.tolist()) == {0, 8}
    frames = TIME_MASK.draw(64, seeded())
    hidden = (TIME_MASK.apply(clips, frames) == 0).all(dim=(2, 3, 4)).sum(dim=1)
    assert set(hidden.tolist()) == {0, 24}


def test_every_block_of_frames_is_hidden_alike():
    chosen = TIME_MASK.draw(MANY, seeded()).chosen
    share = chosen[chosen.any(dim=1)].double().mean(dim=0)
    assert (share - 6 / 16).abs().max() < 0.04


def test_around_one_joint_drawn_five_times_lie_those_two_bones_away_then_the_smallest():
    head = torch.tensor([[3] * 5])  # two bones from itself and from the joint of the shoulders
    assert joints_around(head).nonzero()[:, 1].tolist() == [0, 1, 2, 3, 4, 5, 6, 20]
    assert sorted(oracle.hidden_joints(np.array([3] * 5))) == [0, 1, 2, 3, 4, 5, 6, 20]


def test_no_stage_changes_the_clips_it_is_given():
    clips = clips_of(8)
    before = clips.clone()
    for stage in STAGES.values():
        stage.apply(clips, stage.draw(8, seeded()))
    assert torch.equal(clips, before)
