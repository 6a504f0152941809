"""Options of `python -m tools.ensemble`."""

import math
from dataclasses import dataclass
from pathlib import Path

from moco.config import SettingError
from options.groups import file_option
from options.parser import REQUIRED, Parser, any_text, file_path, option, words

_CHOOSING = ("auto", "best", "search", "tune", "optimal", "grid")


@dataclass(frozen=True)
class EnsembleOptions:
    """Which scores are summed, and with which weights.

    Raises:
        SettingError: weights that are not one number above 0 for each file, or are to be chosen.
        ValueError: fewer than two files, or one of them twice.
    """

    scores: tuple[Path, ...] = words(
        REQUIRED,
        read=file_path,
        metavar="SCORES",
        help="*_scores.npz of action_classification.py",
        least=1,
    )
    weights: tuple[str, ...] = option(
        (),
        read=any_text,
        least=1,
        metavar="W",
        help="fixed weights, one for each file, as 0.6 0.6 0.4",
        shown="the plain mean",
    )
    output: Path | None = file_option(None, "FILE", "JSON file for the figures")

    def __post_init__(self) -> None:
        if any(word.lower() in _CHOOSING for word in self.weights):
            raise SettingError(
                "weights",
                self.weights,
                "weights are never chosen here, since only the test part could choose them, and "
                "its accuracy would then mean nothing; give numbers fixed beforehand, as "
                "0.6 0.6 0.4, or leave them out for the plain mean",
            )
        try:
            fit = all(math.isfinite(weight) and weight > 0 for weight in self.fixed_weights)
        except ValueError:
            fit = False
        if not fit or len(self.fixed_weights) != len(self.scores):
            fault = f"needs {len(self.scores)} numbers above 0, one for each file"
            raise SettingError("weights", self.weights, fault)
        if len(self.scores) < 2:
            raise ValueError("an ensemble needs two files of scores or more")
        for path in self.scores:
            if self.scores.count(path) > 1:
                raise ValueError(f"{path} is given twice; it would count double")

    @property
    def fixed_weights(self) -> list[float]:
        """The weight of each file; those of the plain mean where none is given."""
        count = len(self.scores)
        return [float(word) for word in self.weights] if self.weights else [1 / count] * count


def parser() -> Parser[EnsembleOptions]:
    """The command line of tools.ensemble."""
    return Parser(
        EnsembleOptions,
        "Sum the test scores of several streams, matched by sample name.",
        program="python -m tools.ensemble",
    )
