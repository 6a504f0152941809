"""What a model is made of, as plain values: kind and sizes of the encoder, and the contrast.

A field made by `setting` is an option of the command line too: its bounds and its help stand here,
and `options` builds the flag from them. So nothing here imports torch.

A new kind of encoder is one file with its config and its module, and one row in `ENCODERS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, NamedTuple


class SettingError(ValueError):
    """A value that an option or a setting cannot have.

    Attributes:
        name: of the field.
        value: that was given.
        fault: what is wrong with it, or what would work.
    """

    def __init__(self, name: str, value: object, fault: str) -> None:
        super().__init__(f"{name} {value}: {fault}")
        self.name, self.value, self.fault = name, value, fault


@dataclass(frozen=True)
class Setting:
    """What a field means and which values it takes.

    Attributes:
        help: what it does, and in which unit.
        flag: its name on the command line, where that is not the field's.
        choices: the names it takes; empty for a number.
        at_least: inclusive lower bound of a number.
        above: exclusive lower bound.
        at_most: inclusive upper bound.
        below: exclusive upper bound.
    """

    help: str
    flag: str = ""
    choices: tuple[str, ...] = ()
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def fault(self, value: Any) -> str:
        """Say what a value must be, or return "" where it is that."""
        if self.choices:
            return "" if value in self.choices else f"known are {', '.join(self.choices)}"
        fits = (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )
        return "" if fits else f"needs a number {self.bounds}"

    @property
    def bounds(self) -> str:
        """The bounds in words."""
        words = [
            (self.above, "above {:g}"),
            (self.at_least, "{:g} or more"),
            (self.below, "below {:g}"),
            (self.at_most, "at most {:g}"),
        ]
        return " and ".join(text.format(bound) for bound, text in words if bound is not None)


def setting(default: Any, help: str, **bounds: Any) -> Any:
    """A field of a config with its `Setting`; the arguments are those of `Setting`."""
    return field(default=default, metadata={"setting": Setting(help, **bounds)})


def check(config: object) -> None:
    """Check every setting of a config.

    Raises:
        SettingError: the first value that is out of bounds.
    """
    for each in fields(config):
        value = getattr(config, each.name)
        if "setting" in each.metadata and (fault := each.metadata["setting"].fault(value)):
            raise SettingError(each.name, value, fault)


@dataclass(frozen=True)
class EncoderConfig:
    """Kind and sizes that every encoder has; the defaults are the published ones.

    Raises:
        SettingError: a size that no encoder of this kind can have.
    """

    kind: str
    hidden_size: int = setting(512, "features of a branch at each level", at_least=1)
    granularity: int = setting(
        4,
        "levels, each with half the tokens",
        at_least=1,
        at_most=6,  # 50 joint tokens are 50, 25, 12, 6, 3, 1
    )
    time_features: int = 150
    space_features: int = 192
    num_layers: int = 1  # of the sequence encoder; a kind that may have more makes it a setting

    def __post_init__(self) -> None:
        if self.kind not in ENCODERS:
            raise SettingError("kind", self.kind, f"known are {', '.join(ENCODERS)}")
        check(self)

    @property
    def feature_size(self) -> int:
        """2·G·d, the length of the downstream feature."""
        return 2 * self.granularity * self.hidden_size

    @property
    def described(self) -> str:
        """Kind and sizes in words."""
        return (
            f"{self.kind}, hidden size {self.hidden_size}, {self.num_layers} layer(s), "
            f"granularity {self.granularity}"
        )


@dataclass(frozen=True)
class TransformerConfig(EncoderConfig):
    """Sizes of a Transformer."""

    num_heads: int = setting(4, "attention heads, Transformer only", at_least=1)
    num_layers: int = setting(1, "layers of the sequence encoder", at_least=1)
    dropout: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % self.num_heads:
            fault = f"must be a multiple of --num-heads {self.num_heads}"
            raise SettingError("hidden_size", self.hidden_size, fault)


@dataclass(frozen=True)
class RecurrentConfig(EncoderConfig):
    """Sizes of a bidirectional GRU or LSTM."""

    num_layers: int = setting(1, "layers of the sequence encoder", at_least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % 2:
            fault = f"must be even for {self.kind}, half for each direction"
            raise SettingError("hidden_size", self.hidden_size, fault)


class EncoderKind(NamedTuple):
    """One kind of sequence encoder.

    Attributes:
        config: class of its config.
        builder: "module:class" of what takes the config and becomes the encoder.
        published: whether the published checkpoints can hold it.
    """

    config: type[EncoderConfig]
    builder: str
    published: bool = False


ENCODERS = {
    "GRU": EncoderKind(RecurrentConfig, "moco.encoders.recurrent:RecurrentEncoder", True),
    "LSTM": EncoderKind(RecurrentConfig, "moco.encoders.recurrent:RecurrentEncoder", True),
    "Transformer": EncoderKind(
        TransformerConfig, "moco.encoders.transformer:TransformerEncoder", True
    ),
}
"""The kinds of encoder there are."""
PUBLISHED_ENCODER = "Transformer"


def encoder_config(kind: str = PUBLISHED_ENCODER, **sizes: Any) -> EncoderConfig:
    """Make the config of one kind of encoder.

    Args:
        kind: a key of ENCODERS.
        sizes: fields of its config; the published values for what is left out.

    Raises:
        SettingError: an unknown kind, or a size that it cannot have.
        TypeError: a size that this kind does not know.
    """
    if kind not in ENCODERS:
        raise SettingError("kind", kind, f"known are {', '.join(ENCODERS)}")
    return ENCODERS[kind].config(kind, **sizes)


def read_encoder_config(values: Mapping[str, Any]) -> EncoderConfig:
    """Make a config from values that may name sizes of other kinds too; those are left out.

    Args:
        values: `kind` and sizes, as a checkpoint or a command line holds them.

    Raises:
        SettingError: as `encoder_config`.
    """
    kind = values.get("kind", PUBLISHED_ENCODER)
    known = {each.name for each in fields(ENCODERS[kind].config)} if kind in ENCODERS else set()
    return encoder_config(**{n: v for n, v in values.items() if n in known | {"kind"}})


def build_sequence_encoder(config: EncoderConfig) -> Any:
    """Build the sequence encoder of a config, a moco.encoders.sequence.SequenceEncoder."""
    return _named(ENCODERS[config.kind].builder)(config)


METHODS = {"HiCo": "moco.hico:HiCo"}
"""The methods there are: "module:class" of each moco.method.Method, by its name."""


def method_class(name: str) -> Any:
    """Return the class of a method, a subclass of moco.method.Method.

    Raises:
        SettingError: an unknown method.
    """
    if name not in METHODS:
        raise SettingError("method", name, f"known are {', '.join(METHODS)}")
    return _named(METHODS[name])


def _named(place: str) -> Any:
    """What "module:name" names; modules that need torch load only here."""
    module, name = place.split(":")
    return getattr(import_module(module), name)


NEIGHBOUR_LEVELS = {
    "instance": ("instance",),
    "domains": ("temporal", "spatial", "instance"),
    "all": ("clip", "part", "temporal", "spatial", "instance"),
}
"""The terms of the contrast that may have neighbours as positives, by the word for them."""


@dataclass(frozen=True)
class ContrastConfig:
    """Projections, queues, momentum and temperature; the defaults are the published run.

    Raises:
        SettingError: a value out of bounds.
    """

    projection_size: int = setting(128, "features of a projection", flag="--hico-dim", at_least=1)
    queue_size: int = setting(
        2048, "keys in a queue, a multiple of the batch size", flag="--hico-k", at_least=1
    )
    momentum: float = setting(
        0.999,
        "share of itself that the key encoder keeps in a step",
        flag="--hico-m",
        at_least=0,
        below=1,
    )
    temperature: float = setting(
        0.2, "temperature, divides the cosine similarities", flag="--hico-t", above=0
    )
    queue_wrap: str = setting(
        "published",
        "published: the clip and part queues wrap at hico-k, so most of their columns stay as "
        "they started; full: at their last column",
        choices=("published", "full"),
    )
    positives: str = setting(
        "own",
        "what a query is to find: own, the keys of its clip | neighbours, also the key in the "
        "queue, of another clip, that is nearest to its own",
        choices=("own", "neighbours"),
    )
    neighbours_from: int = setting(
        0, "first epoch, from 0, in which neighbours are positives", at_least=0
    )
    neighbour_levels: str = setting(
        "instance",
        f"at which levels neighbours are positives: {' | '.join(NEIGHBOUR_LEVELS)}",
        choices=tuple(NEIGHBOUR_LEVELS),
    )

    def __post_init__(self) -> None:
        check(self)
