"""Streams together: the scores of several classifiers, summed.

Raw scores of independently trained classifiers are matched by sample name and summed with fixed
weights. Weights are never chosen here: whoever tries some on the test part and keeps the best has
trained on it.

Axes: N clips, L classes, S streams.
Source: the plain mean is the habit of CrosSCLR and CMD; 0.6, 0.6, 0.4 for joint, bone and motion
that of AimCLR.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tools.evaluation.metrics import top_k_accuracy
from tools.evaluation.results import Json, Scores, load_scores, per_class


@dataclass(frozen=True)
class Mixture:
    """Some streams together.

    Attributes:
        names: of the streams.
        weights: of each.
        scores: (N, L) float64 weighted sum of theirs.
        top1: accuracy in percent.
        top5: accuracy in percent.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    scores: np.ndarray
    top1: float
    top5: float


def match(first: Scores, other: Scores, names: tuple[str, str] = ("the first", "it")) -> Scores:
    """Bring the clips of another file into the order of the first; `names` are for messages.

    Raises:
        ValueError: when the clips, their labels or the number of classes are not the same, or a
            name stands for two clips.
    """
    for scores, called in zip((first, other), names, strict=True):
        if len(set(scores.names)) < len(scores.names):
            twice = next(name for name in scores.names if scores.names.count(name) > 1)
            raise ValueError(f"{called} has two clips named {twice}; names must tell them apart")
    lacking = sorted(set(first.names) ^ set(other.names))
    if lacking:
        raise ValueError(
            f"{names[1]} is not of the clips of {names[0]}: {len(lacking)} are in one only, as "
            f"{lacking[0]}; both must be of one data set and protocol"
        )
    place = {name: row for row, name in enumerate(other.names)}
    rows = [place[name] for name in first.names]
    labels, scores = other.labels[rows], other.scores[rows]
    wrong = np.flatnonzero(labels != first.labels)
    if len(wrong):
        row = wrong[0]
        raise ValueError(
            f"{names[1]} gives {first.names[row]} class {labels[row]}, {names[0]} class "
            f"{first.labels[row]}; one of them is of other labels"
        )
    if scores.shape != first.scores.shape:
        classes = scores.shape[1], first.scores.shape[1]
        raise ValueError(f"{names[1]} scores {classes[0]} classes, {names[0]} {classes[1]}")
    return Scores(first.names, labels, scores, other.about)


def mix(streams: Sequence[Scores], weights: Sequence[float], names: Sequence[str]) -> Mixture:
    """Sum matched scores with these weights: raw, without softmax, in float64."""
    scores = sum(
        weight * stream.scores.astype(np.float64)
        for weight, stream in zip(weights, streams, strict=True)
    )
    labels = torch.from_numpy(streams[0].labels)
    top1, top5 = (top_k_accuracy(torch.from_numpy(scores), labels, k).item() for k in (1, 5))
    return Mixture(tuple(names), tuple(weights), scores, top1, top5)


def combine(
    streams: Sequence[Scores], weights: Sequence[float], names: Sequence[str]
) -> list[Mixture]:
    """Every stream alone, every pair, and all together, in this order."""
    all_of_them = list(zip(streams, weights, names, strict=True))
    sizes = sorted({1, min(2, len(streams)), len(streams)})
    chosen = [some for size in sizes for some in itertools.combinations(all_of_them, size)]
    return [
        mix([s for s, _, _ in some], [w for _, w, _ in some], [n for _, _, n in some])
        for some in chosen
    ]


def load(paths: Sequence[Path]) -> tuple[list[Scores], list[str]]:
    """Read files of scores and bring them into one order; name each by its stream.

    Raises:
        FileNotFoundError, ValueError: when one is not there, damaged, or of other clips, labels
            or classes.
    """
    loaded = [load_scores(path) for path in paths]
    matched = [
        match(loaded[0], scores, (str(paths[0]), str(path)))
        for scores, path in zip(loaded, paths, strict=True)
    ]
    streams = [scores.about.get("stream", "") for scores in matched]
    unique = all(streams) and len(set(streams)) == len(streams)
    return matched, streams if unique else [str(path) for path in paths]


def describe(mixtures: Sequence[Mixture], paths: Sequence[Path], labels: np.ndarray) -> Json:
    """What is written as JSON: files, weights, each mixture, per class for all together."""
    whole = mixtures[-1]
    return {
        "script": "tools.ensemble",
        "files": [str(path) for path in paths],
        "weights": list(whole.weights),
        "clips": len(labels),
        "mixtures": [
            {"streams": list(each.names), "weights": list(each.weights)}
            | {"top1": each.top1, "top5": each.top5}
            for each in mixtures
        ],
        "per_class": per_class(torch.from_numpy(whole.scores), torch.from_numpy(labels)),
    }
