"""A random encoder beside a pre-trained one: `python -m tools.compare FOLDER`.

Reads what action_retrieval.py and action_classification.py printed, from four logs in the folder:
{random,pretrained}-{knn,linear}.log.
"""

import re
import sys
from pathlib import Path

from tools.errors import one_line_errors

ENCODERS = ("random", "pretrained")
COLUMNS = {  # heading -> the log and the beginning of the line that has it
    "KNN top-1": ("knn", "KNN-1 "),
    "linear top-1, last": ("linear", "last "),
    "best": ("linear", "best "),
}
_PERCENT = re.compile(r"top-1 +([0-9.]+) *%")


def read_percent(path: Path, line_start: str) -> float:
    """Find the last top-1 accuracy that a log states on a line with a certain beginning.

    Raises:
        FileNotFoundError: no such log.
        ValueError: the log has no such line.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no log at {path}; run ./quickstart.sh first")
    lines = [line for line in path.read_text().splitlines() if line.startswith(line_start)]
    found = _PERCENT.search(lines[-1]) if lines else None
    if not found:
        raise ValueError(f'{path} has no line "{line_start}... top-1 ... %"; see what it says')
    return float(found.group(1))


def table(folder: Path) -> str:
    """Set the accuracies of both encoders side by side, in percent of the test clips."""
    widths = [max(len(heading), 9) for heading in COLUMNS]
    headings = "  ".join(f"{name:>{width}}" for name, width in zip(COLUMNS, widths, strict=True))
    rows = [f"{'test accuracy, %':20}  {headings}"]
    for encoder in ENCODERS:
        values = [
            read_percent(folder / f"{encoder}-{log}.log", start) for log, start in COLUMNS.values()
        ]
        cells = "  ".join(
            f"{value:{width}.1f}" for value, width in zip(values, widths, strict=True)
        )
        rows.append(f"{encoder + ' encoder':20}  {cells}")
    return "\n".join(rows)


def main(argv: list[str] | None = None) -> None:
    """Print the table of the folder named on the command line."""
    arguments = sys.argv[1:] if argv is None else argv
    with one_line_errors():
        if len(arguments) != 1:
            raise ValueError("usage: python -m tools.compare FOLDER")
        print(table(Path(arguments[0])))


if __name__ == "__main__":
    main()
