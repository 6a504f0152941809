"""A small table of encoders: `python -m tools.compare NAME=FOLDER …`.

Each folder holds what the two evaluations wrote under it: one results.json of a linear probe and
one of a retrieval.
"""

if __name__ == "__main__":
    from tools.signals import answer_signals

    answer_signals()

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dataset.reading import reading, shown
from options.compare import parser
from tools.errors import one_line_errors

COLUMNS = ("encoder", "KNN top-1", "linear top-1, last", "linear top-1, best")


def find_results(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the results.json files somewhere below a folder: "linear" and "retrieval" to theirs.

    Raises:
        FileNotFoundError: one of the two is not there.
        ValueError: two of the same kind are there, or a file is no results.json.
    """
    from tools.evaluation.results import RESULTS, read_json  # torch, which --help does without

    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.rglob(RESULTS)):
        content = read_json(path)
        kind = content.get("mode", "retrieval")
        if not isinstance(kind, str):
            raise ValueError(f"{path} is not a results file (mode is {shown(kind)})")
        if kind in found:
            raise ValueError(f"{folder} has two results of {kind}; name a folder of one encoder")
        found[kind] = content
    for kind, script in (("linear", "action_classification"), ("retrieval", "action_retrieval")):
        if kind not in found:
            raise FileNotFoundError(f"no {RESULTS} of {kind} in {folder}; run {script}.py first")
    return found


def row(name: str, folder: Path) -> tuple[str, ...]:
    """One line of the table, percent with one decimal."""
    found = find_results(folder)
    with reading(folder, "a folder of whole results", "run the evaluations again"):
        knn = found["retrieval"]["at"]["1"]["top1"]
        linear = found["linear"]["summary"]
        figures = (knn, linear["last"]["top1"]["mean"], linear["best"]["top1"]["mean"])
        return (name, *(f"{figure:.1f}" for figure in figures))


def table(rows: Sequence[tuple[str, ...]]) -> str:
    """Align rows under `COLUMNS`, names to the left and figures to the right."""
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    lines = []
    for first, *rest in (COLUMNS, *rows):
        figures = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        lines.append("  ".join([first.ljust(widths[0]), *figures]))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table of the encoders that the command line names."""
    options = parser().parse(argv)
    with one_line_errors():
        print(table([row(name, folder) for name, folder in options.folders]))


if __name__ == "__main__":
    main()
