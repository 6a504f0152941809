"""Accuracies, as tensors that wait on the device until somebody reads them.

Axes: N clips, L classes.
"""

import numpy as np
import torch
from torch import Tensor


def check_labels(part: str, labels: Tensor, classes: int) -> None:
    """Refuse labels that the data set does not have, by a ValueError."""
    highest = int(labels.max())
    if highest >= classes:
        raise ValueError(
            f"the {part} labels go up to {highest}, the data set has {classes} classes; "
            "prepare the data set again"
        )


def top_k_accuracy(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Share of clips whose label is among the k classes of the highest scores.

    Args:
        scores: (N, L) one score for each class; of equal ones the smaller class comes first.
        labels: (N,) 0-based classes, integer.
        k: >= 1; with L <= k every clip with a finite score counts.

    Returns:
        Scalar, in percent. A clip whose own score is not a number is never right.
    """
    return 100 * top_k_hits(scores, labels, k).double().mean()


def top_k_hits(scores: Tensor, labels: Tensor, k: int) -> Tensor:
    """Which clips have their label among the k classes of the highest scores: (N,) boolean."""
    own = scores.gather(1, labels[:, None])  # (N, 1)
    smaller = torch.arange(scores.shape[1], device=scores.device) < labels[:, None]  # (N, L)
    ahead = ~(scores < own) & ((scores != own) | smaller)  # NaN is ahead of everything
    return (ahead.sum(dim=1) < k) & ~own.squeeze(1).isnan()


def average_precision(similarities: Tensor, relevant: Tensor) -> Tensor:
    """Average precision of each query's whole ranking; all queries share their relevant items.

    Equal similarities form one step of the ranking, so their order does not matter.

    Args:
        similarities: (Q, N) of each query to each item; higher is nearer.
        relevant: (N,) boolean, the items that are right for these queries.

    Returns:
        (Q,) in [0, 1], float64; 0 where no item is relevant. For query q with R relevant items
        1/R · sum over them of (relevant items at least as near) / (items at least as near).

    Source:
        Manning, Raghavan and Schütze 2008, Introduction to Information Retrieval, section 8.4.
    """
    Q, R = similarities.shape[0], int(relevant.sum())
    if R == 0:
        return similarities.new_zeros(Q, dtype=torch.float64)
    near = _rising(similarities[:, relevant])  # (Q, R)
    items = similarities.shape[1] - torch.searchsorted(_rising(similarities), near)  # (Q, R)
    right = R - torch.searchsorted(near, near)  # (Q, R)
    return (right / items.double()).mean(dim=1)


def _rising(rows: Tensor) -> Tensor:
    """Sort each row of (Q, N); NumPy, where it can, for it sorts bare numbers many times faster."""
    if rows.device.type == "cpu":
        return torch.from_numpy(np.sort(rows.numpy(), axis=1))
    return rows.sort(dim=1).values
