"""What there is to run: a selection expanded into pre-trainings and their evaluations."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from options.evaluations import KINDS, PRETRAINING, Kind
from options.parser import Parser, as_plain, flat
from options.reproduce import ReproduceOptions, Split

ROOT = Path(__file__).resolve().parents[2]
LAST, RESULTS = "checkpoint_last.pth.tar", "results.json"
TOGETHER = ","
"""Between the streams of an ensemble; "+" joins those that one encoder reads."""
Settings = dict[str, Any]
_WHERE_AND_HOW = (
    ("data.data_path", "pretrained", "checkpoints", "output_path", "output", "overwrite")
    + ("training.resume", "search.save_features", "speed.graph", "run.device")
    + ("run.print_freq", "run.workers")
)  # fmt: skip
"""Options that do not change what comes out."""


@dataclass(frozen=True)
class Run:
    """One pre-training; an ensemble's has several streams, joined by ",", and is never trained."""

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
    """One thing to run: a pre-training or one evaluation of it."""

    run: Run  # the pre-training that is meant or scored
    mode: str  # a key of KINDS
    fraction: float | None = None  # share of the labels; None for all
    subsets: int = 1  # of that share
    target: Split | None = None  # what is scored, where it is not what was trained on

    @property
    def kind(self) -> Kind:
        """Its row."""
        return KINDS[self.mode]

    @property
    def name(self) -> str:
        """The cell within its run."""
        share = f"{self.fraction:g}" if self.fraction else ""
        return "-".join(filter(None, (self.mode, share, *(self.target or ()))))

    @property
    def source(self) -> Split:
        """The data set and protocol of the pre-training."""
        return self.run.dataset, self.run.protocol

    @property
    def split(self) -> Split:
        """The data set and protocol that it reads."""
        return self.target or self.source

    def folder(self, out: Path) -> Path:
        """Where its files go."""
        return out / self.run.name / ("" if self.mode == PRETRAINING else self.name)

    def record(self, out: Path) -> Path:
        """The file that says with which settings it was begun; its log lies beside it."""
        return out / self.run.name / f"{self.name}.json"

    def state(self, out: Path) -> Path:
        """The file that an interrupted run of it leaves to go on from."""
        several = "_run0" if self.fraction else ""
        classifier = f"{self.run.stream}{several}_model_last.pth.tar"
        return self.folder(out) / (LAST if self.mode == PRETRAINING else classifier)

    def product(self, out: Path) -> Path | None:
        """The file of a finished cell that others are made of; None where there is none."""
        products = {PRETRAINING: LAST, "linear": f"{self.run.stream}_scores.npz"}
        return self.folder(out) / products[self.mode] if self.mode in products else None

    def needs(self) -> tuple["Cell", ...]:
        """What must be there first."""
        if self.mode == PRETRAINING:
            return ()
        if self.kind.over != "streams":
            return (Cell(self.run, PRETRAINING),)
        streams = self.run.stream.split(TOGETHER)
        return tuple(Cell(replace(self.run, stream=stream), "linear") for stream in streams)

    def __str__(self) -> str:
        return f"{self.name} of {self.run}"


def expand(options: ReproduceOptions) -> list[Cell]:
    """List every cell once, what others need first; one seed is whole before the next begins."""
    fusing = [mode for mode in options.modes if KINDS[mode].over == "streams"]
    cells: list[Cell] = []
    for seed in options.seeds:
        for dataset, protocol in options.splits:
            for encoder in options.encoders:
                for stream in options.streams:
                    run = Run(dataset, protocol, encoder, stream, seed)
                    cells += _of_run(run, options)
                for mode in fusing:
                    last = Cell(replace(run, stream=TOGETHER.join(options.together)), mode)
                    cells += (*last.needs(), last)
    return list(dict.fromkeys(cells))


def _of_run(run: Run, options: ReproduceOptions) -> Iterator[Cell]:
    yield Cell(run, PRETRAINING)
    for mode in options.modes:
        over = KINDS[mode].over
        if over == "fractions":
            yield from (Cell(run, mode, share, options.subsets) for share in options.fractions)
        elif over == "targets":
            for target in options.targets:
                # Of several splits of a data set, the namesake of the target's is scored.
                same = run.protocol == target[1] or (run.dataset, target[1]) not in options.splits
                if same and run.dataset != target[0]:
                    yield Cell(run, mode, target=target)
        elif not over:
            yield Cell(run, mode)


def command(cell: Cell, options: ReproduceOptions, resume: str = "") -> list[str]:
    """The whole command of a cell; `resume` says what to go on from."""
    script = cell.kind.script
    program = [str(ROOT / script)] if script.endswith(".py") else ["-m", script]
    more = ["--resume", resume] if resume else []
    return [sys.executable, *program, *arguments(cell, options), *more]


def arguments(cell: Cell, options: ReproduceOptions) -> list[str]:
    """The command line of a cell without the program."""
    kinds = (*cell.kind.extras, cell.mode)
    extras = [word for kind in kinds for word in options.extras.get(kind, ())]
    out, folder, (dataset, protocol) = options.out, cell.folder(options.out), cell.split
    if cell.kind.over == "streams":
        files = [str(need.product(out)) for need in cell.needs()]
        return [*files, *extras, "--output", str(folder / RESULTS)]
    given = {"protocol": protocol, "data-path": options.data_path, "device": options.device}
    given |= {"seed": cell.run.seed}
    if cell.mode == PRETRAINING:
        given |= {"pre-dataset": dataset, "skeleton-representation": cell.run.stream}
        given |= {"encoder": cell.run.encoder, "checkpoint-path": folder}
    else:
        given |= {"finetune-dataset": dataset, "finetune-skeleton-representation": cell.run.stream}
        given |= {"pretrained": Cell(cell.run, PRETRAINING).product(out), "output-path": folder}
    if cell.fraction:
        given |= {"label-fraction": cell.fraction, "runs": cell.subsets}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return [*extras, *cell.kind.arguments, *words]


def read(cell: Cell, options: ReproduceOptions) -> Any:
    """The record that a cell's script makes of its command line.

    Raises:
        ValueError: an option that the script refuses, with the script's own words.
    """
    try:
        return _parser(cell.mode).read(arguments(cell, options))
    except (ValueError, OSError) as error:
        raise ValueError(f"{error} (of {cell.mode})") from None


@cache
def _parser(mode: str) -> Parser:
    return KINDS[mode].parser()


def lasting(record: Any) -> Settings:
    """The settings of a script that decide what comes out, by dotted names, as JSON has them."""
    left_out = tuple(f"{name}." for name in _WHERE_AND_HOW)
    named = flat(as_plain(record)).items()
    return {name: x for name, x in named if not f"{name}.".startswith(left_out)}
