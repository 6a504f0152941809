"""The figures of a run, and what stands beside them: chance, the untrained encoder, the published.

Accuracies are in percent. Axes: N clips, L classes.
"""

import math
from collections.abc import Iterator
from typing import Any

from torch import Tensor

from dataset.protocols import DATASETS
from tools.evaluation.results import Json
from tools.report.folder import RunFolder
from tools.reproduce.published import FIGURES

NORMAL_95 = 1.959964
"""Quantile 0.975 of the normal distribution."""
BEST = " (best epoch)"
MODES = {"linear": "linear probe", "finetune": "fine-tuning", "supervised": "supervised"}
BEST_PROBE = MODES["linear"] + BEST
"""What the published figures are of: the best epoch on the test clips."""


def wilson(right: float, clips: int) -> tuple[float, float]:
    """95 % interval of an accuracy, in percent.

    Args:
        right: clips that were right; a mean of several runs need not be whole.
        clips: N, 1 or more.

    Source:
        Wilson 1927, Journal of the American Statistical Association 22.
    """
    share, square = right / clips, NORMAL_95**2
    middle = share + square / (2 * clips)
    spread = NORMAL_95 * math.sqrt(share * (1 - share) / clips + square / (4 * clips**2))
    low, high = ((middle + sign * spread) / (1 + square / clips) for sign in (-1, 1))
    return 100 * max(0.0, low), 100 * min(1.0, high)


def chance(train: Tensor, test: Tensor, classes: int) -> float:
    """Expected accuracy of the class of a training clip drawn blindly.

    Args:
        train: (N,) classes of the training clips.
        test: (N,) classes of the test clips.
        classes: L.
    """
    shares = (labels.bincount(minlength=classes).double() / len(labels) for labels in (train, test))
    first, second = shares
    return 100 * (first * second).sum().item()


def figure(name: str, of: str, top1: float, clips: int, guess: float | None, **more: Any) -> Json:
    """One accuracy as the page reads it; `more` may hold random, published and further figures."""
    low, high = wilson(top1 / 100 * clips, clips)
    beside = {"chance": guess, "random": None, "published": None, "more": []}
    return {"name": name, "of": of, "top1": top1, "low": low, "high": high} | beside | more


def figures(run: RunFolder, data: Json, guess: float) -> list[Json]:
    """All figures of a run's evaluations.

    Args:
        run: on disk.
        data: data set, protocol and stream of the report, which names need not repeat.
        guess: chance on them.
    """
    found = []
    for _, results in run.results:
        for name, top1, more in _accuracies(results):
            where = _where(results, data)
            random = [
                other
                for _, untrained in run.untrained
                if _alike(untrained, results)
                for other_name, other, _ in _accuracies(untrained)
                if other_name == name
            ]
            clips = results["counts"]["test"]
            here = all(results[key] == data[key] for key in ("dataset", "protocol"))
            expected = guess if here else None  # of other clips it is not known
            made = figure(name + where, f"{clips:,} test clips", top1, clips, expected, more=more)
            made["random"] = random[0] if random else None
            made["published"] = published(results, name)
            if made["published"] or not name.endswith(BEST):  # the best epoch to compare by only
                found.append(made)
    return found


def by_weight(found: list[Json]) -> list[Json]:
    """The linear probe first, then KNN-1, then the others: what the field compares by."""
    first = ("linear probe", BEST_PROBE, "KNN-1", "KNN-1 (this report's sample)")
    ranks = {name: rank for rank, name in enumerate(first)}
    return sorted(found, key=lambda each: ranks.get(each["name"], len(first)))


def label(results: Json) -> str:
    """What an evaluation is called, without the data it is on."""
    if "mode" not in results:
        return "KNN"
    fraction = results.get("labels", {}).get("fraction", 1.0)
    few = "" if fraction == 1 else f", {100 * fraction:g} % of labels"
    return MODES.get(results["mode"], results["mode"]) + few


def _accuracies(results: Json) -> Iterator[tuple[str, float, list[list[str]]]]:
    """Name, accuracy, and what else is said, of each figure of a results.json."""
    if "at" in results:
        extras = [["recall at 5", f"{results['top5']:.2f} %"]]
        extras.append(["mean average precision", f"{results['mean_average_precision']:.2f} %"])
        for k, scores in results["at"].items():
            yield f"KNN-{k}", scores["top1"], extras
    for when, ending in (("last", ""), ("best", BEST)) if "summary" in results else ():
        top1, top5 = (results["summary"][when][name] for name in ("top1", "top5"))
        extras = [["top-5", f"{top5['mean']:.2f} %"]]
        if when == "last":
            best = results["summary"]["best"]["top1"]["mean"]
            extras.append(["best epoch, chosen on the test clips", f"{best:.2f} %"])
        if top1["std"] is not None:
            over = f"{top1['runs']} runs"
            extras.append(["standard deviation", f"{top1['std']:.2f} % over {over}"])
        yield label(results) + ending, top1["mean"], extras


def _where(results: Json, data: Json) -> str:
    """What differs from the report's own data, to tell figures apart."""
    other = [results[key] for key in ("dataset", "protocol", "stream") if results[key] != data[key]]
    return f" on {' '.join(other)}" if other else ""


def _alike(one: Json, other: Json) -> bool:
    keys = ("script", "mode", "labels", "dataset", "protocol", "stream", "encoder", "counts")
    return all(one.get(key) == other.get(key) for key in keys)


def published(results: Json, name: str) -> Json | None:
    """HiCo's own figure, where the evaluation and the clips are the published ones."""
    if name != BEST_PROBE or not _whole_split(results):
        return None
    kind = results["encoder"]["kind"]
    mine = (results["dataset"], results["protocol"], results["stream"], kind)
    for one in FIGURES:
        theirs = (one.dataset, one.protocol, one.stream, one.encoder)
        if (one.mode, one.method) == ("linear", "HiCo") and theirs == mine:
            return {"top1": one.top1, "who": f"HiCo-{kind}", "source": one.source}
    return None


def _whole_split(results: Json) -> bool:
    known = DATASETS.get(results["dataset"])
    rule = known.rules.get(results["protocol"]) if known else None
    counts = {"train": results["counts"]["train"], "val": results["counts"]["test"]}
    return rule is not None and rule.counts == counts
