"""Random augmentations of batches of clips: temporal crop-resize, shear, joint corruption.

Axes: N clips, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres, body-centred).
Batches lie (N, T, M, V, C), so that the time-major layout is a view. Whatever is random is drawn by
a `draw_…` function from the generator it is given, on the CPU, so that results do not depend on the
device that computes with them; all other functions are pure.

A `Pipeline` says what happens to a view after its crop. To add one, write its stages and one row in
`dataset.protocols.AUGMENTATIONS`; `--augmentation` then takes its name:

    FLIP = Stage(draw_flip, flip)  # draw_flip(count, generator) -> NamedTuple of (count, …) tensors
    FLIPPED_BONES = Pipeline((STREAM, FLIP, SPATIAL))  # joint, motion or bone is taken first

Source of every constant: the published code (docs/reproduce.md, "What is faithful").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dataset.protocols import AUGMENTATIONS
from dataset.skeleton import NUM_COORDINATES, NUM_JOINTS
from dataset.streams import to_stream

FRAMES = 64
"""Frames of a view, and the shortest window that is cropped."""
SHORTEST_CROP = 0.1
"""Pre-training cuts windows of this share of a clip or more."""
PROBE_SHORTEST_CROP = 0.5
"""Shortest share of the ancestor's random crop for training a probe."""
CENTRE_CROP = 0.95
"""Share of a clip that is kept downstream."""
CORRUPTED_JOINTS = 15
"""Joints, of 25, that corruption touches."""


class Window(NamedTuple):
    """Which frames of each clip are kept.

    Attributes:
        start: (N,) first frame, integer.
        length: (N,) frames, integer, at least 1.
    """

    start: Tensor
    length: Tensor


class Samples(NamedTuple):
    """Where a window is read to get a fixed number of frames T, by linear interpolation.

    Attributes:
        low: (N, T) frame before each sample, integer.
        high: (N, T) frame after it; the same one at the window's end.
        weight: (N, T) share of `high`, in [0, 1).
    """

    low: Tensor
    high: Tensor
    weight: Tensor


def crop_lengths(uniform: Tensor, num_frames: Tensor, shortest: float = SHORTEST_CROP) -> Tensor:
    """Lengths of random windows: min(max(floor(n · ((1 - shortest)·u + shortest)), 64), n).

    Args:
        uniform: (N,) draws u in [0, 1), float64 as published; float32 would round to other lengths.
        num_frames: (N,) frames n of each clip, integer.
        shortest: least share of a clip.

    Returns:
        (N,) int64. A clip of 64 frames or fewer keeps its length.
    """
    share = uniform.double() * (1 - shortest) + shortest
    length = (num_frames * share).floor().long().clamp(min=FRAMES)
    return torch.minimum(length, num_frames)


def draw_crop(
    num_frames: Tensor, generator: torch.Generator, shortest: float = SHORTEST_CROP
) -> Window:
    """Draw a window for each clip, its length first, its start uniform in 0 … n - length.

    Args:
        num_frames: (…) frames of each clip, int64 on the CPU.
        generator: of the CPU.
        shortest: least share of a clip.

    Returns:
        Window, each (…).
    """
    uniform = torch.rand(2, *num_frames.shape, dtype=torch.float64, generator=generator)
    length = crop_lengths(uniform[0], num_frames, shortest)
    return Window((uniform[1] * (num_frames - length + 1)).long(), length)


def centre_window(num_frames: Tensor, share: float = CENTRE_CROP) -> Window:
    """The middle of each clip: start int((1 - share)·n / 2), as much left out at the end.

    Args:
        num_frames: (N,) frames n of each clip, integer.
        share: about how much of a clip is kept.

    Returns:
        Window, each (N,).
    """
    start = (num_frames.double() * (1 - share) / 2).long()
    return Window(start, num_frames - 2 * start)


def sample_window(window: Window, frames: int = FRAMES) -> Samples:
    """Spread a fixed number of samples over each window, half-pixel centres.

    Args:
        window: start and length, each (N,).
        frames: T, samples a window.

    Returns:
        Samples, each (N, T): where F.interpolate(align_corners=False) reads.
    """
    start, length = window.start[:, None], window.length[:, None]
    steps = torch.arange(frames, device=length.device, dtype=torch.float32)
    centre = (length.float() / frames * (steps + 0.5) - 0.5).clamp(min=0)  # (N, T)
    low = centre.long()  # floor: never negative
    high = torch.minimum(low + 1, length - 1)
    return Samples(start + low, start + high, centre - low)


def shear_matrices(draws: Tensor) -> Tensor:
    """Shear S, identity but for six off-diagonal entries; a point becomes S p.

    Args:
        draws: (N, 6) off-diagonal entries, row by row.

    Returns:
        (N, 3, 3).
    """
    one = torch.ones_like(draws[:, :1])
    # Between two ones of the diagonal lie three of the others.
    rows = torch.cat([one, draws[:, :3], one, draws[:, 3:], one], dim=1)
    return rows.view(-1, NUM_COORDINATES, NUM_COORDINATES)


def joint_matrices(corrupted: Tensor, matrices: Tensor) -> Tensor:
    """One matrix a joint: the clip's own where the joint is touched, the identity elsewhere.

    Args:
        corrupted: (N, V) which joints are touched, boolean.
        matrices: (N, 3, 3).

    Returns:
        (N, V, 3, 3).
    """
    identity = torch.eye(NUM_COORDINATES, dtype=matrices.dtype, device=matrices.device)
    return torch.where(corrupted[:, :, None, None], matrices[:, None], identity)


