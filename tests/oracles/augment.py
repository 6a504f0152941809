"""The published feeder, plainly: one clip at a time, in NumPy, with a draw for each clip.

Axes: C=3 coordinates (metres), T frames, V=25 joints, M=2 bodies. Every function takes one clip
(C, T, V, M) and imports nothing of ours, so that it can judge the batched functions.
"""

import numpy as np
import torch
import torch.nn.functional as F

FRAMES = 64
MINIMUM_FRAMES = 64
CORRUPTED_JOINTS = 15
# (child, parent) as the NTU papers count them, from 1; joint 21, the root, is its own parent.
BONES = (
    (1, 2), (2, 21), (3, 21), (4, 3), (5, 21), (6, 5), (7, 6), (8, 7), (9, 21), (10, 9),
    (11, 10), (12, 11), (13, 1), (14, 13), (15, 14), (16, 15), (17, 1), (18, 17), (19, 18),
    (20, 19), (21, 21), (22, 23), (23, 8), (24, 25), (25, 12),
)  # fmt: skip


def crop_length(num_frames: int, uniform: float) -> int:
    """Length in frames of the temporal crop that a uniform number in [0, 1) stands for."""
    wanted = int(np.floor(num_frames * (0.9 * uniform + 0.1)))
    return min(max(wanted, MINIMUM_FRAMES), num_frames)


def crop_resize(clip: np.ndarray, start: int, length: int) -> np.ndarray:
    """Resample the window [start, start + length) to 64 frames: (C, 64, V, M) float32."""
    C, _, V, M = clip.shape
    window = torch.from_numpy(np.ascontiguousarray(clip[:, start : start + length]))
    rows = window.permute(0, 2, 3, 1).reshape(1, C * V * M, length)
    resized = F.interpolate(rows, size=FRAMES, mode="linear", align_corners=False)
    return resized.reshape(C, V, M, FRAMES).permute(0, 3, 1, 2).contiguous().numpy()


def centre_window(num_frames: int) -> tuple[int, int]:
    """Start and length in frames of the centre crop of 95 % that evaluation uses."""
    start = int((1 - 0.95) * num_frames / 2)
    return start, num_frames - 2 * start


def centre_crop(clip: np.ndarray, num_frames: int) -> np.ndarray:
    """The evaluation view's coordinates: (C, 64, V, M)."""
    return crop_resize(clip, *centre_window(num_frames))


def shear(clip: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Map each point p to S p, with the six off-diagonal entries of S given row by row."""
    a, b, c, d, e, f = draws
    matrix = np.array([[1, a, b], [c, 1, d], [e, f, 1]])
    points = clip.transpose(1, 2, 3, 0)  # (T, V, M, C)
    return (points @ matrix.T).transpose(3, 0, 1, 2).astype(np.float32)


def zero_joints(clip: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """The clip with the listed joints set to zero."""
    corrupted = clip.copy()
    corrupted[:, :, joints, :] = 0
    return corrupted


def mix_joints(clip: np.ndarray, joints: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map each point p to p' R for the listed joints, R = matrix (3, 3)."""
    corrupted = clip.copy()
    points = clip[:, :, joints, :].transpose(1, 2, 3, 0)  # (T, 15, M, C)
    corrupted[:, :, joints, :] = (points @ matrix).transpose(3, 0, 1, 2)
    return corrupted


def stream_of(clip: np.ndarray, stream: str) -> np.ndarray:
    """joint: the clip; motion: the next frame minus this one; bone: a joint minus its parent."""
    if stream == "joint":
        return clip
    result = np.zeros_like(clip)
    if stream == "motion":
        result[:, :-1] = clip[:, 1:] - clip[:, :-1]
    elif stream == "bone":
        for child, parent in BONES:
            result[:, :, child - 1] = clip[:, :, child - 1] - clip[:, :, parent - 1]
    else:
        raise ValueError(f"no stream {stream!r}")
    return result


def time_major(clip: np.ndarray) -> np.ndarray:
    """(T, M V C): one token a frame, features ordered body, joint, coordinate."""
    return clip.transpose(1, 3, 2, 0).reshape(clip.shape[1], -1)


def space_major(clip: np.ndarray) -> np.ndarray:
    """(M V, T C): one token a joint of a body, features ordered frame, coordinate."""
    C, T, V, M = clip.shape
    return clip.transpose(3, 2, 1, 0).reshape(M * V, T * C)


def augmented(clip: np.ndarray, num_frames: int, rng: np.random.Generator) -> np.ndarray:
    """One random crop-resize and one random spatial augmentation: (C, 64, V, M)."""
    length = crop_length(num_frames, rng.random())
    start = int(rng.integers(0, num_frames - length + 1))
    clip = crop_resize(clip, start, length)
    if rng.random() < 0.5:
        return shear(clip, rng.uniform(-1, 1, 6))
    joints = rng.choice(clip.shape[2], CORRUPTED_JOINTS, replace=False)
    if rng.random() < 0.5:
        return zero_joints(clip, joints)
    return mix_joints(clip, joints, rng.uniform(-1, 1, (3, 3)))


def one_view(
    clip: np.ndarray, num_frames: int, stream: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One random view of a clip in both layouts: (64, 150) and (50, 192)."""
    result = stream_of(augmented(clip, num_frames, rng), stream)
    return time_major(result), space_major(result)


def two_views(
    clip: np.ndarray, num_frames: int, stream: str, rng: np.random.Generator
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Two independent random views (query, key) of one clip (3, 300, 25, 2)."""
    return one_view(clip, num_frames, stream, rng), one_view(clip, num_frames, stream, rng)


def centre_view(clip: np.ndarray, num_frames: int, stream: str) -> tuple[np.ndarray, np.ndarray]:
    """The one view of a clip that probe and retrieval see: (64, 150) and (50, 192)."""
    result = stream_of(centre_crop(clip, num_frames), stream)
    return time_major(result), space_major(result)


def ramp(num_frames: int) -> np.ndarray:
    """A clip (C, num_frames, V, M) that tells its crop: the first body is at (frame + 1, 0, 0)."""
    clip = np.zeros((3, num_frames, 25, 2), np.float32)
    clip[0, :, :, 0] = np.arange(1, num_frames + 1)[:, None]
    return clip


def window_of(time: np.ndarray, num_frames: int) -> tuple[int, int]:
    """Start and length of the crop that a view (64, 150) of a ramp was read from.

    A shear leaves x of the ramp as it is, for all joints; corruption leaves some joint as it is.
    """
    points = time.reshape(FRAMES, 2, 25, 3)[:, 0]  # (64, V, C)
    kept = (points[..., 0].any(axis=0)) & ~points[..., 1:].any(axis=(0, 2))  # (V,)
    places = points[:, kept.argmax() if kept.any() else 0, 0]  # (64,)
    length = round((places[40] - places[20]) / 20 * FRAMES)
    start = round(places[30] - 1 - (length / FRAMES * 30.5 - 0.5))
    plain = crop_resize(ramp(num_frames), start, length)[0, :, 0, 0]
    np.testing.assert_allclose(places, plain, atol=1e-3)
    return start, length
