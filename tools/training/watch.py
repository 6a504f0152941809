"""A look at a run while it trains: nearest neighbours, health of the features, and warnings.

Nothing here changes the run: a look draws only from generators of its own, and puts the method back
into the mode that it was in.

Axes: N clips, F features of a clip.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from time import perf_counter as clock
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from dataset.arrays import SplitArrays, load_arrays
from dataset.packed import PackedSplit
from moco import Method, Views
from options.pretraining import PretrainingOptions
from options.recipes import words
from tools.evaluation.features import evaluating, extract
from tools.evaluation.neighbours import rank
from tools.training.log import RunLog, Silence

if TYPE_CHECKING:
    from tools.training.trainer import Trainer

KNN, CHANCE, UNTRAINED = "eval/knn1", "eval/chance", "eval/knn1_untrained"
SAMPLE_SEED = 0
"""Draws the clips that are looked at: the same ones in every run, so that runs compare."""
HEALTH_BATCHES = 4
"""Batches whose features are looked at, the last ones of an epoch."""
HEALTH_SHARE = 0.02
"""Largest share of a run that looking at features may take; short epochs are looked at in turn."""
MANY_DROPPED = 1 / 3


class Watch:
    """Looks at a method after its epochs and tells the log."""

    def __init__(self, trainer: "Trainer", log: RunLog | Silence) -> None:
        """Nothing is looked at yet; the log is told of what will be."""
        self.trainer, self.log = trainer, log
        self.every = trainer.options.watch.knn_every
        self.knn = Neighbours.of(trainer) if self.every else None
        # All ranks look, at the same time: who waits too long for another is taken for dead.
        self._earlier = trainer.ranks.first(lambda: log.earlier)
        scores = [row for row in self._earlier if KNN in row]
        self._seen = {row["step"] for row in scores}
        self.best = max((row[KNN] for row in scores), default=0.0)
        self.untrained = next((row[KNN] for row in scores if row["step"] == 0), None)
        self.seconds, self._warned = 0.0, False
        self._checked = trainer.progress.step

    def begin(self) -> None:
        """Say what will look odd, and look at the encoder as it is, if it was not looked at yet."""
        if not self._earlier:
            for line in remarks(self.trainer):
                self.log.say(line)
        self._look()
        if self.knn is not None and self.untrained is not None:
            self.log.say(
                f"nearest neighbours: {self.untrained:.1f} % before training, "
                f"{self.knn.chance:.1f} % by chance"
            )

    def after_epoch(self) -> None:
        """Look where it is time to; neighbours of a run that is to stop, when it goes on."""
        if self.trainer.progress.step > self._checked:  # else these are the next epoch's batches
            self._check_health()
        self._checked = self.trainer.progress.step
        if self.trainer.stopped_by is None:
            self._look()

    def end(self) -> None:
        """Say what looking has cost."""
        if self.knn is not None:
            self.log.say(f"nearest neighbours while training: {self.seconds:.1f} s in all")

    @property
    def _place(self) -> dict[str, int]:
        """The last batch that was done, as rows of losses say it."""
        progress, steps = self.trainer.progress, len(self.trainer.batches)
        if progress.epoch == 0:
            return {"epoch": 0, "batch": 0, "step": 0}
        return {"epoch": progress.epoch - 1, "batch": steps, "step": progress.step}

    def _due(self, every: int) -> bool:
        """Whether an epoch has just ended, or none begun, and it is an every-th or the last one."""
        progress, epochs = self.trainer.progress, self.trainer.options.training.epochs
        return progress.batch == 0 and (progress.epoch % every == 0 or progress.epoch == epochs)

    def _look(self) -> None:
        """Score the encoder by its nearest neighbours."""
        if self.knn is None or not self._due(self.every) or self._place["step"] in self._seen:
            return
        began = clock()
        score, chance = self.knn.score(self.trainer.method), self.knn.chance
        self.seconds += clock() - began
        if self.trainer.progress.step == 0:
            self.untrained = score
        self.best = max(self.best, score)
        row = self._place | {KNN: score, CHANCE: chance}
        if self.untrained is not None:
            row[UNTRAINED] = self.untrained
        self._seen.add(row["step"])
        self.log.record(row)
        self.log.score(f"KNN {score:.1f} % (best {self.best:.1f}, chance {chance:.1f})")
        if score < chance and self.trainer.progress.step and not self._warned:
            self._warned = True
            self.log.say(
                f"warning: KNN {score:.1f} % is below chance, {chance:.1f} %: the features say "
                "nothing of the action; check the data and --lr"
            )

    def _check_health(self) -> None:
        """Look at the features of the epoch's last batches; they need no labels."""
        count, every = health_plan(len(self.trainer.batches))
        if not self._due(every):
            return
        found = health(self.trainer.method, self._last_batches(count))
        row = self._place | {f"features/{name}": value for name, value in found.items()}
        self.log.record(row, self.knn is not None)

    def _last_batches(self, count: int) -> Iterator[tuple[Views, Views]]:
        """The views of the last batches of the epoch that has just ended, made once more."""
        batches = self.trainer.batches
        for step in range(len(batches) - count, len(batches)):
            query, key = batches.batch(step)
            yield Views(*query), Views(*key)


