"""What every evaluation needs: a frozen encoder, both parts of a split, and their features.

Axes: N clips, F = 2·G·d features of a clip.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dataset.arrays import SplitArrays, load_arrays
from dataset.batches import PackedSplit
from dataset.protocols import DATASETS
from moco import EncoderConfig, HiCo
from tools.checkpoint import RANDOM, fingerprint, load_encoder, pretrained_on
from tools.features import extract
from tools.runtime import pick_device, seed_everything


@dataclass(frozen=True)
class Downstream:
    """An encoder to score and the clips to score it on, all on one device.

    Attributes:
        pretrained: the checkpoint, or "random".
        model: in eval mode.
        train: the training part.
        test: the part called "val" on disk.
        stream: "joint", "motion" or "bone".
        seed: of all that is drawn.
        report: is told what happens.
    """

    pretrained: str
    model: HiCo
    train: PackedSplit
    test: PackedSplit
    stream: str
    seed: int
    report: Callable[[str], None]

    @classmethod
    def open(
        cls,
        pretrained: str,
        folder: Path,
        stream: str,
        *,
        shape: dict[str, Any],
        device: str = "auto",
        seed: int | None = None,
        report: Callable[[str], None] = print,
    ) -> "Downstream":
        """Load encoder and clips.

        Args:
            pretrained: a checkpoint, or "random".
            folder: of the split, as dataset.protocols.split_folder names it.
            stream: "joint", "motion" or "bone".
            shape: arguments of EncoderConfig, for a random encoder only.
            device: name of where everything goes.
            seed: of all that is drawn; None for a fresh one, which is reported.
            report: is told what was loaded.

        Raises:
            FileNotFoundError: when there is no such checkpoint or split.
            ValueError: when one of them is damaged, or the two do not fit.
        """
        place, seed = pick_device(device), seed_everything(seed)
        config = EncoderConfig(**shape)
        model = load_encoder(pretrained, random_config=config, seed=seed, report=report)
        _check_features(model.config, pretrained)
        parts = [load_arrays(folder, part) for part in ("train", "val")]
        for arrays in parts:
            _check_frames(arrays, pretrained)
        train, test = (PackedSplit.from_arrays(arrays, place) for arrays in parts)
        report(f"{folder}: {len(train)} training and {len(test)} test clips")
        report(f"on {place}, seed {seed}")
        return cls(pretrained, model.to(place), train, test, stream, seed, report)

    @property
    def name(self) -> str:
        """What is scored, for messages."""
        if self.pretrained == RANDOM:
            return f"RANDOM encoder, not pre-trained, seed {self.seed}"
        return self.pretrained

    @property
    def device(self) -> torch.device:
        """Where features are computed and left."""
        return self.test.device

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the encoder that is scored."""
        return fingerprint(self.model.query.encoder)

    @contextmanager
    def frozen(self) -> Iterator[str]:
        """Prove that what happens within leaves the encoder as it was; yields its fingerprint.

        Raises:
            RuntimeError: when the encoder changed, which voids the score.
        """
        before = self.fingerprint
        yield before
        after = self.fingerprint
        if before != after:
            raise RuntimeError(f"the encoder changed while it was scored: {before}, then {after}")
        self.report(f"encoder unchanged: sha256 {before[:16]} before, {after[:16]} after")

    def features(
        self, part: str, *, batch_size: int = 256, generator: torch.Generator | None = None
    ) -> Tensor:
        """Features of every clip of one part, in its order.

        Args:
            part: "train" or "test".
            batch_size: clips a pass; changes speed and memory only.
            generator: draws crops of 50 to 100 % of the frames; without it the crop is the middle
                95 %, and what it cost is reported.

        Returns:
            (N, F) float32.
        """
        split = self.train if part == "train" else self.test
        chosen = {"batch_size": batch_size, "crop": "random" if generator else "centre"}
        start = time.perf_counter()
        features = extract(self.model, split, self.stream, generator=generator, **chosen)
        if generator is not None:
            return features
        seconds = time.perf_counter() - start
        self.report(f"features of {part}: {len(split)} x {features.shape[1]} in {seconds:.1f} s")
        return features

    def save(self, path: Path, train: Tensor, test: Tensor) -> None:
        """Write features, labels and names of both parts to an .npz file, whole or not at all.

        Args:
            path: train_features (N, F) float32, train_labels (N,) int64, train_names (N,) text,
                and likewise test_.
            train: (N, F) features.
            test: (N', F) features.
        """
        parts = (("train", self.train, train), ("test", self.test, test))
        arrays = {}
        for part, split, features in parts:
            arrays[f"{part}_features"] = features.cpu().numpy()
            arrays[f"{part}_labels"] = split.labels.numpy()
            arrays[f"{part}_names"] = np.array(split.names)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                np.savez(file, **arrays)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        self.report(f"features, labels and names written to {path}")


def _check_frames(arrays: SplitArrays, pretrained: str) -> None:
    """Refuse an encoder that knows clips resized to 50 frames where they were not, and reverse."""
    name = pretrained_on(pretrained)
    resized = name in DATASETS and DATASETS[name].frames is not None  # one's own never are
    if not name or resized == arrays.resized:
        return
    kinds = {True: "clips resized to 50 frames", False: "clips of recorded length"}
    raise ValueError(
        f"{pretrained} was pre-trained on {name}, {kinds[resized]}; {arrays.path} holds "
        f"{kinds[arrays.resized]}; evaluate on a data set of the same kind"
    )


def _check_features(config: EncoderConfig, pretrained: str) -> None:
    ours = EncoderConfig()
    needed = (ours.time_features, ours.space_features)
    if (config.time_features, config.space_features) != needed:
        raise ValueError(
            f"{pretrained} does not fit: it reads {config.time_features} and "
            f"{config.space_features} features, clips have {needed[0]} and {needed[1]}"
        )
