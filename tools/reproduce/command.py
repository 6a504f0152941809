"""The command line of `python -m tools.reproduce`: what it takes, and the selection it means."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from dataset.protocols import DATASETS, STREAMS
from tools.command import Parser
from tools.reproduce.cells import (
    ENCODERS,
    MODES,
    PRETRAINING,
    Selection,
    Split,
    choose_splits,
)

PUBLISHED_DATASETS = ("ntu60", "ntu120", "pku_part1", "pku_part2")
EXTRAS = (PRETRAINING, *MODES)
FINETUNED = ("semi", "transfer")


def parser() -> Parser:
    """The command line; imports nothing heavy."""
    result = Parser(
        "reproduce",
        "Run what is missing of the table of accuracies and write ours beside the published ones. "
        "What has been run is not run again; the same command goes on where it was stopped.",
    )
    result.usage = "%(prog)s [options]"
    _add_selection(result.add_argument_group("selection (default: the whole table)"))
    run = result.add_argument_group("run")
    add = run.add_argument
    add("--plan", action="store_true", help="say what would be run and how long it would take")
    out, data = Path("runs/reproduce"), Path("data")
    add("--out", type=Path, default=out, metavar="DIR", help="for results (./%(default)s)")
    add("--data-path", type=Path, default=data, metavar="DIR", help="prepared data (./%(default)s)")
    add("--device", default="auto", metavar="NAME", help="auto, cpu, cuda or cuda:N (%(default)s)")
    extras = result.add_argument_group(
        'more options for the scripts, as in --linear "--lr 1 --epochs 60"'
    )
    for name in EXTRAS:
        text = f"for each {name}" + (", after those of finetune" if name in FINETUNED else "")
        extras.add_argument(f"--{name}", type=_words, default=(), metavar="TEXT", help=text)
    return result


def _add_selection(group: argparse._ArgumentGroup) -> None:
    def _add(name: str, default: tuple, text: str, takes: type = str, **more: object) -> None:
        shown = " ".join(map(str, default)) or "all"
        text = f"{text} ({shown})"
        group.add_argument(name, nargs="+", type=takes, default=default, help=text, **more)

    _add("--datasets", PUBLISHED_DATASETS, "data sets", metavar="NAME")
    _add("--protocols", (), "splits of these data sets", metavar="NAME")
    _add("--encoders", ENCODERS, "sequence encoders", choices=ENCODERS)
    _add("--streams", STREAMS, "what is read off the skeleton", choices=STREAMS)
    _add("--modes", MODES, "evaluations", choices=MODES)
    _add("--seeds", (0,), "one pre-training each", takes=_seed, metavar="N")
    shares = (0.01, 0.05, 0.1, 0.2)
    _add("--fractions", shares, "semi: shares of the labels", takes=_share, metavar="P")
    group.add_argument(
        "--subsets", type=_count, default=5, metavar="N", help="semi: draws of a share (5)"
    )
    targets = ("pku_mmd_part2:cross_subject",)  # normalised as the sources are, unlike frame50
    _add("--transfer-to", targets, "transfer: what is scored", metavar="DATA_SET:PROTOCOL")


def _words(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None


def _number(kind: type, low: float, high: float, needs: str, text: str) -> float:
    try:
        number = kind(text)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise argparse.ArgumentTypeError(f"{text}: needs {needs}")
    return number


def _seed(text: str) -> int:
    return _number(int, 0, 2**63 - 1, "a whole number from 0", text)


def _count(text: str) -> int:
    return _number(int, 1, 10**6, "a whole number from 1", text)


def _share(text: str) -> float:
    share = _number(float, 0, 1, "a number above 0 and below 1", text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"{text}: needs a number above 0 and below 1")
    return share


def joined(argv: Sequence[str]) -> list[str]:
    """Tie each text of further options to its flag, so that it may begin with a dash."""
    words, flags = [], {f"--{name}" for name in EXTRAS}
    for word in argv:
        if words and words[-1] in flags:
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def selection(options: argparse.Namespace) -> Selection:
    """What the options ask for.

    Raises:
        ValueError: names that are not known or do not go together.
    """
    if "ensemble" in options.modes and len(set(options.streams)) < 2:
        if options.modes != MODES:
            raise ValueError(
                f"--modes ensemble: needs two streams or more, --streams has {options.streams[0]}"
            )
        options.modes = tuple(mode for mode in MODES if mode != "ensemble")
    for name in ("datasets", "protocols", "encoders", "streams", "modes", "seeds", "fractions"):
        setattr(options, name, tuple(dict.fromkeys(getattr(options, name))))
    # The fused streams are named in one order, whatever the order they were given in.
    options.streams = tuple(stream for stream in STREAMS if stream in options.streams)
    return Selection(
        choose_splits(options.datasets, options.protocols),
        options.encoders,
        options.streams,
        options.modes,
        options.seeds,
        options.fractions,
        options.subsets,
        tuple(dict.fromkeys(map(_target, options.transfer_to))),
    )


def _target(text: str) -> Split:
    dataset, _, protocol = text.partition(":")
    known = [f"{one.name}:{name}" for one in DATASETS.values() for name in one.folders]
    if text not in known:
        raise ValueError(f"--transfer-to {text}: known are {', '.join(known)}")
    return dataset, protocol