@dataclass(frozen=True)
class Neighbours:
    """A fixed sample of both parts of a split, and how near its clips are to their like.

    Attributes:
        train: the training part.
        rows: which of its clips are the gallery, int64.
        test: the sampled test clips.
        stream: what is read off the skeletons.
        chance: accuracy of a neighbour drawn at random, in percent.
    """

    train: PackedSplit
    rows: Tensor
    test: PackedSplit
    stream: str
    chance: float

    @classmethod
    def of(cls, trainer: "Trainer") -> "Neighbours":
        """Draw the sample and load the test clips; the training clips are where they are.

        Raises:
            OSError, ValueError: when the test part is missing or damaged.
        """
        options, train = trainer.options, trainer.batches.split
        gallery, queries = options.watch.knn_clips
        generator = torch.Generator().manual_seed(SAMPLE_SEED)
        rows = _sample(len(train), gallery, generator)
        arrays = load_arrays(options.data.folder, "val", origin=options.data.origin)
        chosen = _chosen(arrays, _sample(len(arrays.names), queries, generator))
        test = PackedSplit.from_arrays(chosen, train.device)
        classes = 1 + int(max(train.labels.max(), test.labels.max()))
        shares = [
            torch.bincount(labels, minlength=classes).double() / len(labels)
            for labels in (train.labels[rows], test.labels)
        ]
        return cls(train, rows, test, options.data.stream, 100 * (shares[0] @ shares[1]).item())

    def score(self, method: Method) -> float:
        """Share of the queries whose nearest clip is of their class, in percent."""
        gallery = extract(method, self.train, self.stream, clips=self.rows)
        labels = self.train.labels[self.rows]
        query = extract(method, self.test, self.stream)
        near = rank(gallery, labels, query, self.test.labels).neighbours[:, 0].cpu()
        return 100 * (labels[near] == self.test.labels).double().mean().item()


def _sample(count: int, most: int, generator: torch.Generator) -> Tensor:
    """Draw at most so many of the clips, in their order."""
    return torch.randperm(count, generator=generator)[:most].sort().values


def _chosen(arrays: SplitArrays, rows: Tensor) -> SplitArrays:
    """Some clips of a part; all of them stay on disk."""
    if len(rows) == len(arrays.names):
        return arrays
    chosen = rows.numpy()
    return replace(
        arrays,
        data=arrays.data[chosen],
        num_frames=arrays.num_frames[chosen],
        labels=arrays.labels[chosen],
        names=[arrays.names[row] for row in rows.tolist()],
    )


def health_plan(steps: int) -> tuple[int, int]:
    """How many batches are looked at, and how many epochs of so many steps lie between two looks.

    A look takes three passes forward of a batch, a step about four.
    """
    count = min(HEALTH_BATCHES, steps)
    return count, math.ceil(3 * count / (4 * steps * HEALTH_SHARE))


@torch.no_grad()
def health(method: Method, batches: Iterator[tuple[Views, Views]]) -> dict[str, float]:
    """What features and similarities look like, without labels.

    Args:
        method: in any mode.
        batches: query and key views of some batches.

    Returns:
        `deviation`, the mean standard deviation of the unit features times √F: 0 where all clips
        are alike, at most 1. `rank`, the effective rank of the centred unit features. And what the
        method says of its similarities, means over the batches.

    Source:
        Chen and He 2021 (SimSiam, arXiv:2011.10566), section 4.1, the deviation; Roy and Vetterli
        2007, the effective rank: e to the entropy of the singular values' shares.
    """
    features, similar = [], []
    with evaluating(method):
        for query, key in batches:
            features.append(method.encoder(query).instance.float())
            similar.append(method.similarities(query, key))
    unit = F.normalize(torch.cat(features), dim=1)  # (N, F)
    centred = (unit - unit.mean(dim=0)).double()
    squares = torch.linalg.eigvalsh(centred @ centred.T)  # (N,), of the singular values
    values = squares.clamp(min=0).sqrt()
    shares = values / values.sum().clamp(min=torch.finfo(torch.float64).tiny)
    found = {
        "deviation": centred.square().mean(dim=0).sqrt().mean() * unit.shape[1] ** 0.5,
        "rank": torch.special.entr(shares).sum().exp(),
    }
    found |= {name: sum(one[name] for one in similar) / len(similar) for name in similar[0]}
    return {name: value.item() for name, value in found.items()}


def remarks(trainer: "Trainer") -> list[str]:
    """What somebody who watches the run ought to know beforehand: notes and warnings."""
    options, clips = trainer.options, len(trainer.batches.split)
    batch, steps = trainer.batches.batch_size, len(trainer.batches)
    found = _recipe_remarks(options, clips) + trainer.method.remarks(clips, batch)
    if steps == 1:
        found.append(
            f"warning: --batch-size {batch} makes a single step an epoch of {clips} clips; choose "
            "a smaller one, or many more --epochs"
        )
    dropped = clips - steps * batch
    if dropped >= MANY_DROPPED * clips:
        found.append(
            f"warning: each epoch drops {dropped} of {clips} clips, which do not fill a batch of "
            f"{batch}; choose a --batch-size that divides {clips} better"
        )
    return found + _schedule_remarks(options)


def _recipe_remarks(options: PretrainingOptions, clips: int) -> list[str]:
    if options.recipe is None:
        return []
    text = " ".join(words(options.recipe, clips))
    return [f"recipe {options.recipe}, {clips} clips: {text}; what was given overrides it"]


def _schedule_remarks(options: PretrainingOptions) -> list[str]:
    training = options.training
    late = [epoch for epoch in training.schedule if epoch >= training.epochs]
    if not late or training.cos:
        return []
    return [
        f"warning: --schedule {late[0]} lies beyond the last of {training.epochs} epochs, so that "
        "the learning rate does not fall there"
    ]
