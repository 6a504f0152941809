"""Named sets of options of pretraining.py for what the published run was not made for.

A recipe has a row for each size of a training part; the first one that is large enough holds. An
option that is given overrides it. The settings of "small" follow from what goes wrong with the
published ones on few clips, and have not been measured yet.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """Defaults for training parts of so many clips.

    Attributes:
        most: clips of the largest training part that it is for.
        batch_size, queue_size, momentum, epochs, schedule: as the options say.
    """

    most: float
    batch_size: int
    queue_size: int
    momentum: float
    epochs: int
    schedule: tuple[int, ...]

    @property
    def defaults(self) -> Mapping[str, Any]:
        """The values by the dotted names of their options."""
        return {
            "training.batch_size": self.batch_size,
            "contrast.queue_size": self.queue_size,
            "contrast.momentum": self.momentum,
            "training.epochs": self.epochs,
            "training.schedule": self.schedule,
        }


RECIPES: dict[str, tuple[Row, ...]] = {
    # Few clips want small batches, for steps; a queue of fewer keys than there are clips; a key
    # network that follows within an epoch or so; and many epochs.
    "small": (
        Row(300, batch_size=16, queue_size=64, momentum=0.99, epochs=600, schedule=(480,)),
        Row(3000, batch_size=32, queue_size=256, momentum=0.99, epochs=300, schedule=(240,)),
        Row(math.inf, batch_size=64, queue_size=1024, momentum=0.996, epochs=200, schedule=(160,)),
    ),
}
"""A new recipe is one row here."""


def defaults(recipe: str, clips: int) -> Mapping[str, Any]:
    """The values that a recipe has for a training part of so many clips."""
    return next(row.defaults for row in RECIPES[recipe] if clips <= row.most)
