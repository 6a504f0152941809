"""Heads, queues and the contrast in fewer, larger kernels.

Axes: B batch, G granularities, d hidden size, D projection size, K queue size.
"""

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from moco import Features, HiCo
from moco.heads import LEVELS, Levels
from moco.kernels.device import float32_only
from moco.loss import compare, hierarchical_contrast
from tools.benchmark.candidates.case import Candidate, Case, Compute

LOOKED_AT = ("clip", "part", "spatial", "temporal", "instance")
"""Keys in the order of the queries that look at them: the two domains change places."""


def project(
    clip: Tensor, part: Tensor, weights: list[Tensor], levels: int | None
) -> tuple[Tensor, ...]:
    """The five heads, likes in one product: clip and part (B·levels, D), the others (B, D).

    Args:
        clip: (B, G, d) features.
        part: (B, G, d).
        weights: weight and bias of clip and part, of the two domains, of instance, each stacked;
            then those of the second layers of clip and part, and of the other three.
        levels: how many of clip and part are projected; None is all.
    """
    single, single_bias, domain, domain_bias, instance, instance_bias = weights[:6]
    last, last_bias, other, other_bias = weights[6:]
    apart = torch.stack([each[:, :levels].flatten(0, 1) for each in (clip, part)])  # (2, B·l, d)
    domains = torch.stack([clip.flatten(1), part.flatten(1)])  # (2, B, G·d)
    both = domains.transpose(0, 1).flatten(1)[None]  # (1, B, 2·G·d)
    hidden = torch.baddbmm(single_bias[:, None], apart, single.mT).relu()
    alone = torch.baddbmm(last_bias[:, None], hidden, last.mT)
    hidden = [
        torch.baddbmm(domain_bias[:, None], domains, domain.mT),
        torch.baddbmm(instance_bias[:, None], both, instance.mT),
    ]
    joint = torch.baddbmm(other_bias[:, None], torch.cat(hidden).relu(), other.mT)
    return tuple(F.normalize(x.float(), dim=-1) for group in (alone, joint) for x in group)


def heads_batched(case: Case) -> Iterator[Candidate]:
    """The heads of a query, which learn, and of a key."""
    heads, G = case.model().query.heads, case.run.encoder.granularity
    clip, part = (case.tokens(G).detach().requires_grad_() for _ in range(2))
    singles = ((heads.clip, heads.part), (heads.temporal, heads.spatial), (heads.instance,))
    groups = [[head[0] for head in group] for group in singles]
    groups += [[head[2] for head in group] for group in (singles[0], singles[1] + singles[2])]
    kinds = [
        [getattr(one, kind) for one in group] for group in groups for kind in ("weight", "bias")
    ]
    stacked = [torch.stack(kind).detach().requires_grad_() for kind in kinds]

    def _apart(levels: int | None) -> tuple[Tensor, ...]:
        return tuple(x.flatten(0, -2) for x in heads(Features(clip, part), granularities=levels))

    both = case.differentiated(lambda: project(clip, part, stacked, 1), [clip, part, *stacked])
    begin = len(LEVELS) + 2  # projections and gradients of features, before those of the weights

    def _candidate() -> tuple[Tensor, ...]:
        found = both()
        return *found[:begin], *(one for kind in found[begin:] for one in kind)

    inputs = [clip, part, *(one for kind in kinds for one in kind)]
    yield Candidate(
        "heads: query, batched", case.differentiated(lambda: _apart(1), inputs), _candidate
    )
    yield Candidate(
        "heads: key, batched",
        case.computed(lambda: _apart(None)),
        case.computed(lambda: project(clip, part, stacked, None)),
    )


class OneQueue:
    """The five queues as rows of one buffer, in the order LOOKED_AT.

    Attributes:
        keys: (2·G·K + 3·K, D) unit vectors.
        capacities: rows of each queue.
        pointers: (5,) where each queue is written next, integer.
    """

    def __init__(self, queues: nn.ModuleDict, keys: Levels[Tensor]) -> None:
        """Copy the queues; `keys` says how many of each level come in a batch."""
        ordered = [queues[level] for level in LOOKED_AT]
        counts = torch.tensor([getattr(keys, level).flatten(0, -2).shape[0] for level in LOOKED_AT])
        self.capacities = [len(queue.keys) for queue in ordered]
        capacities = torch.tensor(self.capacities)
        level = torch.arange(len(ordered)).repeat_interleave(counts)  # of each key
        device = keys.clip.device
        self.keys = torch.cat([queue.keys for queue in ordered])
        self.pointers = torch.cat([queue.pointer for queue in ordered])
        self._counts, self._level = counts.to(device), level.to(device)
        self._wraps = torch.tensor([queue.wrap for queue in ordered], device=device)
        self._capacity = capacities[level].to(device)
        self._first = (capacities.cumsum(0) - capacities)[level].to(device)
        self._step = torch.cat([torch.arange(count) for count in counts]).to(device)

    @torch.no_grad()
    def enqueue(self, keys: Levels[Tensor]) -> None:
        """Write a batch of keys over the oldest ones, all levels in one copy."""
        rows = torch.cat([getattr(keys, level).flatten(0, -2) for level in LOOKED_AT])
        turned = (self.pointers[self._level] + self._step) % self._capacity
        self.keys.index_copy_(0, self._first + turned, rows)
        self.pointers.add_(self._counts).remainder_(self._wraps)


