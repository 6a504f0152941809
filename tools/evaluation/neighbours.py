"""Retrieval: the nearest training clips of each test clip by cosine similarity, and their vote.

Axes: N training clips (the gallery), Q test clips (the queries), F features, k neighbours.

Memory is bounded: a block of queries meets the whole gallery at a time, never all of them. The
answer is exact and does not depend on the device, the blocks or the order in which a matrix product
is summed: where the rounding of a float32 product could change the order, the clips in question are
compared in float64. Of equally near clips the first in the gallery is nearest.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from moco.kernels.precision import full_float32
from tools.evaluation.metrics import average_precision

BLOCK = 2**24
"""Similarities held at a time, 64 MB."""
QUERIES = 512
"""Test clips compared at a time, at most: more would drive the sums of a tile out of the cache."""
ROWS = 128
"""Clips normalised at a time, few enough for their float64 copy to stay in the cache."""
TERMS = 1024
"""Features whose products are summed at a time."""
TILE = 4096
"""Training clips whose sums with a block of queries wait in the cache for further terms; a round
number, as products at a ragged edge may be summed in another order, which parts equal clips."""
SPARE = 8
"""Clips beside the nearest that are compared in float64 at first."""
MOST_CANDIDATES = 1024
"""Where more clips than this are equally near but for rounding, only so many are compared."""


@dataclass(frozen=True)
class Ranking:
    """The nearest training clips of each test clip.

    Attributes:
        neighbours: (Q, k) training clips, nearest first.
        precision: (Q,) float64 average precision of the whole ranking, in [0, 1].
    """

    neighbours: Tensor
    precision: Tensor


def rank(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, most: int = 1
) -> Ranking:
    """Rank the training clips for each test clip, on the features' device.

    Args:
        train: (N, F) float32 features; lengths do not matter, a zero vector is similar to none.
        train_labels: (N,) classes from 0 on.
        test: (Q, F) features.
        test_labels: (Q,) classes.
        most: how many of the nearest are wanted.

    Raises:
        ValueError: for features that are not finite, or fewer training clips than neighbours.
    """
    train_labels, test_labels = train_labels.to(train.device), test_labels.to(train.device)
    gallery = _Gallery.of(train)
    _check(gallery, test, most)
    near = torch.empty(len(test), most, dtype=torch.int64, device=test.device)
    precision = torch.empty(len(test), dtype=torch.float64, device=test.device)
    by_class = test_labels.argsort(stable=True)  # queries of a class share their right answers
    with full_float32():  # which the bound on the error relies on
        for rows in by_class.split(min(QUERIES, 1 + BLOCK // len(train))):
            similarities, error = gallery.compare(test[rows])
            near[rows] = gallery.nearest(test[rows], similarities, error, most)
            labels, counts = test_labels[rows].unique_consecutive(return_counts=True)
            runs = zip(labels, similarities.split(counts.tolist()), strict=True)
            precision[rows] = torch.cat(
                [average_precision(run, train_labels == label) for label, run in runs]
            )
    return Ranking(near, precision)


def recalled(ranking: Ranking, train_labels: Tensor, test_labels: Tensor, k: int) -> Tensor:
    """Which test clips have one of their class among the k nearest: (Q,) boolean."""
    near = train_labels[ranking.neighbours[:, :k]]  # (Q, k)
    return (near == test_labels[:, None]).any(dim=1)


def vote(labels: Tensor) -> Tensor:
    """Return the commonest class of each row, the smallest of the commonest: (Q, k) to (Q,)."""
    counts = labels.new_zeros(len(labels), int(labels.max()) + 1)  # (Q, L)
    return counts.scatter_add_(1, labels, torch.ones_like(labels)).argmax(dim=1)


@dataclass(frozen=True)
class _Gallery:
    """Training clips prepared for comparison.

    Unit vectors of one encoder lie close together, so float32 would lose what tells them apart.
    The mean is taken off first: for unit q and g, q·g = (q - mean)·(g - mean) + mean·g + a number
    that is the same for all g.

    Attributes:
        features: (N, F) as given.
        mean: (F,) float64 mean of the unit vectors.
        centred: (N, F) float32 unit vectors less their mean.
        offset: (N,) float32 mean·g.
        lengths: (N,) float64 of the features.
        reach: largest length of a centred vector.
    """

    features: Tensor
    mean: Tensor
    centred: Tensor
    offset: Tensor
    lengths: Tensor
    reach: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "_Gallery":
        """Prepare (N, F) features."""
        mean = features.new_zeros(features.shape[1], dtype=torch.float64)
        centred, lengths = torch.empty_like(features), _lengths(features)
        offset, reach = torch.empty_like(features[:, 0]), features.new_zeros(())
        for rows in _parts(len(features)):
            mean += lengths[rows].reciprocal() @ features[rows].double() / len(features)
        for rows in _parts(len(features)):
            unit = features[rows].double() / lengths[rows, None]
            centred[rows] = unit.sub_(mean)
            offset[rows] = unit @ mean
            reach = reach.maximum(torch.linalg.vector_norm(centred[rows], dim=1).max())
        return cls(features, mean, centred, offset, lengths, reach)

    def compare(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Compare queries to every training clip.

        Args:
            queries: (Q, F) features.

        Returns:
            (Q, N) similarities, each row less a number of its own, and (Q,) how far each can be
            off whatever the order of summation (Higham 2002, section 3.1).
        """
        centred = torch.empty_like(queries)  # (Q, F)
        for rows in _parts(len(queries)):
            centred[rows] = _unit(queries[rows]).sub_(self.mean)
        length = torch.linalg.vector_norm(centred, dim=1)
        similarities = self.offset.new_empty(len(queries), len(self.offset))  # (Q, N)
        parts = centred.split(TERMS, dim=1)  # short sums, each added to the whole, round less
        tiles = (x.split(TILE) for x in (similarities.T, self.offset, self.centred))
        for tile, offset, items in zip(*tiles, strict=True):
            tile = tile.T.copy_(offset)
            for query, item in zip(parts, items.split(TERMS, dim=1), strict=True):
                tile.addmm_(query, item.T)
        roundings = min(TERMS, centred.shape[1]) + len(parts) + 3
        error = roundings * length * self.reach + (len(parts) + 1) * self.offset.abs().max()
        return similarities, error * (torch.finfo(torch.float32).eps / 2)

    def nearest(self, queries: Tensor, similarities: Tensor, error: Tensor, k: int) -> Tensor:
        """Return the k nearest training clips of each query, nearest first: (Q, k)."""
        best, found = similarities.topk(min(k + 1, len(self.features)), dim=1)
        close = best[:, :-1] - best[:, 1:] <= 2 * error[:, None]
        found, rows = found[:, :k].clone(), close.any(dim=1).nonzero()[:, 0]
        if len(rows):
            found[rows] = self._resolve(queries[rows], similarities[rows], error[rows], k)
        return found

    def _resolve(self, queries: Tensor, similarities: Tensor, error: Tensor, k: int) -> Tensor:
        """Return the k nearest where float32 cannot tell: (Q, k)."""
        N, wanted = len(self.features), min(k + SPARE, len(self.features))
        while True:
            best, candidates = similarities.topk(wanted, dim=1)  # (Q, wanted)
            safe = best[:, -1] < best[:, k - 1] - 2 * error
            if wanted == N or wanted >= MOST_CANDIDATES or safe.all():
                break
            wanted = min(4 * wanted, N)
        candidates = candidates.sort(dim=1).values  # so that a stable sort keeps the first
        cosines = self.cosines(queries, candidates)
        order = cosines.sort(dim=1, descending=True, stable=True).indices
        return candidates.gather(1, order[:, :k])

    def cosines(self, queries: Tensor, candidates: Tensor) -> Tensor:
        """Similarity of each query to each of its candidates, in float64: (Q, wanted).

        One candidate a time, element by element: unlike a matrix product this treats equal
        features equally wherever they stand.
        """
        unit, lengths = _unit(queries), self.lengths[candidates]
        columns = [(unit * self.features[column]).sum(dim=1) for column in candidates.T]
        return torch.stack(columns, dim=1) / lengths


