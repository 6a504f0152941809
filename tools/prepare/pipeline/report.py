"""What a preparation says of itself at its end."""

from collections.abc import Iterable, Mapping

from dataset.protocols import PARTS, DataSet
from options.prepare import RawOptions


def summarise(
    dataset: DataSet,
    counts: Mapping[str, Mapping[str, int]],
    remarks: Iterable[str],
    options: RawOptions,
) -> None:
    """Print how many clips were written where, and what is to be said of them.

    Args:
        dataset: what was prepared.
        counts: for each protocol that was written, the clips of each part.
        remarks: a line each.
        options: where it was written, and what was lost before it came to us.
    """
    print(f"{dataset.title} in {options.out}:")
    differ = False
    for protocol, ours in counts.items():
        rule = dataset.rules.get(protocol)
        published = rule.counts if rule and rule.counts else ours
        beside = f"; published: {_parts(published)}" if ours != published else ""
        print(f"  {dataset.folders[protocol]}: {_parts(ours)}{beside}")
        differ |= ours != published
    if differ:
        print(f"  not the published clips: a part of {dataset.title}, or other recordings like it")
    for line in (*remarks, *(f"lost: {loss}" for loss in options.loses)):
        print(f"  {line}")


def _parts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {counts[part]:,}" for part in PARTS)
