"""Argparse groups that the scripts share, and the checks of what they take.

Every option is accepted with `-` and with `_` between its words. A fault is one line on stderr,
`error: --OPTION VALUE: what would work`, and exit status 2. Nothing here imports torch or numpy,
so `--help` answers at once.
"""

import argparse
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from dataset.protocols import DATASETS, STREAMS, register

ENCODERS = ("GRU", "LSTM", "Transformer")
MAX_GRANULARITY = 6
"""Levels a clip can be halved into: 50 joint tokens are 50, 25, 12, 6, 3, 1."""

MAX_SEED = 2**63 - 1
"""Seeds a torch.Generator takes, negative ones aside."""

PUBLISHED_ENCODER = {
    "encoder": "Transformer",
    "hidden_size": 512,
    "num_heads": 4,
    "num_layers": 1,
    "granularity": 4,
}
"""The encoder of the published run (HiCo, AAAI 2023, arXiv:2212.02082)."""


@dataclass(frozen=True)
class EvaluationOptions:
    """What every evaluation of an encoder is told.

    Attributes:
        pretrained: the checkpoint whose encoder is scored, or "random".
        encoder: shape of the random encoder, like the four that follow; None when not given.
        batch_size: clips taken at a time.
        output_path: folder for what is written; None for one beside the checkpoint.
        seed: None for a fresh one.
        workers: None when not given; never needed.
    """

    dataset: str
    protocol: str
    stream: str
    data_path: Path
    pretrained: str
    encoder: str | None
    hidden_size: int | None
    num_heads: int | None
    num_layers: int | None
    granularity: int | None
    batch_size: int
    output_path: Path | None
    device: str
    seed: int | None
    print_freq: int
    workers: int | None


class Parser(argparse.ArgumentParser):
    """An argument parser that takes `_` for `-` and reports a fault in one line."""

    def __init__(self, description: str) -> None:
        super().__init__(
            usage="%(prog)s [options]",
            description=description,
            allow_abbrev=False,
            formatter_class=_Help,
            add_help=False,
        )
        self.dataset_flag = ""  # what a script calls its data set
        self.add_argument_group("help").add_argument(
            "-h", "--help", action="help", help="show this help and leave"
        )

    def parse_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse, with `_` and `-` the same in the name of an option, unknown options refused."""
        given = list(sys.argv[1:] if args is None else args)
        known, unknown = self.parse_known_args([_hyphenated(word) for word in given], namespace)
        if unknown:
            self.error(f"{unknown[0]}: no such option{self._likely(unknown[0])}; see --help")
        return known

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with status 2; no usage text."""
        message = re.sub(r"^argument (?:-\w/)?(--[\w-]+)(?:/--?[\w-]+)*: ", r"\1: ", message)
        message = re.sub(r"^(--[\w-]+): (?=\S+: )", r"\1 ", message)
        print(f"error: {' '.join(message.split())}", file=sys.stderr)
        raise SystemExit(2)

    def _likely(self, word: str) -> str:
        import difflib  # only needed once something is wrong

        known = [flag for flag in self._option_string_actions if flag.startswith("--")]
        close = difflib.get_close_matches(word.split("=")[0], known, n=1)
        return f", did you mean {close[0]}?" if close else ""


class _Help(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=100)


