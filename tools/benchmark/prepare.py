"""Raw NTU files to both NTU-60 protocols: one vectorised reading against two joint by joint."""

import tempfile
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from dataset.protocols import NTU60
from dataset.skeleton import MAX_FRAMES, NUM_BODIES, NUM_COORDINATES, NUM_JOINTS
from tools.benchmark.floor import FLOAT, Work
from tools.benchmark.measure import measure
from tools.benchmark.plain import oracle
from tools.benchmark.report import Row
from tools.benchmark.settings import Settings
from tools.prepare.formats.ntu import collect
from tools.prepare.pipeline.build import Settings as BuildSettings
from tools.prepare.pipeline.build import build
from tools.prepare.synthetic.command import generate

TAKES = 3
"""Of each person and action, the fewest that all three cameras watch."""
CLIP_BYTES = FLOAT * NUM_COORDINATES * MAX_FRAMES * NUM_JOINTS * NUM_BODIES


def rows(settings: Settings) -> Iterator[Row]:
    """Measure the time a file takes from text to both splits on disk, one process a side.

    Twice, the second time with twice as many files: neither its time nor memory should grow.
    """
    settings = replace(settings, device=torch.device("cpu"))  # whatever trains
    for performers in (settings.raw_performers, 2 * settings.raw_performers):
        with tempfile.TemporaryDirectory(prefix="hico-benchmark-") as folder:
            yield _row(Path(folder, "raw"), performers, settings)


def _row(raw: Path, performers: int, settings: Settings) -> Row:
    count = generate(raw, seed=0, performers=performers, clips=TAKES)
    files = sorted(raw.iterdir())
    chosen = files[:: max(1, count // settings.plain_files)][: settings.plain_files]
    return measure(
        f"prepare, a file of {count}",
        partial(_our_preparation, raw),
        partial(_plain_preparation, oracle("prepare"), chosen),
        prepare_work(files),
        settings,
        ours_per=count,
        plain_per=len(chosen),
        note=f"both protocols, one process; plain: {len(chosen)} files run",
    )


def prepare_work(files: list[Path]) -> Work:
    """Read the text once, write the clip for both protocols; a mean file.

    What it takes to turn text into numbers is not in it.
    """
    text = sum(path.stat().st_size for path in files) / len(files)
    return Work(0, text + len(NTU60.rules) * CLIP_BYTES)


def _our_preparation(raw: Path) -> None:
    told = StringIO()  # what `build` reports and its progress bar are no news here
    with (
        tempfile.TemporaryDirectory(dir=raw.parent) as out,
        redirect_stdout(told),
        redirect_stderr(told),
    ):
        collection = collect(raw, NTU60, missing=set())
        build(collection, BuildSettings(Path(out), rotate_z=True, workers=1, skip_bad=False))


def _plain_preparation(plain: ModuleType, files: list[Path]) -> None:
    """Each protocol parses all its files again and holds its split in memory, as published."""
    with tempfile.TemporaryDirectory(dir=files[0].parent.parent) as out:
        for protocol in NTU60.rules:
            clips = [plain.prepare_clip_plain(path) for path in files]
            np.save(Path(out, protocol), np.stack(clips))
