"""Features for TensorBoard's projector: points that carry the names and classes of their clips."""

from collections.abc import Sequence

import torch

from dataset.actions import class_names
from options.features import FeaturesOptions
from tools.evaluation.subject import Downstream
from tools.files import naming

MOST = 2000
"""Clips of an embedding, at most: with more the projector's t-SNE in the browser crawls."""


def project(downstream: Downstream, options: FeaturesOptions) -> None:
    """Write an embedding of each level for TensorBoard's projector.

    Its clips are drawn from the wanted parts by the seed, at most MOST in all, and carry
    their name, class and part.
    """
    from torch.utils.tensorboard import SummaryWriter  # slow to import, needed by no one else

    wanted, names = options.wanted, class_names(options.data.known)
    rows, values = [], {level: [] for level in wanted.levels}
    for part, clips in _drawn(downstream, wanted.parts).items():
        split = downstream.part(part)
        found = downstream.levels(part, wanted, clips)
        for level, each in found.items():
            values[level].append(each.flatten(1))
        labels = split.labels[clips].tolist()
        kept = zip(clips.tolist(), labels, strict=True)
        rows += [[split.names[clip], names[label], str(label), part] for clip, label in kept]
    folder = options.projector
    with naming(folder), SummaryWriter(str(folder)) as board:
        for level, parts in values.items():
            header = ["name", "action", "class", "part"]
            board.add_embedding(torch.cat(parts), rows, metadata_header=header, tag=level)
    downstream.report(
        f"{len(rows)} clips written; look at them with: tensorboard --logdir {options.projector}"
    )


def _drawn(downstream: Downstream, parts: Sequence[str]) -> dict[str, torch.Tensor]:
    """Rows of each part that are shown, rising, drawn over all parts alike."""
    sizes = [len(downstream.part(part)) for part in parts]
    generator = torch.Generator().manual_seed(downstream.seed)
    chosen = torch.randperm(sum(sizes), generator=generator)[:MOST].sort().values
    found, begin = {}, 0
    for part, size in zip(parts, sizes, strict=True):
        found[part] = chosen[(chosen >= begin) & (chosen < begin + size)] - begin
        begin += size
    return found
