"""Where the clips of a file have their origin, which tells whose preparation they went through.

Axes: N clips, C=3 coordinates (metres), T frames, V=25 joints, M=2 bodies.
"""

from collections import Counter

import numpy as np

PUBLISHED = "the middle of the first body's spine in every frame, as HiCo and CMD have it"
FIRST_FRAME = "the middle of the spine in the first frame only, as CTR-GCN, MAMP and STARS have it"
FRAME50 = "each body's own neck in every frame, as AimCLR and its kin (frame50) have it"
RAW = "nowhere on the body, as in raw files, PYSKL, MMAction2 and ST-GCN"

_SPINE_MIDDLE, _NECK = 1, 20
_LOOKED_AT = 32  # clips, spread over the file: 6 MB of it are read


def origin(data: np.ndarray, num_frames: np.ndarray) -> str:
    """Tell the origin of most of the clips from a few of them.

    Args:
        data: (N, 3, T, 25, 2) coordinates in metres, perhaps on disk.
        num_frames: (N,) recorded frames of each clip; what lies behind them is not looked at.

    Returns:
        PUBLISHED, FIRST_FRAME, FRAME50 or RAW; "" when nothing was recorded in those clips.
    """
    rows = np.unique(np.linspace(0, len(data) - 1, _LOOKED_AT).astype(int))
    votes = Counter(_of_clip(np.array(data[row, :, : num_frames[row], :, 0])) for row in rows)
    del votes[""]
    return votes.most_common(1)[0][0] if votes else ""


def _of_clip(body: np.ndarray) -> str:
    """Tell the origin of one clip from its first body, (3, F, 25)."""
    there = body.any(axis=(0, 2))
    if not there.any():
        return ""
    spine, neck = (~body[:, there, joint].any(axis=0) for joint in (_SPINE_MIDDLE, _NECK))  # (F,)
    if spine.mean() > 0.5:
        return PUBLISHED
    if neck.mean() > 0.5:
        return FRAME50
    return FIRST_FRAME if spine[0] else RAW
