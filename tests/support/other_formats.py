"""The same invented recordings in the formats of other projects, each with its own losses.

Axes: F frames, C=3 coordinates in metres, V=25 joints, M=2 bodies.
"""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dataset.protocols import PARTS
from tests.support.raw_ntu import random_body, skeleton_text

Parsed = dict[str, np.ndarray]
"""(3, F, 25, 2) float32 of each recording, by its name without ending."""


def upright_body(generator: np.random.Generator, num_frames: int) -> np.ndarray:
    """Return a moving body with the spine of a human and long shoulders, (F, 25, 3)."""
    body = random_body(generator, num_frames)
    middle = body[:, 1].copy()
    body[:, 0] = middle + (0.02, -0.4, 0.03)
    for joint, height in ((20, 0.25), (2, 0.3), (3, 0.45)):
        body[:, joint] = middle + (0, height, 0)
    body[:, 4], body[:, 8] = middle + (-0.3, 0.4, 0.05), middle + (0.3, 0.42, 0)
    return body


def draw_recordings(seed: int = 0) -> Parsed:
    """Draw twelve recordings of NTU-60, of performers 1 to 3, cameras 1 and 2, actions 7 and 55.

    Half of them have a second body, which always moves less; nobody comes late or leaves.
    """
    generator = np.random.default_rng(seed)
    parsed = {}
    for performer in (1, 2, 3):
        for camera in (1, 2):
            for action in (7, 55):
                num_frames = int(generator.integers(2, 50))
                bodies = np.zeros((2, num_frames, 25, 3))
                bodies[0] = upright_body(generator, num_frames)
                if action == 55:
                    bodies[1] = upright_body(generator, num_frames)
                    middle = bodies[1].mean(axis=(0, 1))
                    bodies[1] = middle + 0.3 * (bodies[1] - middle)
                name = f"S001C{camera:03}P{performer:03}R001A{action:03}"
                parsed[name] = bodies.transpose(3, 1, 2, 0).astype(np.float32)
    return dict(sorted(parsed.items()))


def label_of(name: str) -> int:
    return int(name[-3:]) - 1


def split_of(name: str, protocol: str) -> str:
    """Return the part of NTU-60 that a recording is in."""
    number = int(name[9:12] if protocol == "cross_subject" else name[5:8])
    training = (1, 2) if protocol == "cross_subject" else (2, 3)
    return "train" if number in training else "val"


def write_ntu(folder: Path, parsed: Parsed) -> Path:
    """Write `.skeleton` files."""
    folder.mkdir()
    for name, clip in parsed.items():
        frames = [
            [body.T for body in np.moveaxis(frame, 2, 0) if body.any()]
            for frame in np.moveaxis(clip, 1, 0)
        ]
        (folder / f"{name}.skeleton").write_text(skeleton_text(frames))
    return folder


def pyskl_content(parsed: Parsed) -> dict:
    """Return what a PYSKL or MMAction2 pickle of NTU-60 holds; what is lost is float32."""
    annotations = []
    for name, clip in parsed.items():
        bodies = clip.transpose(3, 1, 2, 0)  # (M, F, V, C)
        bodies = bodies[: 2 if bodies[1].any() else 1]
        annotations.append(
            {
                "frame_dir": name,
                "label": label_of(name),
                "keypoint": bodies.astype(np.float16),
                "total_frames": bodies.shape[1],
            }
        )
    split = {
        f"{short}_{part}": [name for name in reversed(parsed) if split_of(name, protocol) == part]
        for short, protocol in (("xsub", "cross_subject"), ("xview", "cross_view"))
        for part in ("train", "val")
    }
    return {"split": split, "annotations": annotations}


