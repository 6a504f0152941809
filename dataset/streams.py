"""The three streams: joint, motion, bone; a pipeline of augmentations says when they are taken.

Axes: N clips, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres).
"""

from functools import cache

import torch
from torch import Tensor

from dataset.skeleton import PARENTS


def motion(clips: Tensor) -> Tensor:
    """m[t] = x[t+1] - x[t], the last frame 0: (N, T, M, V, C) to the same, metres a frame."""
    moved = torch.zeros_like(clips)
    torch.sub(clips[:, 1:], clips[:, :-1], out=moved[:, :-1])
    return moved


def bone(clips: Tensor) -> Tensor:
    """b[v] = x[v] - x[parent(v)]: (N, T, M, V, C) to the same, metres."""
    return clips - clips.gather(3, _parents(clips.device)[:, None].expand_as(clips))


@cache  # a copy from the host, which a captured step may not make
def _parents(device: torch.device) -> Tensor:
    return torch.tensor(PARENTS, device=device)


def to_stream(clips: Tensor, stream: str) -> Tensor:
    """Choose a stream by name.

    Args:
        clips: (N, T, M, V, C) joint positions.
        stream: "joint", "motion" or "bone".

    Returns:
        (N, T, M, V, C).

    Raises:
        ValueError: another name.
    """
    streams = {"joint": lambda x: x, "motion": motion, "bone": bone}
    if stream not in streams:
        raise ValueError(f"stream {stream}: choose one of {', '.join(streams)}")
    return streams[stream](clips)
