"""Where the clips of a file have their origin, which tells whose preparation they went through.

Axes: N clips, C=3 coordinates (metres), T frames, V=25 joints, M=2 bodies.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

PUBLISHED = "the middle of the first body's spine in every frame, as HiCo and CMD have it"
FIRST_FRAME = "the middle of the spine in the first frame only, as CTR-GCN, MAMP and STARS have it"
FRAME50 = "each body's own neck in every frame, as AimCLR and its kin (frame50) have it"
RAW = "nowhere on the body, as in raw files, PYSKL, MMAction2 and ST-GCN"

NEAR = 1e-4
"""How near to zero the origin is, in metres: float32 arithmetic of others leaves some rest."""
SPINES = (0.4, 1.1)
"""Least and most metres from the base of the spine along it to the head.

Measured: UTD-MHAD 0.51 to 0.69, median 0.61; twice that, or a thousand times, is outside.
"""

_SPINE_MIDDLE, _NECK = 1, 20
_SPINE = (0, 1, 20, 2, 3)  # base, middle, between the shoulders, neck, head
_LOOKED_AT = 32  # clips, spread over the file: 6 MB of it are read


def origin(data: np.ndarray, num_frames: np.ndarray) -> str:
    """Tell the origin of most of the clips from a few of them.

    Args:
        data: (N, 3, T, 25, 2) coordinates in metres, perhaps on disk.
        num_frames: (N,) recorded frames of each clip; what lies behind them is not looked at.

    Returns:
        PUBLISHED, FIRST_FRAME, FRAME50 or RAW; "" when nothing was recorded in those clips.
    """
    votes = Counter(map(_of_clip, _some_bodies(data, num_frames)))
    del votes[""]
    return votes.most_common(1)[0][0] if votes else ""


def _some_bodies(data: np.ndarray, num_frames: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the first bodies (3, F, 25) of clips that are spread over the file, as recorded."""
    for row in np.unique(np.linspace(0, len(data) - 1, _LOOKED_AT).astype(int)):
        yield np.array(data[row, :, : num_frames[row], :, 0])


def _of_clip(body: np.ndarray) -> str:
    """Tell the origin of one clip from its first body, (3, F, 25)."""
    there = body.any(axis=(0, 2))
    if not there.any():
        return ""
    spine, neck = (
        (np.abs(body[:, there, joint]) < NEAR).all(axis=0) for joint in (_SPINE_MIDDLE, _NECK)
    )  # (F,)
    if spine.mean() > 0.5:
        return PUBLISHED
    if neck.mean() > 0.5:
        return FRAME50
    return FIRST_FRAME if spine[0] else RAW


def odd_size(data: np.ndarray, num_frames: np.ndarray) -> str:
    """Say how long spines are where no human's is, as with millimetres; else "".

    Args:
        data: (N, 3, T, 25, 2) coordinates, perhaps on disk.
        num_frames: (N,) recorded frames of each clip.
    """
    spines = list(map(_spine, _some_bodies(data, num_frames)))
    found = float(np.nanmedian(spines)) if not np.isnan(spines).all() else SPINES[0]
    if SPINES[0] <= found <= SPINES[1]:
        return ""
    return (
        f"its spines measure {found:.3g} from base to head, a human's {SPINES[0]} to {SPINES[1]} "
        "metres; are its coordinates in metres?"
    )


def _spine(body: np.ndarray) -> float:
    """Median length of the spine of a body (3, F, 25); NaN where it is never there."""
    bones = np.diff(body[:, body.any(axis=(0, 2))][:, :, _SPINE], axis=2)  # (3, F, bones)
    lengths = np.sqrt((bones.astype(np.float64) ** 2).sum(axis=0)).sum(axis=1)  # (F,)
    return float(np.median(lengths)) if len(lengths) else float("nan")
