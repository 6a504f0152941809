"""Groups of options that several commands share; the defaults are the published run.

Source: the published command for NTU-60 cross-view joint (HiCo, AAAI 2023, arXiv:2212.02082).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

from dataset.protocols import (
    DATASETS,
    OTHER_WORDS,
    STREAMS,
    DataSet,
    load_datasets,
    split_folder,
)
from moco.config import (
    ENCODERS,
    PUBLISHED_ENCODER,
    EncoderConfig,
    SettingError,
    read_encoder_config,
)
from options.parser import (
    Group,
    Option,
    any_text,
    declared,
    device_name,
    file_path,
    group,
    one_of,
    option,
    real,
    spelled,
    whole,
)

MAX_SEED = 2**63 - 1
"""Seeds a torch.Generator takes, negative ones aside."""
RANDOM = "random"
"""In place of a checkpoint: score a random encoder on purpose."""
REPLACE = "replace a results.json that was made with other settings"
"""What --overwrite of an evaluation does."""


def _protocols(datasets: Mapping[str, DataSet]) -> tuple[str, ...]:
    """Return the protocols of all data sets."""
    return tuple(dict.fromkeys(name for known in datasets.values() for name in known.folders))


@dataclass(frozen=True)
class DataOptions:
    """Which clips are read.

    Raises:
        SettingError: an unknown data set, or a protocol that it does not have.
        ValueError: the description of one's own data set makes no sense.
    """

    dataset: str = option(
        "ntu60",
        read=any_text,  # checked once the data path is known, where one's own data sets lie
        metavar="NAME",
        help=f"data set: {' | '.join(DATASETS)} | one of your own by its name",
    )
    protocol: str = option(
        "cross_view",
        read=any_text,
        metavar="NAME",
        help=f"split of the data set: {' | '.join(_protocols(DATASETS))}; "
        f"or in short {' | '.join(OTHER_WORDS)}",
    )
    stream: str = option(
        "joint",
        read=one_of(STREAMS),
        metavar="NAME",
        help=f"what is read off the skeleton: {' | '.join(STREAMS)}",
    )
    data_path: Path = option(
        Path("data"),
        read=file_path,
        metavar="DIR",
        help="folder of the prepared data sets",
        shown="./data",
    )
    origin: str = option(
        "published",
        read=one_of(("published", "any")),
        metavar="WHERE",
        help="where clips may have their origin: published, as this code prepares them | any, as "
        "others do; figures do not compare then",
    )

    def __post_init__(self) -> None:
        known = load_datasets(self.data_path, self.dataset)
        dataset = spelled(self.dataset, tuple(known), {})
        if dataset is None:
            raise SettingError("dataset", self.dataset, f"known are {', '.join(known)}")
        protocols = tuple(known[dataset].folders)
        protocol = spelled(self.protocol, protocols, OTHER_WORDS)
        if protocol is None:
            every = _protocols(known)
            unknown = spelled(self.protocol, every, OTHER_WORDS) is None
            has = f"known are {', '.join(every)}" if unknown else ""
            fault = has or f"{dataset} has {', '.join(protocols)}"
            raise SettingError("protocol", self.protocol, fault)
        object.__setattr__(self, "dataset", dataset)
        object.__setattr__(self, "protocol", protocol)

    @cached_property
    def known(self) -> DataSet:
        """What is known of the data set."""
        return load_datasets(self.data_path)[self.dataset]

    @property
    def folder(self) -> Path:
        """The folder of the protocol's arrays."""
        return split_folder(self.data_path, self.known, self.protocol)


def _encoder_options() -> dict[str, Option]:
    """The kind of encoder, and the sizes that any of the kinds has; None where not given."""
    kinds = tuple(ENCODERS)
    found = {
        "kind": Option(
            flags=("--encoder",),
            read=one_of(kinds),
            metavar="KIND",
            help=f"sequence encoder: {' | '.join(kinds)}",
            default=None,
            shown=PUBLISHED_ENCODER,
        )
    }
    sizes = {kind: declared(row.config) for kind, row in ENCODERS.items()}
    for name in dict.fromkeys(chain(*sizes.values())):
        usual = {kind: of_kind[name] for kind, of_kind in sizes.items() if name in of_kind}
        defaults = {kind: one.default for kind, one in usual.items()}
        several = ", ".join(f"{kind} {default}" for kind, default in defaults.items())
        shown = several if len(set(defaults.values())) > 1 else str(defaults.popitem()[1])
        found[name] = replace(next(iter(usual.values())), default=None, shown=shown)
    return found


def encoder_group(title: str, build: Callable[[Mapping[str, Any]], Any]) -> Any:
    """A field for what is built of the given options of an encoder, those of all kinds."""

    def _build(values: Mapping[str, Any]) -> Any:
        return build({name: value for name, value in values.items() if value is not None})

    made = Group(title, _encoder_options, _build)
    return field(default_factory=partial(build, {}), metadata={"group": made})


