"""What there is to run: a selection expanded into pre-trainings and their evaluations.

Pure Python: nothing here reads a file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataset.protocols import DATASETS

PRETRAINING = "pretraining"
MODES = ("linear", "knn", "finetune", "semi", "transfer", "ensemble")
ENCODERS = ("GRU", "LSTM", "Transformer")
FUSED = "+"
Split = tuple[str, str]
"""A data set and one of its protocols, by name."""


@dataclass(frozen=True)
class Selection:
    """What is asked for.

    Attributes:
        splits: data sets and protocols to pre-train on.
        encoders: kinds of sequence encoder.
        streams: of "joint", "motion", "bone".
        modes: evaluations.
        seeds: each is a run of its own.
        fractions: shares of the labels in semi-supervised learning, above 0, below 1.
        subsets: how many subsets of each share are drawn.
        targets: what transfer is scored on.
    """

    splits: tuple[Split, ...]
    encoders: tuple[str, ...]
    streams: tuple[str, ...]
    modes: tuple[str, ...]
    seeds: tuple[int, ...]
    fractions: tuple[float, ...]
    subsets: int
    targets: tuple[Split, ...]


@dataclass(frozen=True)
class Run:
    """One pre-training; an ensemble's has several streams, joined by "+", and is never trained."""

    dataset: str
    protocol: str
    encoder: str
    stream: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.dataset}-{self.protocol}-{self.encoder}-{self.stream}-seed{self.seed}"

    def __str__(self) -> str:
        return f"{self.dataset} {self.protocol} {self.encoder} {self.stream} seed {self.seed}"


@dataclass(frozen=True)
class Cell:
    """One thing to run: a pre-training or one evaluation of it.

    Attributes:
        run: the pre-training that is meant or scored.
        mode: PRETRAINING or one of MODES.
        fraction: share of the labels; None for all.
        subsets: subsets of that share; 1 with all labels.
        target: what is scored where it is not what was trained on.
    """

    run: Run
    mode: str
    fraction: float | None = None
    subsets: int = 1
    target: Split | None = None

    @property
    def name(self) -> str:
        """The cell within its run."""
        details = (self.fraction and f"{self.fraction:g}", *(self.target or ()))
        return "-".join([self.mode, *(text for text in details if text)])

    @property
    def split(self) -> Split:
        """The data set and protocol that it reads."""
        return self.target or (self.run.dataset, self.run.protocol)

    def folder(self, out: Path) -> Path:
        """Where its files go."""
        folder = out / self.run.name
        return folder if self.mode == PRETRAINING else folder / self.name

    def needs(self) -> tuple["Cell", ...]:
        """What must be there first."""
        if self.mode == PRETRAINING:
            return ()
        if self.mode != "ensemble":
            return (Cell(self.run, PRETRAINING),)
        named = vars(self.run)
        streams = self.run.stream.split(FUSED)
        return tuple(Cell(Run(**named | {"stream": stream}), "linear") for stream in streams)

    def __str__(self) -> str:
        return f"{self.name} of {self.run}"


def expand(selection: Selection) -> list[Cell]:
    """List every cell, what others need first; one seed is whole before the next begins."""
    cells: dict[Cell, None] = {}
    for seed in selection.seeds:
        for dataset, protocol in selection.splits:
            for encoder in selection.encoders:
                for stream in selection.streams:
                    run = Run(dataset, protocol, encoder, stream, seed)
                    cells.update(dict.fromkeys(_of_run(run, selection)))
                if "ensemble" in selection.modes:
                    fused = Run(dataset, protocol, encoder, FUSED.join(selection.streams), seed)
                    last = Cell(fused, "ensemble")
                    cells.update(dict.fromkeys((*last.needs(), last)))
    return list(cells)


def _of_run(run: Run, selection: Selection) -> Iterator[Cell]:
    yield Cell(run, PRETRAINING)
    for mode in selection.modes:
        if mode == "semi":
            for fraction in selection.fractions:
                yield Cell(run, mode, fraction, selection.subsets)
        elif mode == "transfer":
            for target in selection.targets:
                if _transfers(run, target, selection.splits):
                    yield Cell(run, mode, target=target)
        elif mode != "ensemble":
            yield Cell(run, mode)


def _transfers(run: Run, target: Split, splits: tuple[Split, ...]) -> bool:
    """Whether a run is scored on a target: of several splits of a data set, the namesake's is."""
    if run.dataset == target[0]:
        return False
    return run.protocol == target[1] or (run.dataset, target[1]) not in splits


def choose_splits(datasets: tuple[str, ...], protocols: tuple[str, ...]) -> tuple[Split, ...]:
    """Name the splits of a selection.

    Args:
        datasets: names of data sets.
        protocols: names of protocols, all of each data set's when empty.

    Raises:
        ValueError: an unknown name, or a data set that has none of the protocols.
    """
    known = dict.fromkeys(protocol for one in DATASETS.values() for protocol in one.folders)
    for flag, names, among in (
        ("--datasets", datasets, DATASETS), ("--protocols", protocols, known)
    ):  # fmt: skip
        for name in names:
            if name not in among:
                raise ValueError(f"{flag} {name}: known are {', '.join(among)}")
    splits = []
    for dataset in datasets:
        folders = DATASETS[dataset].folders
        chosen = [(dataset, name) for name in folders if not protocols or name in protocols]
        if not chosen:
            raise ValueError(f"--protocols {protocols[0]}: {dataset} has {', '.join(folders)}")
        splits += chosen
    return tuple(splits)
