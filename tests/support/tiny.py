"""A tiny data set and a tiny checkpoint, in the published layouts.

Classes can be told apart: a class is which limb swings and how fast; clips differ in size, phase,
length and noise. Every third clip has a second body, standing still.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dataset.arrays import SplitWriter, publish
from dataset.protocols import DATASETS, split_folder
from dataset.skeleton import MAX_FRAMES
from tests.oracles.model import PlainHiCo

CLASSES = 6
LIMBS = (slice(4, 8), slice(8, 12), slice(12, 16))


def save_arrays(
    folder: Path | str,
    part: str,
    data: np.ndarray,
    num_frames: Sequence[int],
    labels: Sequence[int],
    names: Sequence[str],
) -> None:
    """Write one part of a split that is in memory.

    Args:
        folder: the folder of the protocol; made when needed.
        part: "train" or "val".
        data: (N, 3, 300, 25, 2) coordinates in metres.
        num_frames: (N,) recorded frames of each clip.
        labels: (N,) classes, from 0 on.
        names: N file names.
    """
    writer = SplitWriter(folder, part, len(data))
    writer.create()
    for row, clip in enumerate(data):
        writer.write(row, clip)
    writer.describe(names, labels, num_frames)
    publish([writer])


def write_dataset(
    data_path: Path,
    dataset: str = "ntu60",
    protocol: str = "cross_view",
    train: int = 24,
    val: int = 12,
    frames: tuple[int, int] = (20, 90),
    seed: int = 0,
) -> Path:
    """Write both parts of a split and return its folder.

    Args:
        data_path: what --data-path will be given.
        dataset: name of a data set with files of 300 frames a clip.
        protocol: one of its protocols.
        train: clips in the training part.
        val: clips in the test part.
        frames: shortest and longest recording, in frames.
        seed: of everything drawn.
    """
    generator = np.random.default_rng(seed)
    folder = split_folder(data_path, DATASETS[dataset], protocol)
    for part, count in (("train", train), ("val", val)):
        labels = [index % CLASSES for index in range(count)]
        num_frames = generator.integers(frames[0], frames[1] + 1, size=count)
        clips = [
            _clip(label, length, index % 3 == 2, generator)
            for index, (label, length) in enumerate(zip(labels, num_frames, strict=True))
        ]
        names = [
            f"S001C00{1 + (part == 'train')}P{index + 1:03}R001A{label + 1:03}.skeleton"
            for index, label in enumerate(labels)
        ]
        save_arrays(folder, part, np.stack(clips), num_frames, labels, names)
    return folder


def write_checkpoint(path: Path, kind: str = "GRU", **sizes: int) -> PlainHiCo:
    """Write a checkpoint as the published code does, of the plain oracle, and return the oracle.

    Its key network is not a copy of its query network, so that scores tell the two apart.

    Args:
        path: of the file.
        kind: GRU, LSTM or Transformer.
        sizes: what PlainHiCo takes; small where not given.
    """
    torch.manual_seed(5)
    small = {"hidden_size": 8, "granularity": 2, "projection_size": 4, "queue_size": 8}
    model = PlainHiCo(kind, **(small | sizes)).eval()
    for parameter in model.encoder_k.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"epoch": 451, "state_dict": model.state_dict(), "optimizer": {}}, path)
    return model


def _clip(label: int, length: int, two: bool, generator: np.random.Generator) -> np.ndarray:
    """One clip, (3, 300, 25, 2) metres, whose tail repeats its first `length` frames."""
    rest = np.random.default_rng(7).normal(0, 0.4, size=(3, 25))  # the same body for everyone
    rest[:, [0, 1, 20, 2, 3]] = [[0.0] * 5, [0.0, 0.25, 0.45, 0.55, 0.7], [0.0] * 5]  # a human's
    body = np.tile(rest[:, None] * generator.uniform(0.9, 1.1), (1, length, 1))  # (3, T, 25)
    speed = 0.15 * (1 + label // len(LIMBS) * 2)
    swing = np.sin(speed * np.arange(length) + generator.uniform(0, 2 * np.pi))
    body[:, :, LIMBS[label % len(LIMBS)]] += 0.4 * swing[None, :, None]
    body += generator.normal(0, 0.01, size=body.shape)
    other = np.tile(rest[:, None] + 0.5, (1, length, 1)) if two else np.zeros_like(body)
    clip = np.stack([body, other], axis=-1)  # (3, T, 25, 2)
    clip[..., : 1 + two] -= clip[:, :, 1:2, :1]  # the origin where the published preparation has it
    repeats = -(-MAX_FRAMES // length)
    return np.tile(clip, (1, repeats, 1, 1))[:, :MAX_FRAMES].astype(np.float32)
