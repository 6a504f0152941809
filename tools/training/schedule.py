"""Learning rates, set once an epoch."""

import math
from collections.abc import Sequence


def learning_rate(
    base: float, epoch: int, epochs: int, milestones: Sequence[int] = (), cosine: bool = False
) -> float:
    """The learning rate of an epoch.

    Args:
        base: rate of the first epoch.
        epoch: counted from 0.
        epochs: length of the whole run; only the cosine needs it.
        milestones: epochs from which the rate is a tenth of what it was.
        cosine: base · ½(1 + cos(π · epoch / epochs)) in place of the milestones.
    """
    if cosine:
        return base * 0.5 * (1 + math.cos(math.pi * epoch / epochs))
    rate = base
    for milestone in milestones:
        rate *= 0.1 if epoch >= milestone else 1.0
    return rate
