"""A run's encoder and the clips it is shown on: data, seeded samples and their features.

Axes: N training clips, Q test clips, F features; n and q of them are sampled.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dataset.arrays import load_arrays
from dataset.packed import PackedSplit
from moco.heads import LEVELS
from options.groups import DataOptions
from options.report import ReportData
from tools.evaluation.features import extract, extract_levels
from tools.evaluation.neighbours import rank
from tools.evaluation.results import Json

NEAREST = 5


def data_of(given: ReportData, provenance: Json) -> DataOptions:
    """The data a run is shown on: what was given, else what its checkpoint says.

    Raises:
        ValueError: neither says it, or there is no such data set.
    """
    own = provenance.get("data") or {}
    values = {}
    for name in ("dataset", "protocol", "stream"):
        values[name] = getattr(given, name) or own.get(name)
        if values[name] is None:
            raise ValueError(f"{provenance['path']} does not say its {name}; give --{name}")
    return DataOptions(data_path=given.data_path, **values)


class Splits:
    """The parts of data sets, each read once however many runs are shown on it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._parts: dict[tuple[Path, str], PackedSplit] = {}

    def part(self, folder: Path, part: str) -> PackedSplit:
        """Read one part, "train" or "val", onto the device."""
        if (folder, part) not in self._parts:
            arrays = load_arrays(folder, part)
            self._parts[folder, part] = PackedSplit.from_arrays(arrays, self.device)
        return self._parts[folder, part]


def sample(count: int, most: int, seed: int) -> Tensor:
    """Up to so many of N rows, drawn by a seed, rising: (n,) int64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(count, generator=generator)[:most].sort().values


@dataclass(frozen=True)
class Encoded:
    """Sampled clips as one encoder sees them.

    Attributes:
        levels: (q, …) features of the test clips by level; clip and part at the finest.
        neighbours: (q, k) rows of the training part, nearest first.
        similarities: (q, k) cosine.
    """

    levels: dict[str, Tensor]
    neighbours: Tensor
    similarities: Tensor

    @classmethod
    def by(cls, model: Any, clips: "Sampled", stream: str, batch_size: int) -> "Encoded":
        """Encode the sampled clips and look the test clips up among the training clips."""
        how = {"batch_size": batch_size}
        levels = extract_levels(model, clips.test, stream, LEVELS, clips=clips.test_rows, **how)
        train = extract(model, clips.train, stream, clips=clips.train_rows, **how)
        labels = clips.train.labels[clips.train_rows], clips.test.labels[clips.test_rows]
        test, most = levels["instance"], min(NEAREST, len(train))
        found = rank(train, labels[0], test, labels[1], most).neighbours  # (q, k)
        columns = [torch.cosine_similarity(test, train[column], dim=1) for column in found.T]
        finest = {name: each[:, 0] if each.dim() == 3 else each for name, each in levels.items()}
        return cls(finest, clips.train_rows[found.cpu()], torch.stack(columns, dim=1).cpu())


@dataclass(frozen=True)
class Sampled:
    """Both parts of a split and the rows of them that the report looks at."""

    train: PackedSplit
    test: PackedSplit
    train_rows: Tensor
    test_rows: Tensor

    @property
    def whole(self) -> bool:
        """Whether all clips are looked at."""
        rows = len(self.train_rows) + len(self.test_rows)
        return rows == len(self.train) + len(self.test)
