"""What a preparation says of itself: a progress bar, the bad files, a summary."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from dataset.protocols import PARTS
from tools.prepare.pipeline.recordings import Collection, counted
from tools.prepare.pipeline.splits import Split


def progress(title: str, total: int, done: int) -> tqdm:
    """Start a bar of clips, with rate and time left; seldom renewed where nobody watches.

    Args:
        title: what stands before it.
        total: clips in all.
        done: clips that were done before.
    """
    seconds = 0.1 if sys.stderr.isatty() else 30.0
    return tqdm(desc=title, total=total, initial=done, unit="clip", mininterval=seconds)


def name_bad_files(bad: Mapping[Path, str], item: str) -> None:
    """Print each bad file or clip and what is wrong with it on stderr, sorted by name."""
    for path, fault in sorted(bad.items(), key=lambda item: item[0].name):
        print(f"bad {item} {path}: {fault}", file=sys.stderr)


def summarise(collection: Collection, splits: Sequence[Split], skipped: int, out: Path) -> None:
    """Print how many clips were written where, beside the published counts.

    Args:
        collection: what was prepared.
        splits: what was written.
        skipped: how many bad files were left out.
        out: the data path.
    """
    dataset = collection.dataset
    print(f"{dataset.title} in {out}:")
    for protocol, folder in dataset.folders.items():
        counts = {split.part: len(split.indices) for split in splits if split.protocol == protocol}
        rule = dataset.rules.get(protocol)
        published = rule.counts if rule else None
        beside = f"; published: {_parts(published)}" if published else ""
        print(f"  {folder}: {_parts(counts)}{beside}")
        if published and counts != published:
            print(f"warning: {protocol} does not have the published number of clips")
    for remark in collection.remarks:
        print(f"  {remark}")
    if skipped:
        print(f"  {counted(skipped, f'bad {collection.item}')} skipped")
    for loss in collection.loses:
        print(f"  lost: {loss}")


def _parts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {counts[part]:,}" for part in PARTS)
