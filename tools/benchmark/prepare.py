"""Raw NTU files to both NTU-60 protocols: one vectorised reading against two joint by joint."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path

import torch

from dataset.protocols import NTU60
from dataset.skeleton import MAX_FRAMES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from tools.benchmark.floor import FLOAT, Work
from tools.benchmark.measure import Row, measure
from tools.benchmark.plain import oracle
from tools.benchmark.sizes import Sizes
from tools.prepare.__main__ import main as prepare

TAKES = 3
"""Of each person and action, the fewest that all three cameras watch."""
CLIP_BYTES = FLOAT * NUM_COORDINATES * MAX_FRAMES * NUM_JOINTS * NUM_BODIES


def rows(sizes: Sizes) -> Iterator[Row]:
    """Measure the time a file takes from text to both splits on disk, one process a side.

    Twice, the second time with twice as many files: neither its time nor memory should grow.
    """
    for performers in (sizes.raw_performers, 2 * sizes.raw_performers):
        with tempfile.TemporaryDirectory(prefix="hico-benchmark-") as folder:
            yield _row(Path(folder, "raw"), performers, sizes)


def _row(raw: Path, performers: int, sizes: Sizes) -> Row:
    _run("synthetic", "--out", raw, "--performers", performers, "--clips", TAKES)
    files = sorted(raw.iterdir())
    some = files[:: max(1, len(files) // sizes.plain_files)][: sizes.plain_files]
    return measure(
        f"prepare, a file of {len(files)}",
        ours=partial(our_preparation, raw),
        plain=partial(plain_preparation, some),
        least=prepare_work(files),
        sizes=replace(sizes, device=torch.device("cpu")),  # whatever trains
        ours_per=len(files),
        plain_per=len(some),
        note=f"both protocols, one process; plain: {len(some)} files run",
    )


def prepare_work(files: list[Path]) -> Work:
    """Read the text once, write the clip for both protocols; a mean file.

    What it takes to turn text into numbers is not in it.
    """
    text = sum(path.stat().st_size for path in files) / len(files)
    return Work(0, text + len(NTU60.rules) * CLIP_BYTES)


def our_preparation(raw: Path) -> None:
    """The very command, and its arrays thrown away."""
    with tempfile.TemporaryDirectory(dir=raw.parent) as out:
        _run("ntu", "--raw", raw, "--out", out, "--workers", 1, "--missing", os.devnull)


def _run(*words: object) -> None:
    """Run `python -m tools.prepare` in this process; what it says is no news here."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        prepare([str(word) for word in words])


def plain_preparation(files: list[Path]) -> None:
    """Each protocol parses all its files again and holds its split in memory, as published."""
    with tempfile.TemporaryDirectory(dir=files[0].parent.parent) as out:
        oracle("prepare").prepare_splits_plain(files, NTU60.rules, Path(out))
