"""Options of `python -m tools.compare`."""

from dataclasses import dataclass
from pathlib import Path

from options.parser import REQUIRED, Parser, any_text, words


@dataclass(frozen=True)
class CompareOptions:
    """Which encoders stand in the table.

    Raises:
        ValueError: a word that is not NAME=FOLDER.
    """

    encoders: tuple[str, ...] = words(
        REQUIRED, read=any_text, metavar="NAME=FOLDER", help="an encoder and its results", least=1
    )

    def __post_init__(self) -> None:
        for word in self.encoders:
            if "=" not in word:
                raise ValueError(f"{word}: needs NAME=FOLDER")

    @property
    def folders(self) -> list[tuple[str, Path]]:
        """Name and folder of each encoder."""
        pairs = (word.partition("=") for word in self.encoders)
        return [(name, Path(folder)) for name, _, folder in pairs]


def parser() -> Parser[CompareOptions]:
    """The command line of tools.compare."""
    return Parser(
        CompareOptions, "Print a small table of encoders.", program="python -m tools.compare"
    )
