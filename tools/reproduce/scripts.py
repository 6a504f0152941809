"""What each script costs, in encoder passes of one clip, and what it found.

The rows of `options.reproduce.EVALUATIONS` name these functions. A step of pre-training has four
passes: the query's forward pass, its backward pass (which costs two forward ones) and the key's
forward pass. A step of fine-tuning has three. A clip whose features are taken has one.
"""

from typing import Any

from options.classification import ClassificationOptions
from options.pretraining import PretrainingOptions
from options.retrieval import RetrievalOptions

Json = dict[str, Any]
Score = dict[str, float]
"""Top-1 accuracy in percent: `last`, and `best` where there are epochs."""
PRETRAINING_PASSES, TRAINING_PASSES = 4, 3


def pretraining_passes(options: PretrainingOptions, train: int, test: int) -> float:
    """Encoder passes of a pre-training; the last, smaller batch of an epoch is dropped."""
    epochs, batch = options.training.epochs, options.training.batch_size
    return epochs * (train // batch * batch) * PRETRAINING_PASSES


def classification_passes(options: ClassificationOptions, train: int, test: int) -> float:
    """Encoder passes of all runs of a classifier."""
    epochs, labelled = options.training.epochs, train * options.labels.fraction
    if options.mode != "linear":
        passes = epochs * (TRAINING_PASSES * labelled + test)
    elif options.training.crop == "random":
        passes = epochs * labelled + test
    else:  # features are taken once
        passes = labelled + test
    return options.labels.runs * passes


def retrieval_passes(options: RetrievalOptions, train: int, test: int) -> float:
    """Encoder passes of a retrieval."""
    return train + test


def classification_scores(results: Json) -> list[Score]:
    """One score for each run.

    Raises:
        ValueError: when some runs have not ended.
    """
    if not results["complete"]:
        raise ValueError(f"only {len(results['runs'])} of its runs have ended")
    return [{name: run[name]["top1"] for name in ("last", "best")} for run in results["runs"]]


def retrieval_scores(results: Json) -> list[Score]:
    """The score of the fewest neighbours, one as published."""
    return [{"last": results["at"][min(results["at"], key=int)]["top1"]}]


def ensemble_scores(results: Json) -> list[Score]:
    """The score of all streams together."""
    return [{"last": results["mixtures"][-1]["top1"]}]
