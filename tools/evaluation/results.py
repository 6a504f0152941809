"""What an evaluation leaves behind: results.json, and the test scores by sample name.

Axes: N clips, L classes. Every file appears whole or not at all.
"""

import json
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dataset.reading import reading
from options.groups import EvaluationOptions
from options.parser import as_plain, flat
from tools.evaluation.metrics import top_k_hits
from tools.files import write_whole
from tools.zips import read_arrays

Json = dict[str, Any]
RESULTS = "results.json"
SCORES = "a file of scores"
VERSION = 2
"""Of the layout of results.json; raise it when a reader would have to change."""
_FREE = (
    *("run.device", "run.print_freq", "run.workers", "output_path", "overwrite"),
    *("training.resume", "search.save_features"),
)
"""Options that do not change what is found."""


@dataclass(frozen=True)
class Scores:
    """The scores of every test clip.

    Attributes:
        names: N sample names.
        labels: (N,) int64 classes from 0 on.
        scores: (N, L) float32 raw scores of a classifier, higher is likelier.
        about: what they are of: data set, protocol, stream, mode; "" where it was not said.
    """

    names: list[str]
    labels: np.ndarray
    scores: np.ndarray
    about: dict[str, str]


def write_json(path: Path, content: Json) -> None:
    """Write plain values as JSON for people and programs; paths become texts.

    Raises:
        ValueError: a number that is not finite, which JSON does not have.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False, default=os.fspath)
    write_whole(path, lambda file: file.write(text.encode() + b"\n"))


def refuse_other(path: Path, options: EvaluationOptions, overwrite: bool) -> None:
    """Refuse to replace a results.json of another evaluation; the same one may be run again.

    Raises:
        ValueError: names the first setting that differs.
    """
    if overwrite or not path.is_file():
        return
    hint = "replace it with --overwrite or choose another --output-path"
    try:
        theirs = flat(json.loads(path.read_text(encoding="utf-8"))["settings"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} does not say what it is of; {hint}") from None
    ours = flat(as_plain(options))
    for name, value in theirs.items():
        if name in ours and ours[name] != value and not name.startswith(_FREE):
            short = name.rpartition(".")[2]
            raise ValueError(f"{path} was made with {short} {value}, not {ours[name]}; {hint}")


def write_names(path: Path, names: Sequence[str]) -> None:
    """Write sample names, one a line."""
    write_whole(path, lambda file: file.write("".join(f"{name}\n" for name in names).encode()))


def save_scores(path: Path, scores: Scores) -> None:
    """Write scores as an .npz file: names, labels (N,), scores (N, L) and texts about them."""
    about = {name: np.array(value) for name, value in scores.about.items()}
    arrays = {
        "names": np.array(scores.names, dtype=np.str_),
        "labels": np.asarray(scores.labels, dtype=np.int64),
        "scores": np.asarray(scores.scores, dtype=np.float32),
    }
    write_whole(path, lambda file: np.savez(file, **arrays, **about))


def load_scores(path: Path) -> Scores:
    """Read what `save_scores` wrote, running no code that the file may carry.

    Raises:
        FileNotFoundError: when it is not there.
        ValueError: when it is not such a file, or a score is not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no scores at {path}; action_classification.py writes them")
    content = read_arrays(path, SCORES)
    with reading(path, SCORES, "name a *_scores.npz"):
        names, labels = content.pop("names").tolist(), content.pop("labels")
        scores = content.pop("scores")
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or len(names) != len(scores):
        raise ValueError(f"{path}: {len(names)} names do not fit scores of shape {scores.shape}")
    kinds = {type(name) for name in names}, labels.dtype.kind, scores.dtype.kind
    if kinds != ({str}, "i", "f") or labels.min() < 0:
        raise ValueError(f"{path} does not hold names, classes and a score of each class")
    if not np.isfinite(scores).all():
        raise ValueError(f"{path} has a score that is not finite; make it again")
    return Scores(names, labels, scores, {name: str(value) for name, value in content.items()})


def read_json(path: Path, what: str = "a results file") -> Json:
    """Read an object that `write_json` wrote; `what` it is, for messages.

    Raises:
        ValueError: when it is anything else.
        OSError: when it cannot be read.
    """
    with reading(path, what, "make it again"):
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds {type(content).__name__}")
    return content


def per_class(scores: Tensor, labels: Tensor, names: Sequence[str] = ()) -> list[Json]:
    """Top-1 accuracy of each class by itself.

    Args:
        scores: (N, L).
        labels: (N,) classes from 0 on.
        names: of the L classes, where they have names.

    Returns:
        For each of the L classes its number, its name, its clips, and the accuracy in percent; None
        where it has no clip.
    """
    shares = by_class(
        100 * top_k_hits(scores, labels, 1).double(), labels, scores.shape[1], name="top1"
    )
    return named(shares, names)


def named(shares: list[Json], names: Sequence[str]) -> list[Json]:
    """Put the name of its class into each share, where classes have names."""
    if not names:
        return shares
    return [{"class": share["class"], "name": names[share["class"]], **share} for share in shares]


def by_class(values: Tensor, labels: Tensor, classes: int, name: str) -> list[Json]:
    """Mean of (N,) values over the clips of each class; None for a class without clips."""
    values, labels = values.double().cpu(), labels.cpu()
    counts = torch.bincount(labels, minlength=classes).tolist()
    sums = torch.zeros(len(counts), dtype=torch.float64).index_add_(0, labels, values).tolist()
    return [
        {"class": label, "clips": count, name: sums[label] / count if count else None}
        for label, count in enumerate(counts[:classes])
    ]


def spread(values: Sequence[float]) -> Json:
    """Mean and sample standard deviation (n - 1); the deviation of one value is None."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {"mean": statistics.fmean(values), "std": deviation, "runs": len(values)}
