"""What there is to run: a selection expanded into pre-trainings and their evaluations."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from dataset.reading import reading
from options.evaluations import KINDS, PRETRAINING, Kind
from options.groups import RANDOM
from options.parser import Parser, as_plain, flat
from options.reproduce import ReproduceOptions
from options.study import Split, Study, longer, timed
from tools.errors import ROOT
from tools.evaluation.results import RESULTS
from tools.training.record import LAST

TOGETHER = "+"
"""Between the streams of an ensemble."""
Settings = dict[str, Any]
_WHERE_AND_HOW = (
    ("data.data_path", "pretrained", "checkpoints", "output_path", "output", "overwrite")
    + ("training.resume", "search.save_features", "speed.graph", "run.device")
    + ("run.print_freq", "run.workers")
)  # fmt: skip
"""Options that do not change what comes out."""


@dataclass(frozen=True)
class Run:
    """One pre-training; an ensemble's has several streams, joined by "+", and is never trained."""

    dataset: str
    protocol: str
    encoder: str
    stream: str
    seed: int
    setting: str = ""  # of a study
    untrained: "Run | None" = None  # of a random encoder: the pre-training that has one like it
    pace: tuple["Run", ...] = ()  # it is trained as long as the first, as fast as the second

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{'-'.join(self._words)}-seed{self.seed}"

    @property
    def split(self) -> Split:
        """The data set and protocol that it is trained on."""
        return self.dataset, self.protocol

    @property
    def _words(self) -> list[str]:
        words = (self.dataset, self.protocol, self.encoder, self.stream, self.setting)
        return [word for word in words if word]

    def __str__(self) -> str:
        return f"{' '.join(self._words)} seed {self.seed}"


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
    def trained(self) -> "Cell":
        """The pre-training that it is made of, or, of a random encoder, one that has its like."""
        return Cell(self.run.untrained or self.run, PRETRAINING)

    @property
    def split(self) -> Split:
        """The data set and protocol that it reads."""
        return self.target or self.run.split

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
            return tuple(Cell(run, PRETRAINING) for run in self.run.pace)
        if self.run.untrained:
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
                    last = Cell(replace(run, stream=TOGETHER.join(options.streams)), mode)
                    cells += (*last.needs(), last)
    return list(dict.fromkeys(cells))


def expand_study(study: Study) -> list[Cell]:
    """List every cell of a study once, what others need first, as `expand` does."""
    cells: list[Cell] = []
    for seed in study.seeds:
        for split in study.data:
            for run in _runs(study, split, seed):
                cells += [] if run.untrained else [Cell(run, PRETRAINING)]
                cells += [Cell(run, mode) for mode in study.evaluations]
    return cells


def _runs(study: Study, split: Split, seed: int) -> Iterator[Run]:
    """Every setting on a split, a random encoder before the first of its kind."""
    seen = []
    for setting in (study.baseline, *(name for name in study.settings if name != study.baseline)):
        run = study_run(study, split, setting, seed)
        if study.seen(split, setting) not in seen:
            name = f"{RANDOM}-{setting}" if seen else RANDOM
            yield replace(run, setting=name, untrained=run)
            seen.append(study.seen(split, setting))
        yield run
    for setting in study.equal_time:
        run = study_run(study, split, setting, seed)
        names = (study.baseline, setting)
        pace = tuple(study_run(study, split, name, study.seeds[0]) for name in names)
        yield replace(run, setting=timed(setting), pace=pace)


def study_run(study: Study, split: Split, setting: str, seed: int) -> Run:
    """The pre-training of a setting."""
    stream, encoder = study.seen(split, setting)
    return Run(*split, encoder.kind, stream, seed, setting)


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


def arguments(cell: Cell, options: ReproduceOptions, plain: bool = False) -> list[str]:
    """The command line of a cell without the program; `plain` leaves out what was asked for."""
    extras = [] if plain else _extras(cell, options)
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
        checkpoint = RANDOM if cell.run.untrained else cell.trained.product(out)
        given |= {"pretrained": checkpoint, "output-path": folder}
    if cell.fraction:
        given |= {"label-fraction": cell.fraction, "runs": cell.subsets}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    return [*extras, *cell.kind.arguments, *words]


def _extras(cell: Cell, options: ReproduceOptions) -> list[str]:
    """The options of a cell's script that were asked for."""
    if options.grid is not None:
        return _of_study(cell, options.grid, options.out)
    kinds = (*cell.kind.extras, cell.mode)
    return [word for kind in kinds for word in options.extras.get(kind, ())]


def _of_study(cell: Cell, study: Study, out: Path) -> list[str]:
    run = cell.run.pace[1] if cell.run.pace else cell.run.untrained or cell.run
    words = study.words(run.split, run.setting, cell.mode)
    if cell.mode == PRETRAINING and cell.run.pace:
        theirs, ours = (processor_seconds(need.record(out)) for need in cell.needs())
        if theirs and ours:
            words += longer(study.trained[run.split, run.setting], theirs / ours)
    if cell.run.untrained:
        words += study.encoder_words(run.split, run.setting)
    return words


def processor_seconds(record: Path) -> float | None:
    """What a finished cell took of the processor; None where its record does not say so."""
    if not record.is_file():
        return None
    with reading(record, "a record of tools.reproduce"):
        content = json.loads(record.read_text(encoding="utf-8"))
        return content.get("processor_seconds") if "seconds" in content else None


def read(cell: Cell, options: ReproduceOptions, plain: bool = False) -> Any:
    """The record that a cell's script makes of its command line, see `arguments`.

    Raises:
        ValueError: an option that the script refuses, with the script's own words.
    """
    try:
        return _parser(cell.mode).read(arguments(cell, options, plain))
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
