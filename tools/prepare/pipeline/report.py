"""What a preparation says of itself: the bad files, and a summary."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dataset.protocols import PARTS
from tools.prepare.pipeline.recordings import Collection
from tools.prepare.pipeline.splits import Split


def name_bad_files(bad: Mapping[Path, str], item: str) -> None:
    """Print each bad file or clip and what is wrong with it on stderr, sorted by name."""
    for path, fault in sorted(bad.items(), key=lambda item: item[0].name):
        print(f"bad {item} {path}: {fault}", file=sys.stderr)


def summarise(
    collection: Collection, splits: Sequence[Split], out: Path, remarks: Sequence[str]
) -> None:
    """Print how many clips were written where, and what is to be said of them.

    Args:
        collection: what was prepared.
        splits: what was written.
        out: the data path.
        remarks: further lines.
    """
    dataset = collection.dataset
    print(f"{dataset.title} in {out}:")
    differ = False
    for protocol, folder in dataset.folders.items():
        counts = {split.part: len(split.indices) for split in splits if split.protocol == protocol}
        rule = dataset.rules.get(protocol)
        published = counts if rule is None or rule.counts is None else rule.counts
        beside = f"; published: {in_parts(published)}" if counts != published else ""
        print(f"  {folder}: {in_parts(counts)}{beside}")
        differ |= counts != published
    if differ:
        print(
            f"  not the published clips: a part of {dataset.title}, or other recordings in its form"
        )
    for remark in (*collection.remarks, *remarks):
        print(f"  {remark}")


def in_parts(counts: Mapping[str, int]) -> str:
    """Write how many clips each part has."""
    return ", ".join(f"{part} {counts[part]:,}" for part in PARTS)


def losses(loses: Sequence[str]) -> list[str]:
    """Write what was lost before these recordings came to us."""
    return [f"lost: {loss}" for loss in loses]