def contrast(
    query: Levels[Tensor], keys: Levels[Tensor], negatives: Tensor, temperature: float
) -> tuple[Tensor, ...]:
    """The five terms and the instance's accuracy, of two products with the queues.

    Args:
        query: clip and part (B, 1, D), the others (B, D).
        keys: clip and part (B, G, D), the others (B, D).
        negatives: of a OneQueue.
        temperature: divides the queries instead of the logits.
    """
    _, G, D = keys.clip.shape
    queries = torch.stack([one.flatten(1) for one in query]) / temperature  # (5, B, D)
    levels = torch.stack([keys.clip, keys.part])  # (2, B, G, D)
    others = torch.stack([getattr(keys, level) for level in LOOKED_AT[2:]])  # (3, B, D)
    K = len(negatives) // (2 * G + 3)
    wide, narrow = negatives.split([2 * G * K, 3 * K])
    terms = []
    for asking, own, queue in (
        (queries[:2], levels, wide.view(2, G * K, D)),
        (queries[2:], others[:, :, None], narrow.view(3, K, D)),
    ):
        near = (own @ asking[..., None])[..., 0]  # (levels, B, G or 1)
        far = torch.bmm(asking, queue.mT)  # (levels, B, G·K or K)
        everything = torch.cat([near, far], dim=2)
        terms += (everything.logsumexp(dim=2) - near.logsumexp(dim=2)).mean(dim=1).unbind()
    found = near[-1, :, 0] > far[-1].amax(dim=1)
    return *terms, found.detach().float().mean()


def queues_batched(case: Case) -> Iterator[Candidate]:
    """The contrast and the queues, with a copy of them for backward, as the product, or without."""
    yield Candidate("contrast: batched", _product(case), _batched(case, late=False))
    yield Candidate("contrast: batched, enqueued late", _product(case), _batched(case, late=True))


def _batched(case: Case, late: bool) -> Compute:
    model, query, keys = _projections(case)
    queue, temperature = OneQueue(model.queues, keys), case.run.contrast.temperature

    def _terms() -> tuple[Tensor, ...]:
        negatives = queue.keys if late else queue.keys.clone()
        with float32_only(negatives):
            terms = contrast(query, keys, negatives, temperature)
        if not late:
            queue.enqueue(keys)
        return terms

    return _then(
        case.differentiated(_terms, list(query)),
        lambda: queue.enqueue(keys) if late else None,
        lambda: queue.keys.split(queue.capacities),
    )


def enqueued_late(case: Case) -> Iterator[Candidate]:
    """The product's queues, written after backward and so not copied before it."""
    yield Candidate("contrast: enqueued late", _product(case), _product(case, late=True))


def _product(case: Case, late: bool = False) -> Compute:
    model, query, keys = _projections(case)
    queues = Levels(*(model.queues[level].keys for level in LEVELS))

    def _terms() -> tuple[Tensor, ...]:
        negatives = queues if late else Levels(*(each.clone() for each in queues))
        with float32_only(query.clip):
            terms = hierarchical_contrast(
                compare(query, keys, negatives, case.run.contrast.temperature)
            )
        if not late:
            model.enqueue(keys)
        return tuple(terms)

    return _then(
        case.differentiated(_terms, list(query)),
        lambda: model.enqueue(keys) if late else None,
        lambda: tuple(getattr(queues, level) for level in LOOKED_AT),
    )


def _then(compute: Compute, enqueue: Callable[[], None], kept: Compute) -> Compute:
    def _all() -> tuple[Tensor, ...]:
        found = compute()
        enqueue()
        return *found, *kept()

    return _all


def _projections(case: Case) -> tuple[HiCo, Levels[Tensor], Levels[Tensor]]:
    """A model, and unit projections of a batch: the query's, with gradient, and the key's."""
    model, (query, key) = case.model(), case.views()
    with torch.no_grad():
        anchors, keys = model.query(query, granularities=1), model.key(key)
    return model, Levels(*(each.requires_grad_() for each in anchors)), keys
