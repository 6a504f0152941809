"""Hierarchical contrast: five InfoNCE terms and their sum.

Axes: B batch, P positives, K negatives, D projection size.

Source: HiCo (arXiv 2212.02082), section 3.3.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from moco.heads import Levels, One
from moco.kernels.precision import dots_with_all, dots_with_own


class Losses(NamedTuple):
    """The five terms, batch means in nats, and how often the instance was found.

    Attributes:
        clip: finest clip level of the query against all clip levels of the key.
        part: likewise for the spatial branch.
        temporal: temporal domain of the query against the spatial domain of the key.
        spatial: the reverse.
        instance: query against key.
        instance_accuracy: share of the batch whose own key is nearer than every queued one; no
            gradient.
    """

    clip: Tensor
    part: Tensor
    temporal: Tensor
    spatial: Tensor
    instance: Tensor
    instance_accuracy: Tensor

    @property
    def total(self) -> Tensor:
        """The plain sum of the five terms: what is minimised."""
        return self.clip + self.part + self.temporal + self.spatial + self.instance


class Logits(NamedTuple):
    """Similarities over temperature of one term.

    Attributes:
        positive: (B, P).
        negative: (B, K).
    """

    positive: Tensor
    negative: Tensor


def similarities(query: Tensor, positives: Tensor, negatives: Tensor, temperature: float) -> Logits:
    """s(a, b) = a·b / t between queries, their own keys and the queue.

    Args:
        query: (B, D) unit vectors.
        positives: (B, P, D) unit vectors.
        negatives: (K, D) unit vectors, shared by all queries.
        temperature: t > 0.

    Returns:
        Logits, positive (B, P) and negative (B, K).
    """
    positive = dots_with_own(query, positives)
    return Logits(positive / temperature, dots_with_all(query, negatives) / temperature)


def info_nce(logits: Logits) -> Tensor:
    """InfoNCE with any of the positives as an answer; the batch mean, in nats.

    Args:
        logits: positive (B, P), negative (B, K); P = 1 is the usual InfoNCE.

    Returns:
        Scalar, -log( sum_p e^s(q,p) / (sum_p e^s(q,p) + sum_k e^s(q,k)) ), averaged.

    Source:
        van den Oord et al. 2018 (arXiv:1807.03748), Eq. 4; HiCo sums the P granularities inside
        the logarithm.
    """
    everything = torch.cat(logits, dim=1)  # (B, P + K)
    return (everything.logsumexp(dim=1) - logits.positive.logsumexp(dim=1)).mean()


def sought(of: Levels[One]) -> Levels[One]:
    """What the query of each level is compared with: the two domains change places.

    A temporal query looks for its spatial key among spatial negatives.
    """
    return replace(of, temporal=of.spatial, spatial=of.temporal)


def compare(
    query: Levels[Tensor], keys: Levels[Tensor], queues: Levels[Tensor], temperature: float
) -> Levels[Logits]:
    """Who is compared with whom.

    Args:
        query: clip and part (B, 1 or more, D), of which only the finest level is used; the others
            (B, D).
        keys: clip and part (B, G, D), the others (B, D).
        queues: negatives of each level, (K or G·K, D).
        temperature: t > 0.

    Returns:
        Logits of the five terms.
    """
    logits = partial(similarities, temperature=temperature)
    others, negatives = sought(keys), sought(queues)
    return Levels(
        clip=logits(query.clip[:, 0], others.clip, negatives.clip),
        part=logits(query.part[:, 0], others.part, negatives.part),
        temporal=logits(query.temporal, others.temporal[:, None], negatives.temporal),
        spatial=logits(query.spatial, others.spatial[:, None], negatives.spatial),
        instance=logits(query.instance, others.instance[:, None], negatives.instance),
    )


def with_neighbours(logits: Logits, neighbours: Tensor) -> Logits:
    """Make some negatives positives of their query: the neighbours of its clip.

    In the InfoNCE of any of the positives this adds the nearest neighbour n to the sum over p and
    takes it out of that over k: -log( (e^s(q,p) + e^s(q,n)) / (e^s(q,p) + Σ_k e^s(q,k)) ).

    Args:
        logits: positive (B, P), negative (B, K).
        neighbours: (B, K) boolean, at most one True in a row.

    Returns:
        Logits, positive (B, P + 1), negative (B, K): minus infinity where there is none.

    Source:
        Guo et al. 2022 (AimCLR, arXiv:2112.03590) has the nearest queued key as one more positive;
        there the logarithms of two terms are averaged, here they share the sum as HiCo's do.
    """
    neighbour = logits.negative.masked_fill(~neighbours, -torch.inf).amax(dim=1, keepdim=True)
    positive = torch.cat([logits.positive, neighbour], dim=1)  # (B, P + 1)
    return Logits(positive, logits.negative.masked_fill(neighbours, -torch.inf))


def hierarchical_contrast(logits: Levels[Logits]) -> Losses:
    """The five InfoNCE terms.

    Args:
        logits: of the five terms, from `compare`.

    Returns:
        Losses, each a scalar; `.total` is their sum.
    """
    with torch.no_grad():
        found = logits.instance.positive[:, 0] > logits.instance.negative.amax(dim=1)
    return Losses(*(info_nce(term) for term in logits), instance_accuracy=found.float().mean())
