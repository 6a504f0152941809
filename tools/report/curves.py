"""Curves of a run: what metrics.jsonl and the histories of its evaluations hold, over epochs."""

import math
from collections.abc import Sequence

from tools.evaluation.results import Json
from tools.report.figures import label
from tools.report.folder import RunFolder
from tools.training.watch import CHANCE, KNN, UNTRAINED

TRAINING = "Pre-training"
LOSSES = ("loss", "total", "clip", "part", "temporal", "spatial", "instance")
PLACES = ("epoch", "batch", "step")
BESIDE = {CHANCE: "chance", UNTRAINED: "before training"}
"""Figures of one value, which stand in the title of the chart that they compare with."""
MOST_POINTS = 500
"""Points of a curve; longer ones are averaged bin by bin."""
STEADY = ("learning_rate", "knn", "chance", "features", "top1", "top5")
"""Parts of names of what is exact or rare, which is not smoothed."""


def curves(run: RunFolder) -> list[Json]:
    """Every curve of a run.

    Returns:
        For each its group, name, whether it is steady, and points x (epochs) and y; of nearest
        neighbours also what they stand beside.
    """
    found = _training(run.rows)
    for folder, results in run.results:
        histories = results.get("runs", [])
        for one in histories:
            number = f", run {one['run']}" if len(histories) > 1 else ""
            title = f"{label(results)}{number}, {folder.name}"
            epochs = [each["epoch"] + 1 for each in one["history"]]
            for name in ("train_loss", "top1"):
                values = [each[name] for each in one["history"]]
                found.append(_curve(title, name, epochs, values))
    return [curve for curve in found if curve["x"]]


def _training(rows: Sequence[Json]) -> list[Json]:
    """Losses first, then what the run logged beside them."""
    steps = max((row["batch"] for row in rows), default=1) or 1  # only looked at so far
    names = {name: None for row in rows for name in row if name not in PLACES}
    order = sorted(names, key=lambda name: (_rank(name), list(names).index(name)))
    found = []
    for name in order:
        if name in BESIDE:
            continue
        having = [row for row in rows if isinstance(row.get(name), int | float)]
        epochs = [row["epoch"] + row["batch"] / steps for row in having]
        found.append(_curve(TRAINING, name, epochs, [row[name] for row in having]))
        if name == KNN and having:
            found[-1]["beside"] = _beside(having[0])
    return found


def _beside(row: Json) -> str:
    """What the nearest neighbours of a run compare with: it is the same throughout."""
    return ", ".join(f"{text} {row[name]:.1f}" for name, text in BESIDE.items() if name in row)


def _rank(name: str) -> int:
    """KNN before losses, losses in the paper's order, the rest as logged."""
    last = name.rsplit("/", 1)[-1]
    if "knn" in name:
        return -1
    return LOSSES.index(last) if last in LOSSES else len(LOSSES)


def _curve(group: str, name: str, x: Sequence[float], y: Sequence[float]) -> Json:
    points = [(at, value) for at, value in zip(x, y, strict=True) if math.isfinite(value)]
    size = -(-len(points) // MOST_POINTS) if points else 1
    bins = [points[begin : begin + size] for begin in range(0, len(points), size)]
    mean = [[sum(each) / len(each) for each in zip(*one, strict=True)] for one in bins]
    shown = f"{name} (loss)" if name in LOSSES[2:] else name.replace("_", " ")
    return {
        "group": group,
        "name": shown,
        "steady": any(part in name for part in STEADY),
        "x": [float(f"{at:.5g}") for at, _ in mean],
        "y": [float(f"{value:.5g}") for _, value in mean],
    }
