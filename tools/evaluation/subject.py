"""What every evaluation needs: a frozen encoder, both parts of a split, and their features.

Axes: N clips, F = 2·G·d features of a clip.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dataset.arrays import SplitArrays, load_arrays
from dataset.packed import PackedSplit
from dataset.protocols import DATASETS
from moco import EncoderConfig, HiCo
from tools.checkpoint import RANDOM, fingerprint, load_encoder
from tools.evaluation.features import extract
from tools.evaluation.results import VERSION, Json
from tools.runtime import machine, pick_device, seed_everything


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
        provenance: where the encoder comes from, as tools.checkpoint.load_encoder says.
    """

    pretrained: str
    model: HiCo
    train: PackedSplit
    test: PackedSplit
    stream: str
    seed: int
    report: Callable[[str], None]
    provenance: dict[str, Any] = field(default_factory=dict)

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
        model, source = load_encoder(pretrained, random_config=config, seed=seed, report=report)
        _check_features(model.config, pretrained)
        parts = [load_arrays(folder, part) for part in ("train", "val")]
        for arrays in parts:
            _check_frames(arrays, source)
        train, test = (PackedSplit.from_arrays(arrays, place) for arrays in parts)
        report(f"{folder}: {len(train)} training and {len(test)} test clips")
        report(f"on {place}, seed {seed}")
        return cls(pretrained, model.to(place), train, test, stream, seed, report, source)

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

    def describe(self, dataset: str, protocol: str) -> dict[str, Any]:
        """What results say of an encoder and the clips it is scored on, as plain values."""
        return {
            "version": VERSION,
            "dataset": dataset,
            "protocol": protocol,
            "stream": self.stream,
            "counts": {
                "train": len(self.train),
                "test": len(self.test),
                "classes": DATASETS[dataset].classes,
            },
            "pretrained": self.provenance | {"encoder_sha256": self.fingerprint},
            "notes": self.notes(dataset, protocol),
            "encoder": asdict(self.model.config),
            "seed": self.seed,
            "machine": machine(self.device),
        }

    def results_folder(self, words: Sequence[str], output: Path | None = None) -> Path:
        """Where results go: a folder for each checkpoint and experiment, beside the checkpoint.

        Args:
            words: name the experiment.
            output: a folder in its place.
        """
        if output is not None:
            return output
        if self.pretrained == RANDOM:
            name, beside = self.model.config.kind, Path("checkpoints") / RANDOM
        else:
            path = Path(self.provenance["path"])
            name, beside = path.name.removesuffix(".pth.tar"), path.parent
        return beside / "_".join([name, *words])

    def notes(self, dataset: str, protocol: str) -> list[str]:
        """Say how what is scored differs from what the encoder was pre-trained on.

        Args:
            dataset: that is scored.
            protocol: its split.

        Returns:
            A line for each remark; none where the checkpoint does not say, as published ones.
        """
        data = self.provenance.get("data") or {}
        source, split = data.get("dataset", dataset), data.get("protocol", protocol)
        stream = data.get("stream", self.stream)
        notes = []
        if source != dataset:
            notes.append(f"transfer: pre-trained on {source} {split}, scored on {dataset}")
        elif split != protocol:
            notes.append(
                f"note: pre-trained on {split}; without labels it has seen test clips of {protocol}"
            )
        if stream != self.stream:
            notes.append(f"note: pre-trained on {stream}, scored on {self.stream}")
        return notes

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
        self,
        part: str,
        *,
        batch_size: int = 256,
        generator: torch.Generator | None = None,
        clips: Tensor | None = None,
    ) -> Tensor:
        """Features of every clip of one part, in its order, or of some clips.

        Args:
            part: "train" or "test".
            batch_size: clips a pass; changes speed and memory only.
            generator: draws crops of 50 to 100 % of the frames; without it the crop is the middle
                95 %, and what it cost is reported.
            clips: (N,) which clips and in which order, int64 on the CPU; None for all.

        Returns:
            (N, F) float32.
        """
        split = self.train if part == "train" else self.test
        crop = "random" if generator else "centre"
        chosen = {"batch_size": batch_size, "crop": crop, "clips": clips}
        start = time.perf_counter()
        features = extract(self.model, split, self.stream, generator=generator, **chosen)
        if generator is not None:
            return features
        seconds = time.perf_counter() - start
        self.report(f"features of {part}: {len(features)} x {features.shape[1]} in {seconds:.1f} s")
        return features


def _check_frames(arrays: SplitArrays, source: Json) -> None:
    """Refuse an encoder that knows clips resized to 50 frames where they were not, and reverse."""
    data = source["data"]  # None for a random encoder and a published checkpoint
    name = str(data.get("dataset", "")) if isinstance(data, dict) else ""
    resized = name in DATASETS and DATASETS[name].frames is not None  # one's own never are
    if not name or resized == arrays.resized:
        return
    kinds = {True: "clips resized to 50 frames", False: "clips of recorded length"}
    raise ValueError(
        f"{source['path']} was pre-trained on {name}, {kinds[resized]}; {arrays.path} holds "
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
