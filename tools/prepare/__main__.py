"""`python -m tools.prepare FORMAT ...`: raw data to arrays, one module for each format."""

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

import difflib
import importlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

from options.parser import Parser, spelled
from tools.errors import one_line_errors

FORMATS = {
    "ntu": "raw NTU RGB+D 60 or 120 skeletons",
    "utd-mhad": "UTD-MHAD skeletons (.mat)",
    "pyskl": "PYSKL or MMAction2 pickles of NTU RGB+D",
    "npz": "CTR-GCN, MAMP or STARS files of NTU RGB+D or PKU-MMD",
    "pku-mmd": "PKU-MMD I or II, raw videos and labels",
    "agcn": "2s-AGCN or MS-G3D arrays, and CMD's of PKU-MMD; checked, not normalised again",
    "stgcn": "ST-GCN, CrosSCLR or AimCLR arrays of 300 frames, not normalised",
    "ucla": "NW-UCLA skeletons (.json)",
    "frame50": "clips resized to 50 frames, as AimCLR and its kin do; checked, not changed",
    "custom": "your own .npy, .bvh or .skeleton files, described by a JSON file among them",
    "synthetic": "invented recordings, written as raw NTU files",
}
"""What each format is. Its module in `formats` has its `Options` and `collect(options)`, of whose
collection `build` makes arrays, or `prepare(options)` where it makes something itself."""
VERIFY = "verify"
"""Not a format: checks what was prepared."""


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare what the command line names; expected errors end in one line."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: python -m tools.prepare FORMAT [options]\n")
        print("\n".join(f"  {name:10}  {what}" for name, what in FORMATS.items()))
        print(f"  {VERIFY:10}  nothing to prepare: check what was prepared, byte for byte")
        print("\npython -m tools.prepare FORMAT --help lists the options of a format")
        return
    with one_line_errors():
        if arguments[0] == VERIFY:
            with _interruptible():
                _verify(arguments[1:])
            return
        name = _format(arguments[0])
        module = importlib.import_module(f"tools.prepare.formats.{name.replace('-', '_')}")
        prepare = getattr(module, "prepare", None) or _builder(module)
        parser = Parser(
            module.Options,
            f"Prepare {FORMATS[name]}.",
            program=f"python -m tools.prepare {name}",
            epilog=_epilog(module.Options),
        )
        options = parser.parse(arguments[1:])
        with _interruptible():
            prepare(options)


def _builder(module: ModuleType) -> Callable[[Any], None]:
    """What makes arrays of the recordings that a format collects."""
    from tools.prepare.pipeline.build import build

    return lambda options: build(module.collect(options), options)


def _epilog(record: type) -> str:
    """What ends the help of a format: what it loses, and what its folder holds."""
    loses, schema = getattr(record, "loses", ()), getattr(record, "schema", "")
    lost = f"Lost by this format: {'; '.join(loses)}." if loses else ""
    return "\n\n".join(part for part in (schema, lost) if part)


def _verify(arguments: Sequence[str]) -> None:
    """Check what was prepared."""
    from tools.prepare.verify import Options, verify

    what = "Compare prepared arrays with their prepared.json, byte for byte."
    verify(Parser(Options, what, program=f"python -m tools.prepare {VERIFY}").parse(arguments))


def _format(word: str) -> str:
    """Find the format that a word names."""
    found = spelled(word.replace("_", "-"), tuple(FORMATS), {})
    if found is None:
        close = difflib.get_close_matches(word, FORMATS, n=1)
        likely = f", did you mean {close[0]}?" if close else ""
        raise ValueError(f"format {word}: no such format{likely}; known are {', '.join(FORMATS)}")
    return found


@contextmanager
def _interruptible() -> Iterator[None]:
    """End in one line after SIGINT and SIGTERM, once what is done is saved."""
    caught: list[int] = []

    def _interrupt(number: int, _frame: FrameType | None) -> None:
        for each in before:  # a second one must not cut the saving short
            signal.signal(each, signal.SIG_IGN)
        caught.append(number)
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        for number, handler in before.items():
            if handler != signal.SIG_IGN:
                signal.signal(number, _interrupt)
        yield
    except KeyboardInterrupt as error:
        print(f"interrupted{f': {error}' if str(error) else ''}", file=sys.stderr)
        raise SystemExit(128 + (caught or [signal.SIGINT])[0]) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    main()