class SpatialDraws(NamedTuple):
    """What is random in the spatial augmentation of N views, uniform in [0, 1).

    Attributes:
        shear: (…) below 0.5 the view is sheared, else its joints are corrupted.
        zero: (…) below 0.5 corruption sets joints to zero, else it mixes their coordinates.
        joints: (…, V) whose order decides which joints are corrupted.
        entries: (…, 9) of the matrices.
    """

    shear: Tensor
    zero: Tensor
    joints: Tensor
    entries: Tensor


def draw_spatial(count: int, generator: torch.Generator) -> SpatialDraws:
    """Draw one spatial augmentation a view; it serves all frames and both bodies.

    Args:
        count: N.
        generator: of the CPU.

    Returns:
        SpatialDraws of N views, float32.
    """
    choice = torch.rand(2, count, 1, generator=generator)
    joints = torch.rand(count, NUM_JOINTS, generator=generator)
    entries = torch.rand(count, 9, generator=generator)
    return SpatialDraws(choice[0, :, 0], choice[1, :, 0], joints, entries)


def spatial_matrices(draws: SpatialDraws) -> Tensor:
    """Shear or joint corruption, with equal chance.

    Corruption takes 15 joints without replacement and, with equal chance, sets them to zero or
    mixes their coordinates, p to pᵀR, R a full matrix uniform in [-1, 1]. All are linear, so each
    is a matrix for each joint.

    Args:
        draws: of N views.

    Returns:
        (N, V, 3, 3) float32; joint v of a clip becomes matrix[v] p.
    """
    shear, zero = draws.shear[:, None] < 0.5, draws.zero[:, None] < 0.5  # each (N, 1)
    order = draws.joints.argsort(dim=1, stable=True)  # stable: the same on every device
    entries = draws.entries * 2 - 1
    mixing = entries.view(-1, 3, 3).mT  # p R read as a column
    corruption = mixing.masked_fill(zero[:, :, None], 0)
    matrices = torch.where(shear[:, :, None], shear_matrices(entries[:, :6]), corruption)
    return joint_matrices(shear | (order < CORRUPTED_JOINTS), matrices)


def transform_joints(clips: Tensor, matrices: Tensor) -> Tensor:
    """Apply a clip's matrices to its joints, in all frames and both bodies.

    Args:
        clips: (N, T, M, V, C).
        matrices: (N, V, 3, 3).

    Returns:
        (N, T, M, V, C).
    """
    N, T, M, V, C = clips.shape
    if clips.device.type != "cpu":  # where a product may be rounded to tf32
        first, second, third = matrices[:, None, None].unbind(-1)  # columns, (N, 1, 1, V, 3)
        moved = torch.addcmul(clips[..., :1] * first, clips[..., 1:2], second)
        return torch.addcmul(moved, clips[..., 2:], third)
    # One block-diagonal matrix a clip: a single batched product that leaves the frames in order.
    blocks = clips.new_zeros(N, V, C, V, C)
    joints = torch.arange(V, device=clips.device)
    blocks[:, joints, :, joints] = matrices.mT.transpose(0, 1)
    flat = clips.reshape(N, T * M, V * C)
    return (flat @ blocks.view(N, V * C, V * C)).view(N, T, M, V, C)


class Stage(NamedTuple):
    """One random change of the views of a batch.

    Attributes:
        draw: (N, generator of the CPU) to a NamedTuple of tensors, (N, …) each.
        apply: (clips, draws) to clips, both (N, T, M, V, C); the draws lie beside the clips. Pure,
            and it copies nothing from the host, which a recorded CUDA step may not do.
    """

    draw: Callable[[int, torch.Generator], Any]
    apply: Callable[[Tensor, Any], Tensor]


STREAM = "stream"
"""Where a pipeline takes joint, motion or bone."""


@dataclass(frozen=True)
class Pipeline:
    """What happens to a view after its crop, in this order.

    Attributes:
        steps: stages, and STREAM once.

    Raises:
        ValueError: when STREAM is not there once.
    """

    steps: tuple[Stage | str, ...]

    def __post_init__(self) -> None:
        if self.steps.count(STREAM) != 1:
            raise ValueError("a pipeline takes the stream once; put STREAM where it does")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What is random."""
        return tuple(step for step in self.steps if step != STREAM)

    def apply(self, clips: Tensor, draws: Sequence[Any], stream: str) -> Tensor:
        """Change (N, T, M, V, C) clips by the draws of each stage; the same shape comes out."""
        left = iter(draws)
        for step in self.steps:
            clips = to_stream(clips, stream) if step == STREAM else step.apply(clips, next(left))
        return clips


def load_pipeline(name: str) -> Pipeline:
    """Find a pipeline by its row in AUGMENTATIONS.

    Raises:
        ValueError: no such row.
    """
    if name not in AUGMENTATIONS:
        raise ValueError(f"augmentation {name}: choose one of {', '.join(AUGMENTATIONS)}")
    module, _, item = AUGMENTATIONS[name].partition(":")
    return getattr(import_module(module), item)


def augment_spatially(clips: Tensor, draws: SpatialDraws) -> Tensor:
    """Shear or corrupt each of N clips (N, T, M, V, C) by its draws."""
    return transform_joints(clips, spatial_matrices(draws))


SPATIAL = Stage(draw_spatial, augment_spatially)
"""HiCo's one choice: shear or joint corruption."""
HICO = Pipeline((SPATIAL, STREAM))
"""As published: the stream is taken from the augmented joints."""
