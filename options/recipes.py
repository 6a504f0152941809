"""Named sets of options of pretraining.py for what the published run was not made for.

A recipe is what one would type: its words come before those that are given, which override them. It
has a row for each size of a training part; the first one that is large enough holds.
"""

import math

RECIPES: dict[str, tuple[tuple[float, str], ...]] = {
    # Few clips want small batches, for steps; a queue of fewer keys than there are clips; a key
    # network that follows within an epoch or so; and many epochs.
    "small": (
        (300, "--batch-size 16 --hico-k 64 --hico-m 0.99 --epochs 600 --schedule 480"),
        (3000, "--batch-size 32 --hico-k 256 --hico-m 0.99 --epochs 300 --schedule 240"),
        (math.inf, "--batch-size 64 --hico-k 1024 --hico-m 0.996 --epochs 200 --schedule 160"),
    ),
}
"""By name: the most training clips that a row is for, and its options."""


def words(recipe: str, clips: int) -> list[str]:
    """The options that a recipe has for a training part of so many clips."""
    return next(text.split() for most, text in RECIPES[recipe] if clips <= most)
