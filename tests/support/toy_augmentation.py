"""A second pipeline of augmentations: the stream first, then two independent stages."""

from typing import NamedTuple

import torch
from torch import Tensor

from dataset.augment import STREAM, Pipeline, Stage


class Shift(NamedTuple):
    """How far each of N clips is moved, (N, 3), and whether it is, (N,)."""

    by: Tensor
    moved: Tensor


class Scale(NamedTuple):
    """What each of N clips is multiplied with, (N,)."""

    factor: Tensor


def draw_shift(count: int, generator: torch.Generator) -> Shift:
    """Draw N shifts, of which about half take place."""
    return Shift(
        torch.rand(count, 3, generator=generator),
        torch.rand(count, generator=generator) < 0.5,
    )


def shift(clips: Tensor, draws: Shift) -> Tensor:
    """Move whole clips (N, T, M, V, C)."""
    by = draws.by * draws.moved[:, None]
    return clips + by[:, None, None, None]


def draw_scale(count: int, generator: torch.Generator) -> Scale:
    """Draw N factors."""
    return Scale(torch.rand(count, generator=generator))


def scale(clips: Tensor, draws: Scale) -> Tensor:
    """Multiply whole clips (N, T, M, V, C)."""
    return clips * draws.factor[:, None, None, None, None]


TOY = Pipeline((STREAM, Stage(draw_shift, shift), Stage(draw_scale, scale)))
