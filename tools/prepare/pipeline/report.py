"""What a preparation says of itself at its end."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path

from dataset.protocols import PARTS, DataSet
from options.prepare import RawOptions
from tools.prepare.pipeline.recordings import counted

_NAMED = 20
"""Bad files that are named on the screen; `prepared.json` has all that were skipped."""


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


def name_bad(bad: Mapping[Path, str], item: str) -> None:
    """Print the first bad files or clips and what is wrong with each on stderr, sorted by name."""
    paths = sorted(bad, key=attrgetter("name"))
    for path in paths[:_NAMED]:
        print(f"bad {item} {path}: {bad[path]}", file=sys.stderr)
    if len(paths) > _NAMED:
        kinds = Counter(bad[path] for path in paths[_NAMED:])
        text, times = kinds.most_common(1)[0]
        more = counted(len(paths) - _NAMED, f"more bad {item}")
        print(f"{more}, most often ({times:,}): {text}", file=sys.stderr)


def refusal(bad: Mapping[Path, str], item: str) -> ValueError:
    """Name the bad files, a line each, and return the error to end with."""
    name_bad(bad, item)
    return ValueError(
        f"{counted(len(bad), f'bad {item}')}, nothing written; mend or remove them, or leave them "
        "out with --skip-bad"
    )


def _parts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{part} {counts[part]:,}" for part in PARTS)
