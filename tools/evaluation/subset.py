"""Labelled subsets of a training part: who learns from a few labels learns from these.

A subset depends on the clips' names, the fraction, the kind of draw, the seed and the number of the
run, and on nothing else: not on the order on disk, the device or the number of processes.
Source: shared habits of the field; "plain" as CMD draws, "stratified" as AimCLR and its kin.
"""

import hashlib
import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from options.classification import SUBSETS


def run_seed(seed: int, run: int) -> int:
    """The seed of one of several runs: the first run's is the seed itself."""
    return seed if run == 0 else _mixed("run", seed, run)


def subset_generator(seed: int, run: int) -> torch.Generator:
    """The generator that draws the subset of one run, used for nothing else."""
    return torch.Generator().manual_seed(_mixed("subset", seed, run))


def _mixed(purpose: str, seed: int, run: int) -> int:
    """A number of 32 bits, all that torch's generator looks at; no two purposes share one."""
    digest = hashlib.sha256(f"{purpose} {seed} {run}".encode()).digest()
    return int.from_bytes(digest[:4], "big")


def draw_subset(
    names: Sequence[str],
    labels: Tensor,
    fraction: float,
    kind: str,
    generator: torch.Generator,
) -> Tensor:
    """Draw the clips whose labels are used.

    Args:
        names: N sample names, in any order.
        labels: (N,) classes from 0 on, on the CPU.
        fraction: p in (0, 1].
        kind: "plain" takes floor(N·p) of all clips; "stratified" takes round(n·p), and at least
            one, of the n clips of each class, halves to the even number.
        generator: of the CPU.

    Returns:
        (n,) clip numbers, int64, in the order of their names.

    Raises:
        ValueError: for another kind, or a fraction that leaves no clip.
    """
    if kind not in SUBSETS:
        raise ValueError(f"--subset {kind}: known are {', '.join(SUBSETS)}")
    order = torch.tensor(sorted(range(len(names)), key=names.__getitem__), dtype=torch.int64)
    share = Fraction(repr(fraction))  # as written: 0.29 of 100 clips are 29, not 28.99…
    if kind == "plain":
        groups, sizes = [order], [math.floor(len(order) * share)]
    else:
        groups = [order[labels[order] == label] for label in labels.unique()]
        sizes = [max(1, round(len(group) * share)) for group in groups]
    if not sum(sizes):
        raise ValueError(f"--label-fraction {fraction:g}: leaves none of {len(names)} clips")
    chosen = torch.zeros(len(names), dtype=torch.bool)
    for group, size in zip(groups, sizes, strict=True):
        chosen[group[torch.randperm(len(group), generator=generator)[:size]]] = True
    return order[chosen[order]]
