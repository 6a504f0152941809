"""The command line of `python -m tools.…`: one line for a fault, a quick --help."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser that reports a fault in one line and takes `_` for `-` in an option's name."""

    def __init__(self, name: str, description: str, epilog: str | None = None) -> None:
        """Describe `python -m tools.NAME`; the epilog ends its --help."""
        super().__init__(
            prog=f"python -m tools.{name}",
            description=description,
            epilog=epilog,
            allow_abbrev=False,
        )

    def parse_args(
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Parse the words of a command line; None for this process' own."""
        words = sys.argv[1:] if args is None else args
        return super().parse_args([_hyphenated(word) for word in words], namespace)

    def error(self, message: str) -> NoReturn:
        """Print one line and leave with status 2."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)


def _hyphenated(word: str) -> str:
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word
