"""Named sets of options of pretraining.py for what the published run was not made for.

A recipe is what one would type: its words come before those that are given, which override them. It
has a row for each size of a training part; the first one that is large enough holds.
"""

import math

BEYOND = "--hico-m 0.99 --hico-t 0.1 --queue-wrap full"
"""A key network that follows sooner, sharper contrast, and queues without columns of noise: what
raised accuracy in studies/beyond.json."""
RECIPES: dict[str, tuple[tuple[float, str], ...]] = {
    "beyond": ((math.inf, BEYOND),),
    # The published lengths are a few hundred steps on few clips. LOG.md (2026-11-24) has each row
    # measured with three seeds or more: on 96, 431, 832 and 1,815, and 10,240 clips.
    "small": (
        (300, f"{BEYOND} --batch-size 16 --hico-k 64 --epochs 400 --schedule 312"),
        (600, f"{BEYOND} --batch-size 64 --hico-k 256 --epochs 350 --schedule 273"),
        (3000, f"{BEYOND} --batch-size 64 --hico-k 256 --epochs 160 --schedule 125"),
        (math.inf, f"{BEYOND} --batch-size 64 --hico-k 256 --epochs 40 --schedule 31"),
    ),
}
"""By name: the most training clips that a row is for, and its options."""


def words(recipe: str, clips: int) -> list[str]:
    """The options that a recipe has for a training part of so many clips."""
    return next(text.split() for most, text in RECIPES[recipe] if clips <= most)
