"""Features of a data set, to a file or TensorBoard: `python -m tools.features --pretrained FILE …`.

`--projector DIR` is looked at with `tensorboard --logdir DIR`, tab Projector.
"""

import json
from collections.abc import Sequence

import numpy as np
import torch

from dataset.actions import class_names
from options.features import FeaturesOptions, parser
from tools.errors import one_line_errors
from tools.evaluation.features import extract_levels, part_arrays, write_features
from tools.evaluation.subject import Downstream

MOST_PROJECTED = 2000
"""Clips of an embedding, at most: more and the projector's t-SNE in the browser crawls."""


def export(downstream: Downstream, options: FeaturesOptions) -> None:
    """Write features, labels and names of one or both parts, whole or not at all.

    The file is what `part_arrays` says, with `about`, a JSON text that says what it is of.
    """
    wanted = options.wanted
    about = downstream.describe() | {"projections": wanted.projections}
    arrays = {"about": np.array(json.dumps(about))}
    with downstream.frozen():
        for part in wanted.parts:
            split = downstream.part(part)
            values = extract_levels(
                downstream.model,
                split,
                options.data.stream,
                wanted.levels,
                projections=wanted.projections,
                batch_size=wanted.batch_size,
            )
            for level, each in values.items():
                downstream.report(f"{part}_{level}: {' x '.join(map(str, each.shape))}")
            arrays |= part_arrays(part, values, split.labels, split.names)
    write_features(options.output, arrays)
    downstream.report(f"features, labels and names written to {options.output}")


def project(downstream: Downstream, options: FeaturesOptions) -> None:
    """Write an embedding of each level for TensorBoard's projector.

    Its clips are drawn from the wanted parts by the seed, at most MOST_PROJECTED in all, and carry
    their name, class and part.
    """
    from torch.utils.tensorboard import SummaryWriter  # slow to import, needed by no one else

    wanted, names = options.wanted, class_names(options.data.known, options.data.data_path)
    rows, values = [], {level: [] for level in wanted.levels}
    for part, clips in _drawn(downstream, wanted.parts).items():
        split = downstream.part(part)
        found = extract_levels(
            downstream.model,
            split,
            options.data.stream,
            wanted.levels,
            projections=wanted.projections,
            batch_size=wanted.batch_size,
            clips=clips,
        )
        for level, each in found.items():
            values[level].append(each.flatten(1))
        labels = split.labels[clips].tolist()
        kept = zip(clips.tolist(), labels, strict=True)
        rows += [[split.names[clip], names[label], str(label), part] for clip, label in kept]
    with SummaryWriter(str(options.projector)) as board:
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
    chosen = torch.randperm(sum(sizes), generator=generator)[:MOST_PROJECTED].sort().values
    found, begin = {}, 0
    for part, size in zip(parts, sizes, strict=True):
        found[part] = chosen[(chosen >= begin) & (chosen < begin + size)] - begin
        begin += size
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line; exit status 2 for an expected error."""
    options = parser().parse(argv)
    with one_line_errors():
        downstream = Downstream.open(options)
        if options.output is not None:
            export(downstream, options)
        if options.projector is not None:
            with downstream.frozen():
                project(downstream, options)


if __name__ == "__main__":
    main()
