"""Options of `python -m tools.reproduce`, and the evaluations that it knows, one row each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dataset.protocols import OTHER_WORDS, STREAMS, DataSet, load_datasets
from moco.config import ENCODERS, SettingError
from options.groups import MAX_SEED
from options.parser import (
    Group,
    Option,
    Parser,
    any_text,
    device_name,
    file_path,
    one_of,
    option,
    real,
    spelled,
    split_words,
    whole,
)

Split = tuple[str, str]
"""A data set and one of its protocols, by name."""
PRETRAINING = "pretraining"
PUBLISHED_DATASETS = ("ntu60", "ntu120", "pku_part1", "pku_part2")


class Kind(NamedTuple):
    """One kind of cell: a pre-training, or an evaluation of it.

    Attributes:
        title: heading in the table.
        script: file or module that is run.
        options: "module:function" that makes the parser of its command line.
        passes: "module:function" that counts its encoder passes; "" where it has none.
        scores: "module:function" that reads its results.json; "" where it writes none.
        arguments: what its command line says beside data, encoder and seed.
        over: it is run once for each of these: "fractions" | "targets"; "streams": for all
            streams together; "": once.
        extras: evaluations whose additional options it takes before its own.
    """

    title: str
    script: str
    options: str
    passes: str = ""
    scores: str = ""
    arguments: tuple[str, ...] = ()
    over: str = ""
    extras: tuple[str, ...] = ()


_LINEAR = Kind(
    title="Linear probe",
    script="action_classification.py",
    options="options.classification:parser",
    passes="tools.reproduce.scripts:classification_passes",
    scores="tools.reproduce.scripts:classification_scores",
    arguments=("--mode", "linear"),
)
_FINETUNE = _LINEAR._replace(title="Fine-tuning", arguments=("--mode", "finetune"))
EVALUATIONS = {
    "linear": _LINEAR,
    "knn": Kind(
        title="Retrieval, one nearest neighbour",
        script="action_retrieval.py",
        options="options.retrieval:parser",
        passes="tools.reproduce.scripts:retrieval_passes",
        scores="tools.reproduce.scripts:retrieval_scores",
    ),
    "finetune": _FINETUNE,
    "semi": _FINETUNE._replace(
        title="Fine-tuning with a share of the labels", over="fractions", extras=("finetune",)
    ),
    "transfer": _FINETUNE._replace(title="Transfer", over="targets", extras=("finetune",)),
    "ensemble": Kind(
        title="Ensemble of linear probes",
        script="tools.ensemble",
        options="options.ensemble:parser",
        scores="tools.reproduce.scripts:ensemble_scores",
        over="streams",
    ),
}
"""A new evaluation is one row here."""
KINDS = {
    PRETRAINING: Kind(
        title="Pre-training",
        script="pretraining.py",
        options="options.pretraining:parser",
        passes="tools.reproduce.scripts:pretraining_passes",
    ),
    **EVALUATIONS,
}
KNOWN, MODES = tuple(ENCODERS), tuple(EVALUATIONS)
SET_HERE = frozenset(
    ("--pre-dataset", "--finetune-dataset", "--protocol", "--skeleton-representation")
    + ("--finetune-skeleton-representation", "--encoder", "--seed", "--pretrained", "--resume")
    + ("--checkpoint-path", "--data-path", "--device", "--mode", "--label-fraction", "--runs")
    + ("--start-epoch", "--output-path", "--output")
)
"""Options of the scripts that say which cell is run."""


def _selected(default: Any, read: Any, metavar: str, help: str, **more: Any) -> Any:
    """A field of the selection; one with several values takes one word or more."""
    least = 1 if isinstance(default, tuple) else None
    title = "selection (default: the whole table)"
    return option(default, read=read, metavar=metavar, help=help, least=least, title=title, **more)


def _run(default: Any, help: str, read: Any = None, metavar: str = "") -> Any:
    return option(default, read=read, metavar=metavar, help=help, title="run")


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
    protocols: tuple[str, ...] = _selected(
        (), any_text, "NAME", "splits of these data sets", shown="all"
    )
    encoders: tuple[str, ...] = _selected(KNOWN, one_of(KNOWN), "KIND", "sequence encoders")
    streams: tuple[str, ...] = _selected(
        STREAMS, one_of(STREAMS), "NAME", "what is read off the skeleton"
    )
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
    plan: bool = _run(False, "say what would be run and how long it would take")
    out: Path = _run(Path("runs/reproduce"), "for results", file_path, "DIR")
    data_path: Path = _run(Path("data"), "prepared data", file_path, "DIR")
    device: str = _run("auto", "auto | cpu | cuda | cuda:N", device_name, "NAME")
    extras: Mapping[str, tuple[str, ...]] = _extras()

    def __post_init__(self) -> None:
        splits = [f"{one.name}:{name}" for one in self.known.values() for name in one.folders]
        protocols = dict.fromkeys(split.partition(":")[2] for split in splits)
        others = {
            f"{one}:{word}": f"{one}:{name}"
            for one in self.known
            for word, name in OTHER_WORDS.items()
        }
        self._spell("datasets", self.known)
        self._spell("protocols", protocols, OTHER_WORDS)
        self._spell("transfer_to", splits, others)
        for name in ("encoders", "streams", "modes", "seeds", "fractions"):
            self._keep(name, getattr(self, name))
        # The fused streams are named in one order, whatever the order they were given in.
        self._keep("streams", sorted(self.streams, key=STREAMS.index))
        self._check_splits()
        self._check_streams()
        self._check_extras()

    def _keep(self, name: str, values: Iterable[Any]) -> None:
        object.__setattr__(self, name, tuple(dict.fromkeys(values)))

    def _spell(
        self, name: str, known: Iterable[str], others: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Spell names as they are known."""
        names = []
        for text in getattr(self, name):
            names.append(spelled(text, tuple(known), others))
            if names[-1] is None:
                raise SettingError(name, text, f"known are {', '.join(known)}")
        self._keep(name, names)

    def _check_splits(self) -> None:
        for dataset in self.datasets:
            folders = self.known[dataset].folders
            if self.protocols and not set(self.protocols) & set(folders):
                fault = f"{dataset} has {', '.join(folders)}"
                raise SettingError("protocols", self.protocols[0], fault)

    def _check_streams(self) -> None:
        """Leave out what fuses streams where there is one, and refuse it where it was asked for."""
        fusing = [mode for mode in self.modes if EVALUATIONS[mode].over == "streams"]
        if len(self.streams) > 1 or not fusing:
            return
        if self.modes != MODES:
            fault = f"needs two streams or more, --streams has {self.streams[0]}"
            raise SettingError("modes", fusing[0], fault)
        self._keep("modes", [mode for mode in MODES if mode not in fusing])

    def _check_extras(self) -> None:
        for mode, words in self.extras.items():
            for flag in (word.partition("=")[0].replace("_", "-") for word in words):
                if flag in SET_HERE:
                    fault = "tools.reproduce sets it itself; choose by its own options"
                    raise SettingError(f"extras.{mode}", flag, fault)

    @cached_property
    def known(self) -> dict[str, DataSet]:
        """Every data set by name, one's own in the data path too."""
        return load_datasets(self.data_path)

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


def parser() -> Parser[ReproduceOptions]:
    """The command line of `python -m tools.reproduce`."""
    return Parser(
        ReproduceOptions,
        "Run what is missing of the table of accuracies and write ours beside the published ones. "
        "What has been run is not run again; the same command goes on where it was stopped.",
        program="python -m tools.reproduce",
    )
