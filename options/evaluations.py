"""What `python -m tools.reproduce` runs: pre-training, and a row for each evaluation of it.

Work is counted in encoder passes of one clip: of its options, its training and its test clips.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from options import classification, ensemble, pretraining, retrieval
from options.parser import Parser

Json = dict[str, Any]
Score = dict[str, float]
"""Top-1 accuracy in percent: `last`, and `best` where there are epochs."""
PRETRAINING_PASSES = 4
"""Of a clip in a step: the query's pass forward, its pass backward (two) and the key's forward."""
TRAINING_PASSES = 3


class Kind(NamedTuple):
    """One kind of cell: a pre-training, or an evaluation of one."""

    title: str  # heading in the table
    script: str  # file or module that is run
    parser: Callable[[], Parser]  # of its command line
    passes: Callable[[Any, int, int], float]  # what it costs
    scores: Callable[[Json], list[Score]]  # in its results.json, one for each run
    arguments: tuple[str, ...] = ()  # beside data, encoder and seed
    over: str = ""  # "fractions", "targets": run for each; "streams": run for all together
    extras: tuple[str, ...] = ()  # kinds whose additional options it takes before its own


def _pretraining_passes(options: pretraining.PretrainingOptions, train: int, test: int) -> float:
    batch = options.training.batch_size
    return options.training.epochs * (train // batch * batch) * PRETRAINING_PASSES


def _classification_passes(
    options: classification.ClassificationOptions, train: int, test: int
) -> float:
    epochs, labelled = options.training.epochs, train * options.labels.fraction
    if options.mode == "linear":  # features of fixed crops are taken once
        passes = (epochs if options.training.crop == "random" else 1) * labelled + test
    else:
        passes = epochs * (TRAINING_PASSES * labelled + test)
    return options.labels.runs * passes


def _classification_scores(results: Json) -> list[Score]:
    if not results["complete"]:
        raise ValueError(f"only {len(results['runs'])} of its runs have ended")
    return [{name: run[name]["top1"] for name in ("last", "best")} for run in results["runs"]]


def _retrieval_scores(results: Json) -> list[Score]:
    """The score of the fewest neighbours, one as published."""
    return [{"last": results["at"][min(results["at"], key=int)]["top1"]}]


_LINEAR = Kind(
    title="Linear probe",
    script="action_classification.py",
    parser=classification.parser,
    passes=_classification_passes,
    scores=_classification_scores,
    arguments=("--mode", "linear"),
)
_FINETUNE = _LINEAR._replace(title="Fine-tuning", arguments=("--mode", "finetune"))
_FEW_LABELS = "Fine-tuning with a share of the labels"
EVALUATIONS = {
    "linear": _LINEAR,
    "knn": Kind(
        title="Retrieval, one nearest neighbour",
        script="action_retrieval.py",
        parser=retrieval.parser,
        passes=lambda options, train, test: train + test,
        scores=_retrieval_scores,
    ),
    "finetune": _FINETUNE,
    "semi": _FINETUNE._replace(title=_FEW_LABELS, over="fractions", extras=("finetune",)),
    "transfer": _FINETUNE._replace(title="Transfer", over="targets", extras=("finetune",)),
    "ensemble": Kind(
        title="Ensemble of linear probes",
        script="tools.ensemble",
        parser=ensemble.parser,
        passes=lambda options, train, test: 0,
        scores=lambda results: [{"last": results["mixtures"][-1]["top1"]}],
        over="streams",
    ),
}
"""A new evaluation is one row here."""
PRETRAINING = "pretraining"
KINDS = {
    PRETRAINING: Kind(
        title="Pre-training",
        script="pretraining.py",
        parser=pretraining.parser,
        passes=_pretraining_passes,
        scores=lambda results: [],
    ),
    **EVALUATIONS,
}