def _hyphenated(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word


def add(
    group: argparse._ArgumentGroup,
    *flags: str,
    takes: Callable[[str], object],
    metavar: str,
    default: object,
    text: str,
    shown: str | None = None,
    **more: object,
) -> None:
    """Add one option, with its default at the end of its help.

    Args:
        group: where it is added.
        flags: its names; the first long one names it in errors.
        takes: reads the text after it.
        metavar: what stands for that text in the help.
        default: its value when it is not given.
        text: what it does, and in which unit.
        shown: the default in words, where the value does not say it.
        more: what else argparse is told.
    """
    if shown is None:
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    text = f"{text} (default: {shown})"
    group.add_argument(*flags, type=takes, metavar=metavar, default=default, help=text, **more)


def whole(at_least: int, at_most: float = math.inf) -> Callable[[str], int]:
    """Return a reader of whole numbers from `at_least` up, to `at_most` where it is given."""
    bounds = f"{at_least} or more" if at_most == math.inf else f"{at_least} to {at_most}"

    def _read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = at_least - 1
        if not at_least <= number <= at_most:
            raise argparse.ArgumentTypeError(f"{text}: needs a whole number, {bounds}")
        return number

    return _read


def real(
    above: float | None = None,
    at_least: float | None = None,
    below: float = math.inf,
    at_most: float = math.inf,
) -> Callable[[str], float]:
    """Return a reader of finite numbers that are > above, >= at_least, < below and <= at_most."""
    bounds = [f"above {above:g}"] if above is not None else []
    bounds += [f"{at_least:g} or more"] if at_least is not None else []
    bounds += [f"below {below:g}"] if below < math.inf else []
    bounds += [f"at most {at_most:g}"] if at_most < math.inf else []

    def _read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        fits = (
            math.isfinite(number)
            and (above is None or number > above)
            and (at_least is None or number >= at_least)
            and number < below
            and number <= at_most
        )
        if not fits:
            raise argparse.ArgumentTypeError(f"{text}: needs a number {' and '.join(bounds)}")
        return number

    return _read


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """Return a reader that takes these names only."""

    def _read(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text}: known are {', '.join(names)}")
        return text

    return _read


def device_name(text: str) -> str:
    """Read the name of a device; whether the machine has it is found out when it is used."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text}: known are auto, cpu, cuda, cuda:N")
    return text


def file_path(text: str) -> Path:
    """Read a path that must not be empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty; give a path")
    return Path(text)


def any_text(text: str) -> str:
    """Read any text, as it is."""
    return text


def add_data(parser: Parser, dataset_flag: str, stream_flag: str) -> None:
    """Add the options that say which clips to read; the flags' names differ by script."""
    group = parser.add_argument_group("data")
    parser.dataset_flag = dataset_flag

    def _add_name(flag: str, dest: str, names: Sequence[str], default: str, meaning: str) -> None:
        meaning = f"{meaning}: {' | '.join(names)}"
        takes = one_of(STREAMS) if dest == "stream" else any_text  # check_data knows the others
        add(group, flag, takes=takes, metavar="NAME", default=default, text=meaning, dest=dest)

    own = "one of your own by its name"
    _add_name(dataset_flag, "dataset", (*DATASETS, own), "ntu60", "data set")
    _add_name("--protocol", "protocol", _protocols(), "cross_view", "split of the data set")
    _add_name(stream_flag, "stream", STREAMS, "joint", "what is read off the skeleton")
    add(
        group,
        "--data-path",
        takes=file_path,
        metavar="DIR",
        default=Path("data"),
        text="folder of the prepared data sets",
        shown="./data",
    )


def _protocols() -> tuple[str, ...]:
    """Return the protocols of all data sets."""
    return tuple(dict.fromkeys(name for known in DATASETS.values() for name in known.folders))


def add_pretrained(parser: Parser) -> None:
    """Add the checkpoint whose encoder is scored."""
    add(
        parser.add_argument_group("checkpoint"),
        "--pretrained",
        takes=any_text,
        metavar="FILE",
        default="",
        text="checkpoint of pretraining.py or of the published code; "
        "random: an untrained encoder, to compare with",
        shown="none; it must be given",
    )


def add_encoder(parser: Parser, only_random: bool) -> None:
    """Add the options that shape the encoder.

    Args:
        parser: where the group is added.
        only_random: the encoder comes from a checkpoint and these shape only a random one; the
            options then default to None, and `encoder_settings` fills in the published values.
    """
    title = "encoder (of random weights only)" if only_random else "encoder"
    group = parser.add_argument_group(title)

    def _add(flag: str, metavar: str, takes: Callable[[str], object], meaning: str) -> None:
        published = PUBLISHED_ENCODER[flag[2:].replace("-", "_")]
        default, shown = None if only_random else published, str(published)
        add(group, flag, takes=takes, metavar=metavar, default=default, text=meaning, shown=shown)

    _add("--encoder", "KIND", one_of(ENCODERS), f"sequence encoder: {' | '.join(ENCODERS)}")
    _add("--hidden-size", "N", whole(1), "features of a branch at each level")
    _add("--num-heads", "N", whole(1), "attention heads, Transformer only")
    _add("--num-layers", "N", whole(1), "layers of the sequence encoder")
    _add("--granularity", "N", whole(1, MAX_GRANULARITY), "levels, each with half the tokens")


def add_sgd(
    group: argparse._ArgumentGroup,
    learning_rate: float | None,
    schedule: tuple[int, ...],
    weight_decay: float | None,
    momentum: float | None = 0.9,
    shown: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Add the options of stochastic gradient descent, with the published values as defaults.

    Args:
        group: where they are added.
        learning_rate: default; None where it depends on other options, like the next ones.
        schedule: default.
        weight_decay: default.
        momentum: default.
        shown: defaults in words, by the name of the option.
    """

    def _add(
        flags: tuple[str, ...], takes: Callable[[str], object], metavar: str, text: str, **more: Any
    ) -> None:
        more["shown"] = shown.get(flags[-1][2:].replace("-", "_"))
        add(group, *flags, takes=takes, metavar=metavar, text=text, **more)

    text = "learning rate at the start"
    _add(("--lr", "--learning-rate"), real(above=0), "RATE", text, default=learning_rate)
    text = "rising epochs, from 0, at which the learning rate falls to a tenth"
    _add(("--schedule",), whole(1), "EPOCH", text, default=schedule, nargs="*")
    text, share = "share of the last step that is kept", real(at_least=0, below=1)
    _add(("--momentum",), share, "M", text, default=momentum)
    decay = {"default": weight_decay, "dest": "weight_decay"}
    _add(("--wd", "--weight-decay"), real(at_least=0), "W", "weight decay", **decay)


def add_epochs(
    group: argparse._ArgumentGroup,
    epochs: int,
    batch_size: int | None,
    shown: str | None = None,
) -> None:
    """Add how long to train and on how much at a time, whose default may be `shown` in words."""
    add(
        group,
        "--epochs",
        takes=whole(1),
        metavar="N",
        default=epochs,
        text="passes over the training clips",
    )
    add(
        group,
        "--start-epoch",
        takes=whole(0),
        metavar="N",
        default=0,
        text="first epoch, counted from 0; --resume brings its own",
    )
    add_batch_size(group, batch_size, "clips a batch", shown)


def add_batch_size(
    group: argparse._ArgumentGroup, batch_size: int | None, meaning: str, shown: str | None = None
) -> None:
    """Add how many clips go through at a time."""
    flags, more = ("-b", "--batch-size"), {"text": meaning, "shown": shown}
    add(group, *flags, takes=whole(1), metavar="N", default=batch_size, **more)


def add_resume(group: argparse._ArgumentGroup, meaning: str) -> None:
    """Add the file to go on from."""
    add(group, "--resume", takes=any_text, metavar="FILE", default="", text=meaning, shown="none")


def add_output(parser: Parser, meaning: str) -> None:
    """Add the folder that the files go to."""
    add(
        parser.add_argument_group("files"),
        "--output-path",
        takes=file_path,
        metavar="DIR",
        default=None,
        text=meaning,
        shown="one for each experiment, beside the checkpoint",
    )


def add_runtime(parser: Parser, print_freq_meaning: str) -> None:
    """Add the options that say where and how to run, not what to compute."""
    group = parser.add_argument_group("run")
    add(
        group,
        "--device",
        takes=device_name,
        metavar="NAME",
        default="auto",
        text="auto (a GPU where there is one) | cpu | cuda | cuda:N",
    )
    add(
        group,
        "--seed",
        takes=whole(0, MAX_SEED),
        metavar="N",
        default=None,
        text="seed of every random draw, from 0",
        shown="a fresh one, printed",
    )
    add(
        group,
        *("-p", "--print-freq"),
        takes=whole(1),
        metavar="N",
        default=10,
        text=print_freq_meaning,
    )
    add(
        group,
        *("-j", "--workers"),
        takes=whole(0),
        metavar="N",
        default=None,
        text="unneeded, the data lies on the device; taken so that published commands run",
        shown="none",
    )


def check_data(parser: Parser, options: argparse.Namespace) -> None:
    """Refuse an unknown data set, one's own included, and a protocol that it does not have."""
    try:
        register(options.data_path)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    if options.dataset not in DATASETS:
        names = ", ".join(DATASETS)
        parser.error(f"{parser.dataset_flag} {options.dataset}: known are {names}")
    if options.protocol not in _protocols():
        parser.error(f"--protocol {options.protocol}: known are {', '.join(_protocols())}")
    known = DATASETS[options.dataset].folders
    if options.protocol not in known:
        parser.error(f"--protocol {options.protocol}: {options.dataset} has {', '.join(known)}")


def check_pretrained(parser: Parser, options: argparse.Namespace) -> None:
    """Refuse to score nothing in particular."""
    if not options.pretrained:
        parser.error("--pretrained: needs a checkpoint of pretraining.py, or random")


def check_sgd(parser: Parser, options: argparse.Namespace) -> None:
    """Refuse an unsorted schedule and a first epoch after the last; freeze the schedule."""
    schedule = tuple(options.schedule)
    if schedule != tuple(sorted(set(schedule))):
        given = " ".join(map(str, schedule))
        rising = " ".join(map(str, sorted(set(schedule))))
        parser.error(f"--schedule {given}: epochs must rise, as in {rising}")
    if options.start_epoch >= options.epochs:
        parser.error(f"--start-epoch {options.start_epoch}: --epochs is only {options.epochs}")
    options.schedule = schedule


def check_encoder(parser: Parser, options: argparse.Namespace) -> None:
    """Refuse an encoder that cannot be built, or one given beside a checkpoint's own."""
    pretrained = getattr(options, "pretrained", "random")
    given = [name for name in PUBLISHED_ENCODER if getattr(options, name) is not None]
    if given and pretrained != "random":
        flag, value = given[0].replace("_", "-"), getattr(options, given[0])
        parser.error(
            f"--{flag} {value}: the encoder comes from the checkpoint; "
            "leave it out, or give --pretrained random"
        )
    settings = encoder_settings(options)
    kind, size = settings["kind"], settings["hidden_size"]
    heads = settings["num_heads"]
    if kind == "Transformer" and size % heads:
        parser.error(f"--hidden-size {size}: must be a multiple of --num-heads {heads}")
    if kind != "Transformer" and size % 2:
        parser.error(f"--hidden-size {size}: must be even for {kind}, half for each direction")


def encoder_settings(options: object) -> dict[str, object]:
    """Return the arguments of an EncoderConfig, published values where an option was not given.

    Args:
        options: anything with the attributes encoder, hidden_size, num_heads, num_layers and
            granularity, each None where it was not given.
    """
    settings = {
        name: published if (given := getattr(options, name)) is None else given
        for name, published in PUBLISHED_ENCODER.items()
    }
    return {"kind": settings.pop("encoder")} | settings
