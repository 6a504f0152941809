"""How long it would take, from a measured speed of pre-training; nothing is run for it.

Work is counted in encoder passes of one clip: a pre-training step has the query's forward pass,
its backward pass (two forward ones) and the key's forward pass; a fine-tuning step has three
passes, and a clip whose features are taken one.
"""

import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.reproduce.cells import PRETRAINING, Cell
from tools.reproduce.data import SplitData
from tools.reproduce.scripts import Settings

PRETRAINING_PASSES, TRAINING_PASSES = 4, 3
START_SECONDS = 5.0
"""What a script takes before its work begins, roughly."""
_NEWEST_ROWS = 50
_CALIBRATION_STEPS = 3
_MODEL = (
    ("encoder", "hidden_size", "num_heads", "num_layers", "granularity")
    + ("hico_dim", "hico_k", "queue_wrap", "batch_size")
)  # fmt: skip
"""Options of pre-training that its speed depends on."""


@dataclass(frozen=True)
class Speed:
    """Clips of pre-training a second, and how that is known."""

    clips_per_second: float
    basis: str


def passes(cell: Cell, options: Settings, data: SplitData) -> float:
    """Encoder passes that a cell takes.

    Args:
        cell: anything but an ensemble, which takes none.
        options: what its script makes of its command.
        data: the split that it reads.
    """
    if cell.mode == "ensemble":
        return 0.0
    if cell.mode == "knn":
        return data.train + data.test
    epochs, batch = options["epochs"], options["batch_size"]
    if cell.mode == PRETRAINING:
        return epochs * (data.train // batch * batch) * PRETRAINING_PASSES
    if cell.mode == "linear":
        times = epochs if options["probe_crop"] == "random" else 1
        return times * data.train + data.test
    labelled = data.train * (cell.fraction or 1)
    return cell.subsets * epochs * (TRAINING_PASSES * labelled + data.test)


def seconds(cell: Cell, options: Settings, data: SplitData, speed: Speed) -> float:
    """What a cell takes at a speed of pre-training."""
    work = passes(cell, options, data) / PRETRAINING_PASSES
    return START_SECONDS + work / speed.clips_per_second


def share_left(log: Path, options: Settings) -> float:
    """The share of a pre-training that is still to do, by the last row of its metrics."""
    rows = list(_rows(log))
    return max(0.0, 1 - rows[-1]["epoch"] / options["epochs"]) if rows else 1.0


def measured(log: Path) -> Speed | None:
    """The speed that an earlier run has written down; None where there is none."""
    speeds = [row["clips_per_second"] for row in list(_rows(log))[-_NEWEST_ROWS:]]
    return Speed(statistics.median(speeds), f"measured in {log}") if speeds else None


def _rows(log: Path) -> Iterator[dict[str, float]]:
    if not log.is_file():
        return
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
            yield {name: row[name] for name in ("epoch", "clips_per_second")}
        except (json.JSONDecodeError, KeyError, TypeError):
            continue  # a line that an interruption cut short


def same_speed(one: Settings, other: Settings) -> bool:
    """Whether two pre-trainings take the same time for a clip, as far as options tell."""
    return all(one[name] == other[name] for name in _MODEL)


def calibrate(options: Settings) -> Speed:
    """Take a few steps on noise, with the model and batch of a pre-training.

    Args:
        options: what pretraining.py makes of its command.
    """
    import torch

    from moco import EncoderConfig, HiCo, Views
    from tools.checkpoint import make_optimizer
    from tools.runtime import pick_device
    from tools.training.trainer import training_step

    device = pick_device(options["device"])
    sizes = ("hidden_size", "num_heads", "num_layers", "granularity")
    config = EncoderConfig(options["encoder"], **{name: options[name] for name in sizes})
    contrast = [options[name] for name in ("hico_dim", "hico_k", "hico_m", "hico_t")]
    model = HiCo(config, *contrast, options["queue_wrap"]).to(device)
    optimizer, batch = make_optimizer(model, 1e-6, 0.9, 0.0), options["batch_size"]
    time_view = torch.randn(batch, 64, config.time_features, device=device)
    space_view = torch.randn(batch, 50, config.space_features, device=device)
    views, elapsed = Views(time_view, space_view), []
    for _ in range(1 + _CALIBRATION_STEPS):  # the first one warms up
        began = time.perf_counter()
        float(training_step(model, optimizer, views, views).total)  # waits for the device
        elapsed.append(time.perf_counter() - began)
    speed = batch / statistics.median(elapsed[1:])
    return Speed(speed, f"calibrated on {_CALIBRATION_STEPS} steps of {options['encoder']} here")


def in_words(duration: float) -> str:
    """A duration in seconds, in the two largest units."""
    minutes = round(duration / 60)
    if minutes < 1:
        return "under a minute"
    days, hours = divmod(minutes // 60, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes % 60} min"]
    return " ".join([part for part in parts if part and not part.startswith("0 ")][:2])