def _parts(count: int) -> Iterator[slice]:
    """ROWS clips at a time, fewer at the end."""
    return (slice(begin, begin + ROWS) for begin in range(0, count, ROWS))


def _unit(features: Tensor) -> Tensor:
    """(N, F) rows brought to length 1, in float64; zero rows stay zero."""
    return features.double() / _lengths(features)[:, None]


def _lengths(features: Tensor) -> Tensor:
    """(N, F) to (N,) float64, never zero, so that a zero vector can be divided by it."""
    lengths = features.new_empty(len(features), dtype=torch.float64)
    for rows in _parts(len(features)):
        # Always as many rows at a time: some devices sum in an order that depends on the number.
        first = max(0, min(rows.start, len(features) - ROWS))
        part = features[first : rows.stop].double()
        lengths[first : rows.stop] = torch.linalg.vector_norm(part, dim=1)
    return lengths.clamp_(min=torch.finfo(torch.float64).tiny)


def _check(gallery: _Gallery, test: Tensor, k: int) -> None:
    for part, lengths in (("training", gallery.lengths), ("test", _lengths(test))):
        if not lengths.isfinite().all():  # as a float64 sum of squares is of all that is finite
            raise ValueError(f"the {part} features are not finite; choose another checkpoint")
    if not 1 <= k <= len(gallery.features):
        raise ValueError(f"--knn-neighbours {k}: there are {len(gallery.features)} training clips")
