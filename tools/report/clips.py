"""Clips as the page plays them: few frames, small whole numbers, each clip stored once.

Axes: N clips, T frames, M=2 bodies, V=25 joints, C=3 coordinates (metres).
"""

import base64
import re
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dataset.augment import (
    CORRUPTED_JOINTS,
    SpatialDraws,
    Window,
    centre_window,
    draw_crop,
    draw_spatial,
    sample_window,
    spatial_matrices,
    transform_joints,
)
from dataset.packed import PackedSplit
from dataset.skeleton import JOINT_NAMES
from tools.evaluation.results import Json

LARGEST = 127
"""Coordinates are stored as whole numbers from -127 to 127: half a percent of a body's size."""
VIEW_FRAMES = 32


def quantise(joints: Tensor) -> Json:
    """Store one clip as the page reads it.

    Args:
        joints: (T, M, V, C) metres.

    Returns:
        Frames, bodies, metres of one whole number (scale), and data: base64 of int8 in the order
        frame, body, joint, coordinate. A second body that is nowhere is left out.
    """
    values = joints.cpu().numpy()
    if not values[:, 1].any():
        values = values[:, :1]
    scale = float(np.abs(values).max()) / LARGEST or 1.0
    whole = np.rint(values / scale).astype(np.int8)
    return {
        "frames": len(values),
        "bodies": values.shape[1],
        "scale": scale,
        "data": base64.b64encode(whole.tobytes()).decode(),
    }


def performer(name: str) -> str | None:
    """Who performs, where the name says so as NTU RGB+D's do, or UTD-MHAD's."""
    found = re.search(r"S\d{3}C\d{3}P(\d{3})R\d{3}A\d{3}", name) or re.match(r"a\d+_s(\d+)_t", name)
    return str(int(found[1])) if found else None


class ClipStore:
    """All clips of a page; asked twice for the same clip it stores it once."""

    def __init__(self) -> None:
        self.clips: list[Json] = []
        self._places: dict[tuple[int, int, int], int] = {}

    def add(self, split: PackedSplit, clip: int, frames: int) -> int:
        """Store a clip of a split and return its place in `clips`."""
        key = (id(split), clip, frames)
        if key not in self._places:
            self._places[key] = len(self.clips)
            rows = torch.tensor([clip])
            window = centre_window(split.num_frames[rows])
            about = {
                "name": split.names[clip],
                "label": int(split.labels[clip]),
                "who": performer(split.names[clip]),
                "recorded": int(split.num_frames[clip]),
            }
            self.clips.append(
                about | quantise(split.sample(rows, sample_window(window, frames))[0])
            )
        return self._places[key]


class View(NamedTuple):
    """One way in which the network is shown a clip.

    Attributes:
        title: what it is called.
        shear: below 0.5 the view is sheared, else its joints are corrupted; None for neither.
        zero: below 0.5 corrupted joints are set to zero, else mixed; None as drawn.
        cropped: whether its frames are cropped.
    """

    title: str
    shear: float | None
    zero: float | None
    cropped: bool


VIEWS = (
    View("as recorded", None, None, False),
    View("cropped", None, None, True),
    View("sheared", 0.0, None, False),
    View("corrupted to zero", 1.0, 0.0, False),
    View("corrupted by mixing", 1.0, 1.0, False),
    View("query view", -1.0, None, True),
    View("key view", -1.0, None, True),
)
"""A negative choice is drawn, as in training; the pair shows what one step compares."""


def show_views(split: PackedSplit, clips: list[int], generator: torch.Generator) -> list[Json]:
    """Show clips as pre-training sees them: cropped, sheared, corrupted, and one pair of views."""
    return [
        {
            "name": split.names[clip],
            "label": int(split.labels[clip]),
            "views": [_view(split, clip, view, generator) for view in VIEWS],
        }
        for clip in clips
    ]


def _view(split: PackedSplit, clip: int, view: View, generator: torch.Generator) -> Json:
    rows = torch.tensor([clip])
    length = split.num_frames[rows]
    window = draw_crop(length, generator) if view.cropped else Window(length * 0, length)
    joints = split.sample(rows, sample_window(window, VIEW_FRAMES))
    said, touched = [_say_window(window, int(length))], []
    if view.shear is not None:
        draws = _forced(draw_spatial(1, generator), view)
        joints = transform_joints(joints, spatial_matrices(draws).to(joints.device))
        how, touched = _say_spatial(draws)
        said.append(how)
    return {
        "title": view.title,
        "said": ", ".join(said),
        "touched": touched,
        "clip": quantise(joints[0]),
    }


def _forced(draws: SpatialDraws, view: View) -> SpatialDraws:
    """The draws with the choices that a view shows; what is negative or None stays drawn."""
    if view.shear is not None and view.shear >= 0:
        draws = draws._replace(shear=torch.full_like(draws.shear, view.shear))
    if view.zero is not None:
        draws = draws._replace(zero=torch.full_like(draws.zero, view.zero))
    return draws


def _say_window(window: Window, length: int) -> str:
    first, kept = int(window.start), int(window.length)
    if kept == length:
        return f"all {length} frames"
    return f"frames {first + 1} to {first + kept} of {length}"


def _say_spatial(draws: SpatialDraws) -> tuple[str, list[int]]:
    """What was done, and the joints it was done to; a shear moves them all, so it names none."""
    if draws.shear.item() < 0.5:
        return "sheared", []
    order = draws.joints[0].argsort(stable=True)
    touched = sorted((order < CORRUPTED_JOINTS).nonzero().flatten().tolist())
    what = "set to zero" if draws.zero.item() < 0.5 else "mixed"
    return f"{len(touched)} of {len(JOINT_NAMES)} joints {what}", touched
