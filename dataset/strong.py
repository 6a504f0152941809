"""SCD-Net's augmentation ("strong"): five changes of a view, each taken by an even chance.

Axes: N clips, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres, body-centred).
Joint, motion or bone is taken first, from the resampled frames; HiCo takes it last. What a draw
stands for is worked out when it is drawn, on the CPU and once an epoch, so that a step only applies
it: a change that is not taken is drawn as the one that changes nothing.

Source: SCD-Net (Wu et al., AAAI 2024, arXiv:2309.05834), released code. It does not say in which
order the three turns of a rotation are made; here first about x, then y, then z.
"""

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from dataset.augment import STREAM, Pipeline, Stage, shear_matrices, transform_joints
from dataset.skeleton import MIRRORED, NUM_COORDINATES, NUM_JOINTS, PARENTS

CHANCE = 0.5
"""Of each change."""
LARGE_TURN, SMALL_TURN = 30.0, 1.0
"""Largest angles in degrees: about one axis, and about the other two."""
SEEDS, HIDDEN_JOINTS = 5, 8
"""Joints that are drawn, and joints set to 0 around them."""
BLOCKS, HIDDEN_BLOCKS = 16, 6
"""Blocks of four frames in a view, and how many are set to 0."""


class Linear(NamedTuple):
    """What a point p of each of N clips becomes: matrix p, (N, 3, 3)."""

    matrix: Tensor


class Chosen(NamedTuple):
    """Which clips (N,), joints (N, V) or blocks of frames (N, 16) are changed, boolean."""

    chosen: Tensor


def draw_taken(count: int, generator: torch.Generator) -> Tensor:
    """Draw which of N clips a change is made to: (N,) boolean."""
    return torch.rand(count, generator=generator) < CHANCE


def rotation_matrices(degrees: Tensor) -> Tensor:
    """Turn about x, then y, then z: Rz Ry Rx.

    Args:
        degrees: (N, 3) angles about x, y and z, counter-clockwise.

    Returns:
        (N, 3, 3).
    """
    angle = degrees.deg2rad()
    turns = torch.eye(NUM_COORDINATES).repeat(len(degrees), NUM_COORDINATES, 1, 1)
    for axis in range(NUM_COORDINATES):
        first, second = (axis + 1) % NUM_COORDINATES, (axis + 2) % NUM_COORDINATES
        cosine, sine = angle[:, axis].cos(), angle[:, axis].sin()
        turns[:, axis, first, first] = turns[:, axis, second, second] = cosine
        turns[:, axis, first, second], turns[:, axis, second, first] = -sine, sine
    x, y, z = turns.unbind(dim=1)
    return z @ y @ x


def draw_rotation(count: int, generator: torch.Generator) -> Linear:
    """Draw angles in [0, 30) degrees about one axis and in [0, 1) about the other two."""
    taken = draw_taken(count, generator)
    axis = torch.randint(NUM_COORDINATES, (count, 1), generator=generator)
    uniform = torch.rand(count, NUM_COORDINATES, generator=generator)
    largest = torch.full_like(uniform, SMALL_TURN).scatter_(1, axis, LARGE_TURN)
    return Linear(rotation_matrices(uniform * largest * taken[:, None]))


def draw_shear(count: int, generator: torch.Generator) -> Linear:
    """Draw HiCo's shear: six entries off the diagonal, in [-1, 1)."""
    taken = draw_taken(count, generator)
    entries = torch.rand(count, 6, generator=generator) * 2 - 1
    return Linear(shear_matrices(entries * taken[:, None]))


def move(clips: Tensor, draws: Linear) -> Tensor:
    """Apply its matrix to all joints of each clip: (N, T, M, V, C) to the same."""
    return transform_joints(clips, draws.matrix[:, None].expand(-1, clips.shape[3], -1, -1))


def draw_flip(count: int, generator: torch.Generator) -> Chosen:
    """Draw which clips are flipped."""
    return Chosen(draw_taken(count, generator))


def flip(clips: Tensor, draws: Chosen) -> Tensor:
    """Let left and right joints exchange places; no coordinate changes its sign."""
    flipped = clips.index_select(3, _mirrored(clips.device))
    return torch.where(draws.chosen[:, None, None, None, None], flipped, clips)


@cache  # a copy from the host, which a recorded step may not make
def _mirrored(device: torch.device) -> Tensor:
    return torch.tensor(MIRRORED, device=device)


def adjacency() -> Tensor:
    """Which joints a bone joins, (V, V) of 0 and 1, symmetric; no joint is joined to itself."""
    joined = torch.zeros(NUM_JOINTS, NUM_JOINTS, dtype=torch.int64)
    for joint, parent in enumerate(PARENTS):
        if joint != parent:  # the root
            joined[joint, parent] = joined[parent, joint] = 1
    return joined


def joints_around(seeds: Tensor) -> Tensor:
    """The joints that most walks of two bones from the seeds end at.

    The squared adjacency counts those walks: as many as it has bones from a joint back to itself,
    one to each joint two bones away. Of equal sums the joint of smaller number comes first.

    Args:
        seeds: (N, 5) joints, one may be there more than once.

    Returns:
        (N, V) boolean, 8 of each row.
    """
    joined = adjacency()
    walks = (joined @ joined)[seeds].sum(dim=1)  # (N, V)
    nearest = walks.argsort(dim=1, descending=True, stable=True)[:, :HIDDEN_JOINTS]
    return torch.zeros_like(walks, dtype=torch.bool).scatter_(1, nearest, True)


def draw_joint_mask(count: int, generator: torch.Generator) -> Chosen:
    """Draw five joints with replacement; `joints_around` them are hidden."""
    taken = draw_taken(count, generator)
    seeds = torch.randint(NUM_JOINTS, (count, SEEDS), generator=generator)
    return Chosen(joints_around(seeds) & taken[:, None])


def hide_joints(clips: Tensor, draws: Chosen) -> Tensor:
    """Set joints to 0 in all frames and both bodies."""
    return clips.masked_fill(draws.chosen[:, None, None, :, None], 0)


def draw_time_mask(count: int, generator: torch.Generator) -> Chosen:
    """Draw 6 of 16 blocks of frames, without replacement."""
    taken = draw_taken(count, generator)
    order = torch.rand(count, BLOCKS, generator=generator).argsort(dim=1, stable=True)
    return Chosen((order < HIDDEN_BLOCKS) & taken[:, None])


def hide_frames(clips: Tensor, draws: Chosen) -> Tensor:
    """Set blocks of frames to 0."""
    blocks = clips.unflatten(1, (BLOCKS, -1))  # (N, 16, 4, M, V, C)
    return blocks.masked_fill(draws.chosen[:, :, None, None, None, None], 0).flatten(1, 2)


ROTATE = Stage(draw_rotation, move)
FLIP = Stage(draw_flip, flip)
SHEAR = Stage(draw_shear, move)
JOINT_MASK = Stage(draw_joint_mask, hide_joints)
TIME_MASK = Stage(draw_time_mask, hide_frames)
STRONG = Pipeline((STREAM, ROTATE, FLIP, SHEAR, JOINT_MASK, TIME_MASK))
SIDED = Pipeline(tuple(step for step in STRONG.steps if step is not FLIP))
"""Without the flip: for classes that tell left from right."""
