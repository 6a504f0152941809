"""What every evaluation needs: an encoder, both parts of a split, and a proof that it is frozen.

Axes: N clips, F = 2·G·d features of a clip.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dataset.arrays import SplitArrays, load_split
from dataset.origin import PUBLISHED
from dataset.packed import PackedSplit
from dataset.prepared import count_twins, describe
from dataset.protocols import DATASETS
from moco.config import EncoderConfig
from moco.method import Method
from options.features import WantedOptions
from options.groups import RANDOM, DataOptions, EvaluationOptions
from options.parser import as_plain
from tools.checkpoint import fingerprint, load_encoder
from tools.evaluation.features import extract, extract_levels
from tools.evaluation.metrics import check_labels
from tools.evaluation.results import VERSION, Json
from tools.runtime import machine, pick_device, seed_everything
from tools.training.ranks import refuse_many

PARTS = {"train": "train", "val": "test", "test": "test"}
"""What a part of a split may be called, and its attribute of Downstream."""


@dataclass(frozen=True)
class Downstream:
    """An encoder to score and the clips to score it on, all on one device.

    Attributes:
        options: what the evaluation was told.
        model: the method whose encoder is scored, in eval mode.
        train: the training part.
        test: the part called "val" on disk.
        seed: of all that is drawn.
        report: is told what happens.
        provenance: where the encoder comes from, as tools.checkpoint.load_encoder says.
        clips: where the clips come from, and how many test clips also train.
    """

    options: EvaluationOptions
    model: Method
    train: PackedSplit
    test: PackedSplit
    seed: int
    report: Callable[[str], None]
    provenance: Json
    clips: Json = field(default_factory=dict)

    @classmethod
    def open(
        cls, options: EvaluationOptions, report: Callable[[str], None] = print
    ) -> "Downstream":
        """Load encoder and clips.

        Args:
            options: which checkpoint, which split, where; without a seed a fresh one is drawn.
            report: is told what was loaded.

        Raises:
            FileNotFoundError: when there is no such checkpoint or split.
            ValueError: when one of them is damaged, or the two do not fit, or torchrun started
                several processes.
        """
        refuse_many()
        if options.run.workers is not None:
            report("--workers is not needed: the clips lie on the device")
        device, seed = pick_device(options.run.device), seed_everything(options.run.seed)
        model, provenance = load_encoder(
            options.pretrained,
            random_config=options.random_encoder.config,
            seed=seed,
            report=report,
        )
        folder = options.data.folder
        parts = load_split(folder, options.data.origin)
        for arrays in parts:
            _check_frames(arrays, provenance)
            _check_origin(arrays, provenance)
        train, test = (PackedSplit.from_arrays(arrays, device) for arrays in parts)
        report(f"{folder}: {len(train)} training and {len(test)} test clips")
        report(describe(parts[0].prepared))
        twins = count_twins(*parts)
        if twins:
            report(f"warning: {twins} of {len(test)} test clips also stand in the training part")
        report(f"on {device}, seed {seed}")
        clips = test.source | {"twins": twins}
        return cls(options, model.to(device), train, test, seed, report, provenance, clips)

    @property
    def data(self) -> DataOptions:
        """Data set, protocol and stream that are scored."""
        return self.options.data

    @property
    def classes(self) -> int:
        """L, the number of classes of the data set."""
        return self.data.known.classes

    @property
    def name(self) -> str:
        """What is scored, for messages."""
        if self.options.pretrained == RANDOM:
            return f"RANDOM encoder, not pre-trained, seed {self.seed}"
        return self.options.pretrained

    @property
    def config(self) -> EncoderConfig:
        """Kind and sizes of the encoder."""
        return self.model.encoder.config

    @property
    def device(self) -> torch.device:
        """Where features are computed and left."""
        return self.test.device

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the encoder that is scored."""
        return fingerprint(self.model.encoder)

    def part(self, name: str) -> PackedSplit:
        """The clips of a part, by a key of PARTS."""
        return getattr(self, PARTS[name])

    def levels(
        self, part: str, wanted: WantedOptions, clips: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Features (N, …) of a part by level, as `extract_levels` has them.

        The clips are (N,) int64 on the CPU; None for all.
        """
        return extract_levels(
            self.model,
            self.part(part),
            self.data.stream,
            wanted.levels,
            projections=wanted.projections,
            batch_size=wanted.batch_size,
            clips=clips,
        )

    def describe(self) -> Json:
        """What results say of an encoder and the clips it is scored on, as plain values."""
        return {
            "version": VERSION,
            "dataset": self.data.dataset,
            "protocol": self.data.protocol,
            "stream": self.data.stream,
            "counts": {"train": len(self.train), "test": len(self.test), "classes": self.classes},
            "clips": self.clips,
            "pretrained": self.provenance | {"encoder_sha256": self.fingerprint},
            "notes": self.notes(),
            "encoder": asdict(self.config),
            "seed": self.seed,
            "machine": machine(self.device),
            "settings": as_plain(self.options),
        }

    @property
    def home(self) -> Path:
        """The folder of the checkpoint; of a random encoder one under ./checkpoints."""
        if self.options.pretrained == RANDOM:
            return Path("checkpoints") / RANDOM
        return Path(self.provenance["path"]).parent

    def results_folder(self, output: Path | None, *words: str) -> Path:
        """Where results go: `output`, or else a folder for each experiment beside the checkpoint.

        The words name the experiment, beside data set, protocol and stream.
        """
        if output is not None:
            return output
        name = Path(self.provenance["path"]).name.removesuffix(".pth.tar")
        name = self.config.kind if self.options.pretrained == RANDOM else name
        data = self.data
        return self.home / "_".join([name, data.dataset, data.protocol, data.stream, *words])

    def begin(self) -> None:
        """Report the notes, and refuse labels that the data set does not have, by a ValueError."""
        for note in self.notes():
            self.report(note)
        for part, split in (("test", self.test), ("training", self.train)):
            check_labels(part, split.labels, self.classes)

    def notes(self) -> list[str]:
        """Say how what is scored differs from what the encoder was pre-trained on.

        Returns:
            A line for each difference; none where the checkpoint does not say, as published ones.
        """
        ours, theirs = self.data, self.provenance.get("data") or {}
        source = theirs.get("dataset", ours.dataset)
        split = theirs.get("protocol", ours.protocol)
        stream = theirs.get("stream", ours.stream)
        notes = []
        if source != ours.dataset:
            notes.append(f"transfer: pre-trained on {source} {split}, scored on {ours.dataset}")
        elif split != ours.protocol:
            seen = f"without labels it has seen test clips of {ours.protocol}"
            notes.append(f"note: pre-trained on {split}; {seen}")
        if stream != ours.stream:
            notes.append(f"note: pre-trained on {stream}, scored on {ours.stream}")
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

    def features(self, part: str, **how: Any) -> Tensor:
        """Features of one part, (N, F) float32; `how` goes to `extract`.

        Without a generator of random crops it is reported how long they took.
        """
        start = time.perf_counter()
        features = extract(self.model, self.part(part), self.data.stream, **how)
        if how.get("generator") is None:
            size = f"{len(features)} x {features.shape[1]}"
            self.report(f"features of {part}: {size} in {time.perf_counter() - start:.1f} s")
        return features


def _check_frames(arrays: SplitArrays, provenance: Json) -> None:
    """Refuse an encoder that knows clips resized to 50 frames where they were not, and reverse."""
    data = provenance["data"]  # None for a random encoder and a published checkpoint
    name = str(data.get("dataset", "")) if isinstance(data, dict) else ""
    resized = name in DATASETS and DATASETS[name].frames is not None  # one's own never are
    if not name or resized == arrays.resized:
        return
    kinds = {True: "clips resized to 50 frames", False: "clips of recorded length"}
    raise ValueError(
        f"{provenance['path']} was pre-trained on {name}, {kinds[resized]}; {arrays.path} holds "
        f"{kinds[arrays.resized]}; evaluate on a data set of the same kind"
    )


def _check_origin(arrays: SplitArrays, provenance: Json) -> None:
    """Refuse an encoder that knows clips with their origin elsewhere, as published ones do."""
    data = provenance["data"]
    if provenance["path"] == RANDOM or arrays.resized or not arrays.origin:
        return
    known = (data.get("origin") if isinstance(data, dict) else None) or PUBLISHED
    if known != arrays.origin:
        raise ValueError(
            f"{provenance['path']} was pre-trained on clips whose origin is {known}; that of "
            f"{arrays.path} is {arrays.origin}; evaluate on clips prepared in the same way"
        )