def write_pickle(path: Path, content: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def write_split(
    folder: Path, array: str, clips: Parsed, number: Callable[[int], object] = int
) -> Path:
    """Write both parts of cross-view as ST-GCN and 2s-AGCN do, zeros behind a clip's frames.

    Args:
        folder: is made.
        array: what the arrays are called, "data" or "data_joint".
        clips: (3, F, 25, 2) of each recording.
        number: makes of a class what the pickle holds.
    """
    folder.mkdir(parents=True)
    for part in PARTS:
        names = [name for name in clips if split_of(name, "cross_view") == part]
        data = np.zeros((len(names), 3, 300, 25, 2), np.float32)
        for row, name in enumerate(names):
            data[row, :, : clips[name].shape[1]] = clips[name]
        np.save(folder / f"{part}_{array}.npy", data)
        content = ([f"{name}.skeleton" for name in names], [number(label_of(n)) for n in names])
        write_pickle(folder / f"{part}_label.pkl", content)
    return folder


def npz_content(parsed: Parsed, protocol: str, classes: int = 60, centred: bool = True) -> dict:
    """Return what a CTR-GCN, MAMP or STARS file of NTU-60 holds.

    What is lost is names, empty frames and, where `centred`, the place of the camera.
    """
    content = {}
    for ending, part in (("train", "train"), ("test", "val")):
        names = [name for name in parsed if split_of(name, protocol) == part]
        rows = np.zeros((len(names), 300, 2, 25, 3), np.float32)
        for row, name in zip(rows, names, strict=True):
            clip = parsed[name].transpose(1, 3, 2, 0)  # (F, M, V, C)
            clip = clip[clip.any(axis=(1, 2, 3))]
            if centred:
                there = clip.any(axis=(2, 3), keepdims=True)
                clip = np.where(there, clip - clip[:1, :1, 1:2], 0)
            row[: len(clip)] = clip
        content[f"x_{ending}"] = rows.reshape(len(names), 300, 150)
        content[f"y_{ending}"] = np.eye(classes)[[label_of(name) for name in names]]
    return content


def video_text(parsed: Parsed, gap: int = 7) -> tuple[str, list[tuple[int, int]]]:
    """Write recordings one after the other into a video of PKU-MMD, with people away in between.

    Returns:
        The text, and the first and the last row of each recording, both counted from 1.
    """
    rows, places = np.zeros((gap, 150)), []
    for clip in parsed.values():
        values = clip.transpose(1, 3, 2, 0).reshape(-1, 150)  # F of (M, V, C)
        places.append((len(rows) + 1, len(rows) + len(values)))
        rows = np.concatenate([rows, values, np.zeros((gap, 150))])
    lines = [" ".join(f"{value:.7g}" for value in row) for row in rows.tolist()]
    return "\n".join(lines) + "\n", places


def frame50_clip(parsed: np.ndarray, frames: int = 50) -> np.ndarray:
    """Resize a recording (3, F, 25, 2) to (3, 50, 25, 2), each body centred and turned by itself.

    The AimCLR family's steps, one frame and one joint at a time: the neck to the origin, linear
    resampling at half-pixel points, then a turn about y that takes the depth off the shoulder line.
    """
    length = parsed.shape[1]
    clip = np.zeros((3, frames, 25, 2))
    for body in range(2):
        if not parsed[..., body].any():
            continue
        centred = parsed[..., body] - parsed[:, :, 20:21, body]
        for frame in range(frames):
            place = min(max((frame + 0.5) * length / frames - 0.5, 0), length - 1)
            low, weight = int(place), place - int(place)
            high = min(low + 1, length - 1)
            clip[:, frame, :, body] = (1 - weight) * centred[:, low] + weight * centred[:, high]
        for frame in range(frames):
            line = clip[:, frame, 8, body] - clip[:, frame, 4, body]
            angle = np.arctan2(line[2], line[0])
            turn = [
                [np.cos(angle), 0, np.sin(angle)],
                [0, 1, 0],
                [-np.sin(angle), 0, np.cos(angle)],
            ]
            clip[:, frame, :, body] = np.array(turn) @ clip[:, frame, :, body]
    return clip.astype(np.float32)


def failure(prepare, capsys, status: int = 2) -> str:
    """What a preparation says on stderr that must end with a status, progress bars aside."""
    with pytest.raises(SystemExit) as exit_:
        prepare()
    assert exit_.value.code == status
    lines = capsys.readouterr().err.replace("\r", "\n").split("\n")
    return "\n".join(line for line in lines if line and "clip/s" not in line)


def refusal(prepare, out: Path, capsys) -> str:
    """What a preparation says that must end with status 2 and leave nothing behind."""
    errors = failure(prepare, capsys)
    assert not out.exists()
    return errors
