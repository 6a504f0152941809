"""What a script found, out of what it left behind: one score for each subset of the labels."""

import json
from pathlib import Path
from typing import Any

from tools.evaluation.results import RESULTS
from tools.reproduce.cells import PRETRAINING, Cell

Score = dict[str, Any]
"""`last`, and where there are epochs `best`: each a dictionary with at least `top1` in percent."""


def clear(cell: Cell, out: Path) -> None:
    """Remove what an earlier run of the cell found, so that it cannot be taken for this one's."""
    (cell.folder(out) / RESULTS).unlink(missing_ok=True)


def found(cell: Cell, out: Path) -> list[Score]:
    """Read the scores of a cell that has just ended.

    Args:
        cell: what was run.
        out: folder of all runs.

    Returns:
        Nothing for a pre-training.

    Raises:
        ValueError: when the script ended without a score.
    """
    if cell.mode == PRETRAINING:
        return []
    path = cell.folder(out) / RESULTS
    if not path.is_file():
        raise ValueError(f"it left no {path}")
    content = json.loads(path.read_text(encoding="utf-8"))
    if cell.mode == "ensemble":
        return [{"last": {"top1": content["mixtures"][-1]["top1"]}}]
    if cell.mode == "knn":  # of several numbers of neighbours the fewest, as published
        fewest = min(content["at"], key=int)
        return [{"last": {"top1": content["at"][fewest]["top1"]}}]
    if not content["complete"] or len(content["runs"]) != cell.subsets:
        raise ValueError(f"{path} has {len(content['runs'])} runs, not {cell.subsets}")
    return [{name: run[name] for name in ("last", "best")} for run in content["runs"]]
