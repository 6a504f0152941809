"""What the commands of all formats of raw data share: options, and how they run."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools import command
from tools.errors import one_line_errors
from tools.prepare.pipeline.build import Settings, build
from tools.prepare.pipeline.recordings import Collection

DIRECTORY = "folder of the raw recordings"
_INTERRUPTED = 130
"""Exit status after SIGINT, as shells have it."""


class Parser(command.Parser):
    """The parser of `python -m tools.prepare FORMAT`."""

    def __init__(
        self,
        form: str,
        description: str,
        raw: str = DIRECTORY,
        loses: Sequence[str] = (),
        builds: bool = True,
    ) -> None:
        """Add the shared options.

        Args:
            form: the name of the format.
            description: what the command does, for --help.
            raw: what --raw names; begins with "folder" where it is one.
            loses: what no conversion of this format brings back, a line each.
            builds: whether clips are normalised, so that the options of that have a meaning.
        """
        epilog = f"Lost by this format: {'; '.join(loses)}." if loses else None
        super().__init__(f"prepare {form}", description, epilog)
        place = "DIR" if raw.startswith("folder") else "FILE"
        self.add_argument("--raw", type=Path, required=True, metavar=place, help=raw)
        self.add_argument(
            "--out",
            type=Path,
            default=Path("data"),
            metavar="DIR",
            help="the data path to write to (default: ./%(default)s)",
        )
        if builds:
            self._add_building()

    def _add_building(self) -> None:
        """Add how the arrays are made."""
        add = self.add_argument
        add(
            "--no-rotate-z",
            action="store_true",
            help="leave the first frame's spine as it is, instead of turning it onto +z",
        )
        add(
            "-j",
            "--workers",
            type=_positive,
            default=os.cpu_count() or 1,
            metavar="N",
            help="processes (default: one for each core)",
        )
        add("--skip-bad", action="store_true", help="leave bad files out instead of giving up")


def run(options: argparse.Namespace, collect: Callable[[], Collection]) -> None:
    """Collect the recordings and build their arrays, with expected errors in one line.

    Args:
        options: what `Parser` has parsed.
        collect: finds the recordings.
    """
    guard(lambda: build(collect(), settings(options)))


def settings(options: argparse.Namespace) -> Settings:
    """Return how to build, as `Parser` has parsed it."""
    return Settings(
        out=options.out,
        rotate_z=not options.no_rotate_z,
        workers=options.workers,
        skip_bad=options.skip_bad,
    )


def guard(work: Callable[[], None]) -> None:
    """Do the work; expected errors and interruption end in one line and an exit status."""
    try:
        with one_line_errors(), _stopped_like_interrupted():
            work()
    except KeyboardInterrupt as error:
        print(f"interrupted: {str(error) or 'nothing done yet'}", file=sys.stderr)
        raise SystemExit(_INTERRUPTED) from None


@contextmanager
def _stopped_like_interrupted() -> Iterator[None]:
    """Let SIGTERM do what SIGINT does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of processes, 1 or more")
    return int(text)
