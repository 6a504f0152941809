"""Options of `python -m tools.reproduce`; the defaults are the whole table."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dataset.protocols import OTHER_WORDS, STREAMS, DataSet, load_datasets
from moco.config import ENCODERS, SettingError
from options.evaluations import EVALUATIONS, KINDS
from options.groups import MAX_SEED
from options.parser import (
    Group,
    Option,
    Parser,
    any_text,
    declared,
    device_name,
    file_path,
    one_of,
    option,
    real,
    spelled,
    split_words,
    whole,
)
from options.study import Split, Study, read_study, set_here

PUBLISHED_DATASETS = ("ntu60", "ntu120", "pku_part1", "pku_part2")
KNOWN, MODES = tuple(ENCODERS), tuple(EVALUATIONS)
_SELECTION = "selection (default: the whole table)"


def _selected(default: Any, read: Any, metavar: str, help: str, **more: Any) -> Any:
    """A field of the selection; one with several values takes one word or more."""
    least = 1 if isinstance(default, tuple) else None
    more |= {"least": least, "title": _SELECTION}
    return option(default, read=read, metavar=metavar, help=help, **more)


def _run(default: Any, help: str, read: Any = None, metavar: str = "", **more: Any) -> Any:
    return option(default, read=read, metavar=metavar, help=help, title="run", **more)


def _extras() -> Any:
    """A field for the additional options of each kind of cell."""
    options = {}
    for mode, kind in KINDS.items():
        text = ", after those of ".join((f"for each {mode}", *kind.extras))
        options[mode] = Option((f"--{mode}",), split_words, "TEXT", text, (), shown="none")
    title = 'more options for the scripts, as in --linear "--lr 1 --epochs 60"'
    return field(default_factory=dict, metadata={"group": Group(title, lambda: options, dict)})


@dataclass(frozen=True)
class ReproduceOptions:
    """What is asked for; every name is spelled as it is known, and stands once.

    Raises:
        SettingError: names that are not known or do not go together, or an additional option that
            would change which cell is run.
    """

    datasets: tuple[str, ...] = _selected(PUBLISHED_DATASETS, any_text, "NAME", "data sets")
    protocols: tuple[str, ...] = _selected((), any_text, "NAME", "their splits", shown="all")
    encoders: tuple[str, ...] = _selected(KNOWN, one_of(KNOWN), "KIND", "sequence encoders")
    streams: tuple[str, ...] = _selected(STREAMS, one_of(STREAMS), "NAME", "skeleton streams")
    modes: tuple[str, ...] = _selected(MODES, one_of(MODES), "NAME", "evaluations")
    seeds: tuple[int, ...] = _selected((0,), whole(0, MAX_SEED), "N", "one pre-training each")
    fractions: tuple[float, ...] = _selected(
        (0.01, 0.05, 0.1, 0.2), real(above=0, below=1), "P", "semi: shares of the labels"
    )
    subsets: int = _selected(5, whole(1), "N", "semi: draws of a share")
    transfer_to: tuple[str, ...] = _selected(
        ("pku_mmd_part2:cross_subject",),  # normalised as the sources are, unlike frame50
        any_text,
        "DATA_SET:PROTOCOL",
        "transfer: what is scored",
    )
    study: Path | None = _run(
        None,
        "run this JSON file's settings in place of a selection",
        file_path,
        "FILE",
        shown="none",
    )
    at_once: int = _run(1, "scripts that run at the same time", whole(1), "N")
    plan: bool = _run(False, "say what would be run and how long it would take")
    out: Path = _run(
        Path("runs/reproduce"),
        "for results",
        file_path,
        "DIR",
        shown="runs/reproduce; with --study runs/ and the file's name",
    )
    data_path: Path = _run(Path("data"), "prepared data", file_path, "DIR")
    device: str = _run("auto", "auto | cpu | cuda | cuda:N", device_name, "NAME")
    extras: Mapping[str, tuple[str, ...]] = _extras()

    def __post_init__(self) -> None:
        if self.study is not None:
            self._refuse_selection()
            _ = self.grid
            return
        folders = [(one.name, name) for one in self.known.values() for name in one.folders]
        others = OTHER_WORDS.items()
        words = {f"{one}:{word}": f"{one}:{name}" for one in self.known for word, name in others}
        self._spell("datasets", self.known)
        self._spell("protocols", dict.fromkeys(name for _, name in folders))
        self._spell("transfer_to", [":".join(split) for split in folders], words)
        for dataset in self.datasets:
            folders = self.known[dataset].folders
            if self.protocols and not set(self.protocols) & set(folders):
                fault = f"{dataset} has {', '.join(folders)}"
                raise SettingError("protocols", self.protocols[0], fault)
        for name in ("encoders", "modes", "seeds", "fractions"):
            self._set(name, dict.fromkeys(getattr(self, name)))
        # The streams of an ensemble are named in one order, whatever the order they were given in.
        self._set("streams", [stream for stream in STREAMS if stream in self.streams])
        self._check_streams()
        self._check_extras()

    def _refuse_selection(self) -> None:
        """With a study, nothing else says what is run."""
        given = {name: getattr(self, name) for name in _selection()}
        given |= {f"extras.{mode}": words for mode, words in self.extras.items()}
        for name, value in given.items():
            if value:
                raise SettingError(name, value, f"{self.study} says what is run; leave one out")

    def _set(self, name: str, values: Iterable[str]) -> None:
        object.__setattr__(self, name, tuple(values))

    def _spell(self, name: str, known: Iterable[str], words: Mapping = OTHER_WORDS) -> None:
        """Spell names as they are known."""
        found = [spelled(text, tuple(known), words) for text in getattr(self, name)]
        if None in found:
            wrong = getattr(self, name)[found.index(None)]
            raise SettingError(name, wrong, f"known are {', '.join(known)}")
        self._set(name, dict.fromkeys(found))

    def _check_streams(self) -> None:
        """Leave out what fuses streams where there is one, and refuse it where it was asked for."""
        fusing = [mode for mode in self.modes if EVALUATIONS[mode].over == "streams"]
        if len(self.streams) > 1 or not fusing:
            return
        if self.modes != MODES:
            fault = f"needs two streams or more, --streams has {self.streams[0]}"
            raise SettingError("modes", fusing[0], fault)
        self._set("modes", [mode for mode in MODES if mode not in fusing])

    def _check_extras(self) -> None:
        for mode, words in self.extras.items():
            for flag in set_here(words):
                fault = "tools.reproduce sets it itself; choose by its own options"
                raise SettingError(f"extras.{mode}", flag, fault)

    @cached_property
    def known(self) -> dict[str, DataSet]:
        """Every data set by name, one's own in the data path too."""
        return load_datasets(self.data_path)

    @cached_property
    def grid(self) -> Study | None:
        """What the file of `study` says."""
        return self.study and read_study(self.study, self.known, self.data_path)

    @property
    def splits(self) -> tuple[Split, ...]:
        """What is pre-trained on."""
        return tuple(
            (dataset, protocol)
            for dataset in self.datasets
            for protocol in self.known[dataset].folders
            if not self.protocols or protocol in self.protocols
        )

    @property
    def targets(self) -> tuple[Split, ...]:
        """What transfer is scored on."""
        return tuple(tuple(text.split(":")) for text in self.transfer_to)


def _selection() -> list[str]:
    """The fields that a study takes the place of."""
    return [name for name, one in declared(ReproduceOptions).items() if one.title == _SELECTION]


def _of_study(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Other defaults with a study: nothing is selected, and results have a folder of their own."""
    if values["study"] is None:
        return {}
    return {**dict.fromkeys(_selection()), "out": Path("runs") / values["study"].stem}


def parser() -> Parser[ReproduceOptions]:
    """The command line of `python -m tools.reproduce`."""
    return Parser(
        ReproduceOptions,
        "Run what is missing of the table of accuracies and write ours beside the published ones. "
        "What has been run is not run again; the same command goes on where it was stopped.",
        program="python -m tools.reproduce",
        usual=_of_study,
    )
