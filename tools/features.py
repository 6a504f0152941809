"""Features of a data set, written to a file: `python -m tools.features --pretrained FILE …`.

Axes: N clips, G granularities, d hidden size, D projection size.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dataset.packed import PackedSplit
from dataset.protocols import DATASETS, STREAMS, split_folder
from dataset.views import downstream_views
from moco import HiCo, Views
from moco.encoders.hierarchical import Features
from moco.heads import LEVELS, Levels
from tools.checkpoint import RANDOM
from tools.command import Parser
from tools.errors import one_line_errors
from tools.evaluation.subject import Downstream
from tools.files import write_whole

PARTS = {"train": "train", "val": "test"}
"""Parts of a split as they lie on disk, and what Downstream calls them."""


@dataclass(frozen=True)
class Wanted:
    """Which features are written.

    Attributes:
        levels: of LEVELS.
        parts: of PARTS.
        projections: whether after the heads, where the contrast is, and not before them.
        batch_size: clips encoded at a time.
    """

    levels: Sequence[str] = ("instance",)
    parts: Sequence[str] = tuple(PARTS)
    projections: bool = False
    batch_size: int = 256


def before_heads(features: Features) -> Levels[Tensor]:
    """The features that each level's head looks at.

    Returns:
        clip and part (N, G, d) of the temporal and the spatial branch, temporal and spatial
        (N, G·d) the same side by side, instance (N, 2·G·d) both; the last is what is scored.
    """
    domains = features.clip.flatten(1), features.part.flatten(1)
    return Levels(features.clip, features.part, *domains, features.instance)


def compute(model: HiCo, split: PackedSplit, stream: str, wanted: Wanted) -> dict[str, Tensor]:
    """Compute features of every clip of a split, centre crop, at several levels in one pass.

    Args:
        model: in eval mode, on the split's device.
        split: clips.
        stream: "joint", "motion" or "bone".
        wanted: levels, and whether before or after the heads.

    Returns:
        (N, …) float32 on the CPU for each level: before the heads as `before_heads` says, after
        them unit vectors, clip and part (N, G, D), the others (N, D).
    """
    found: dict[str, list[Tensor]] = {level: [] for level in wanted.levels}
    with torch.inference_mode():
        for clips in torch.arange(len(split)).split(wanted.batch_size):
            features = model.encode(Views(*downstream_views(split, clips, stream)))
            levels = model.query.heads(features) if wanted.projections else before_heads(features)
            for level, parts in found.items():
                parts.append(getattr(levels, level).cpu())
    return {level: torch.cat(parts) for level, parts in found.items()}


def export(downstream: Downstream, wanted: Wanted, path: Path, about: dict[str, object]) -> None:
    """Write features, labels and names of one or both parts, whole or not at all.

    Args:
        downstream: the encoder and both parts of the split.
        wanted: which features.
        path: an .npz file with, for each part, PART_LEVEL (N, …) float32, PART_labels (N,) int64
            and PART_names (N,) text; and `about`, a JSON text.
        about: what the features are of.

    Raises:
        ValueError: for projections of a random encoder, which has no heads to speak of.
    """
    if wanted.projections and downstream.pretrained == RANDOM:
        raise ValueError("--projections: a random encoder has no trained heads; leave it out")
    arrays = {"about": np.array(json.dumps(about))}
    with downstream.frozen():
        for part in wanted.parts:
            split = getattr(downstream, PARTS[part])
            for level, values in compute(
                downstream.model, split, downstream.stream, wanted
            ).items():
                arrays[f"{part}_{level}"] = values.numpy()
                downstream.report(f"{part}_{level}: {' x '.join(map(str, values.shape))}")
            arrays[f"{part}_labels"] = split.labels.numpy()
            arrays[f"{part}_names"] = np.array(split.names)
    write_whole(path, lambda file: np.savez(file, **arrays))
    downstream.report(f"features, labels and names written to {path}")


def parser() -> Parser:
    """The command line."""
    result = Parser("features", "Write features of a data set at any level to an .npz file.")
    add = result.add_argument
    text = "checkpoint whose encoder is used; random: the published one, untrained"
    add("--pretrained", required=True, metavar="FILE", help=text)
    add("--output", required=True, type=Path, metavar="FILE.npz", help="file for the features")
    text, names = "one level or several (default: instance, what is scored)", list(LEVELS)
    add("--level", nargs="+", choices=names, default=["instance"], metavar="LEVEL",
        help=f"{text}: {' | '.join(names)}")  # fmt: skip
    text = "unit vectors behind the heads, where the contrast is, instead of before them"
    add("--projections", action="store_true", help=text)
    add("--part", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART",
        help="train | val (default: both)")  # fmt: skip
    text = f"{' | '.join(DATASETS)}, or one's own (default: %(default)s)"
    add("--dataset", "--finetune-dataset", default="ntu60", metavar="NAME", help=text)
    text = "split of the data set (default: %(default)s)"
    add("--protocol", default="cross_view", metavar="NAME", help=text)
    add("--stream", "--finetune-skeleton-representation", choices=STREAMS, default="joint",
        metavar="NAME", help=f"{' | '.join(STREAMS)} (default: %(default)s)")  # fmt: skip
    text = "folder of the prepared data sets (default: ./%(default)s)"
    add("--data-path", type=Path, default=Path("data"), metavar="DIR", help=text)
    text = "clips encoded at a time (default: %(default)s)"
    add("-b", "--batch-size", type=int, default=256, metavar="N", help=text)
    add("--device", default="auto", metavar="NAME", help="auto | cpu | cuda | cuda:N (auto)")
    add("--seed", type=int, default=0, metavar="N", help="of a random encoder (%(default)s)")
    return result


def main(argv: list[str] | None = None) -> None:
    """Run the command line; exit status 2 for an expected error."""
    command = parser()
    options = command.parse_args(argv)
    if options.output.suffix != ".npz":
        command.error(f"--output {options.output}: the name must end in .npz")
    if options.batch_size < 1:
        command.error(f"--batch-size {options.batch_size}: needs a whole number, 1 or more")
    with one_line_errors():
        folder = split_folder(options.data_path, options.dataset, options.protocol)
        source = (options.pretrained, folder, options.stream)
        downstream = Downstream.open(*source, shape={}, device=options.device, seed=options.seed)
        wanted = Wanted(options.level, options.part, options.projections, options.batch_size)
        about = downstream.describe(options.dataset, options.protocol)
        export(downstream, wanted, options.output, about | {"projections": options.projections})


if __name__ == "__main__":
    main()