@dataclass(frozen=True)
class RandomEncoder:
    """The encoder of random weights that is scored where no checkpoint is.

    Attributes:
        given: the sizes that were given; the published ones for what was not.
    """

    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> EncoderConfig:
        """Its kind and sizes.

        Raises:
            SettingError: sizes that do not go together.
        """
        return read_encoder_config(self.given)


@dataclass(frozen=True)
class TrainingOptions:
    """How long, on how much at a time, and by which gradient descent.

    Raises:
        SettingError: an unsorted schedule, or a first epoch after the last.
    """

    epochs: int = option(451, read=whole(1), metavar="N", help="passes over the training clips")
    start_epoch: int = option(
        0,
        read=whole(0),
        metavar="N",
        help="first epoch, counted from 0; --resume brings its own",
    )
    batch_size: int = option(
        64, "-b", "--batch-size", read=whole(1), metavar="N", help="clips a batch"
    )
    lr: float = option(
        0.01,
        "--lr",
        "--learning-rate",
        read=real(above=0),
        metavar="RATE",
        help="learning rate at the start",
    )
    schedule: tuple[int, ...] = option(
        (351,),
        read=whole(1),
        least=0,
        metavar="EPOCH",
        help="rising epochs, from 0, at which the learning rate falls to a tenth",
    )
    cos: bool = option(False, help="cosine learning rate in place of --schedule")
    momentum: float = option(
        0.9, read=real(at_least=0, below=1), metavar="M", help="share of the last step that is kept"
    )
    weight_decay: float = option(
        1e-4, "--wd", "--weight-decay", read=real(at_least=0), metavar="W", help="weight decay"
    )

    def __post_init__(self) -> None:
        rising = tuple(sorted(set(self.schedule)))
        if self.schedule != rising:
            fault = f"epochs must rise, as in {' '.join(map(str, rising))}"
            raise SettingError("schedule", self.schedule, fault)
        if self.start_epoch >= self.epochs:
            raise SettingError("start_epoch", self.start_epoch, f"--epochs is only {self.epochs}")


@dataclass(frozen=True)
class RunOptions:
    """Where and how to run, not what to compute."""

    device: str = option(
        "auto",
        read=device_name,
        metavar="NAME",
        help="auto (a GPU where there is one) | cpu | cuda | cuda:N",
    )
    seed: int | None = option(
        None,
        read=whole(0, MAX_SEED),
        metavar="N",
        help="seed of every random draw, from 0",
        shown="a fresh one, printed",
    )
    print_freq: int = option(
        10,
        "-p",
        "--print-freq",
        read=whole(1),
        metavar="N",
        help="batches between two printed lines",
    )
    workers: int | None = option(
        None,
        "-j",
        "--workers",
        read=whole(0),
        metavar="N",
        help="unneeded, the data lies on the device; taken so that published commands run",
        shown="none",
    )


def resume_option(meaning: str) -> str:
    """A field for the file to go on from."""
    return option("", read=any_text, metavar="FILE", help=meaning, shown="none")


def overwrite_option(meaning: str, title: str = "options") -> bool:
    """A field for the consent to lose what is there; without it nothing is overwritten."""
    return option(False, help=meaning, title=title)


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """What every evaluation of an encoder is told.

    Raises:
        SettingError: no checkpoint, or sizes of an encoder beside one.
    """

    data: DataOptions = group(
        DataOptions,
        "data",
        dataset={"flags": ("--finetune-dataset",)},
        stream={"flags": ("--finetune-skeleton-representation",)},
    )
    pretrained: str = option(
        "",
        read=any_text,
        metavar="FILE",
        title="checkpoint",
        help="checkpoint of pretraining.py or of the published code; "
        "random: an untrained encoder, to compare with",
        shown="none; it must be given",
    )
    random_encoder: RandomEncoder = encoder_group("encoder (of random weights only)", RandomEncoder)
    run: RunOptions = group(
        RunOptions,
        "run",
        print_freq={"help": "unneeded, the result comes at once; taken as published"},
    )

    def __post_init__(self) -> None:
        if not self.pretrained:
            fault = "needs a checkpoint of pretraining.py, or random"
            raise SettingError("pretrained", "", fault)
        given = self.random_encoder.given
        if given and self.pretrained != RANDOM:
            name, value = next(iter(given.items()))
            raise SettingError(
                f"random_encoder.{name}",
                value,
                "the encoder comes from the checkpoint; leave it out, or give --pretrained random",
            )
        try:
            _ = self.random_encoder.config
        except SettingError as error:
            name = f"random_encoder.{error.name}"
            raise SettingError(name, error.value, error.fault) from None


def file_option(default: Path | None, metavar: str, meaning: str, shown: str = "none") -> Any:
    """A field for a file or folder that a command may read or write; `shown` where it is None."""
    return option(
        default,
        read=file_path,
        metavar=metavar,
        title="files",
        help=meaning,
        shown=None if default else shown,
    )


def output_option(meaning: str) -> Path | None:
    """A field for the folder that an evaluation writes to."""
    return file_option(None, "DIR", meaning, "one for each experiment, beside the checkpoint")
