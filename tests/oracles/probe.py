"""The published linear evaluation, plainly: frozen features recomputed in every epoch.

The encoder is in eval mode and the crop is fixed, so each epoch computes the same features again.
Axes: N clips, F = 2 G d features of a clip, L classes.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles.augment import centre_view
from tests.oracles.model import PlainNetwork

FeaturesOf = Callable[[Sequence[int]], Tensor]  # clip numbers -> (n, F)


def recomputed(
    network: PlainNetwork, clips: np.ndarray, num_frames: np.ndarray, stream: str
) -> FeaturesOf:
    """Features of some clips (N, 3, T, 25, 2), each cut and laid out alone, then encoded."""
    device = next(network.parameters()).device

    def of(chosen: Sequence[int]) -> Tensor:
        views = [centre_view(clips[i], int(num_frames[i]), stream) for i in chosen]
        time = torch.stack([torch.from_numpy(view[0]) for view in views]).to(device)
        space = torch.stack([torch.from_numpy(view[1]) for view in views]).to(device)
        with torch.no_grad():
            return network.features((time, space))

    return of


def learn(
    classifier: nn.Linear,
    optimizer: torch.optim.Optimizer,
    features_of: FeaturesOf,
    labels: Tensor,
    order: Sequence[int],
    batch: int,
) -> float:
    """One pass over the training clips in the given order; the mean loss of a clip, in nats."""
    total = 0.0
    for begin in range(0, len(order), batch):
        chosen = list(order[begin : begin + batch])
        loss = F.cross_entropy(classifier(features_of(chosen)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(chosen)
    return total / len(order)


def score(
    classifier: nn.Linear, features_of: FeaturesOf, labels: Tensor, batch: int
) -> tuple[float, float]:
    """Top-1 and top-5 of the test clips, in percent."""
    hits = {1: 0, 5: 0}
    for begin in range(0, len(labels), batch):
        chosen = list(range(begin, min(begin + batch, len(labels))))
        with torch.no_grad():
            ranked = classifier(features_of(chosen)).topk(5, dim=1).indices  # (n, 5)
        right = ranked == labels[chosen][:, None]
        for k in hits:
            hits[k] += int(right[:, :k].sum())
    return 100 * hits[1] / len(labels), 100 * hits[5] / len(labels)


def one_epoch(
    classifier: nn.Linear,
    optimizer: torch.optim.Optimizer,
    parts: Sequence[tuple[FeaturesOf, Tensor]],
    batch: int,
) -> tuple[float, float]:
    """Train on the first part in a fresh order, score the second; parts are features and labels."""
    (train, train_labels), (test, test_labels) = parts
    order = torch.randperm(len(train_labels)).tolist()
    learn(classifier, optimizer, train, train_labels, order, batch)
    return score(classifier, test, test_labels, batch)
