"""What would be run and how long it would take, printed; nothing is run and nothing is written.

The speed of a pre-training is what an earlier run of the same model wrote down, else it is measured
on a few steps. The time of an evaluation follows from it by its encoder passes.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from options.evaluations import PRETRAINING, PRETRAINING_PASSES
from options.pretraining import PretrainingOptions
from tools.reproduce.cells import Cell
from tools.reproduce.run import DONE, SKIPPED, TO_DO, Runner, skipped
from tools.training.log import METRICS, read_rows

START_SECONDS = 5.0
"""What a script takes before its work begins, roughly."""
_NEWEST_ROWS, _CALIBRATION_STEPS = 50, 3
Speed = tuple[float, str]
"""Clips of pre-training a second, and how that is known."""


def show(runner: Runner, report: Callable[[str], None] = print) -> None:
    """Print every cell with its state, an estimate for what is to do, and the sum."""
    speeds, total = measured(runner), 0.0
    for cell, outcome in runner.outcomes.items():
        note = outcome.note
        if outcome.state == TO_DO:
            duration = seconds(cell, runner, speeds)
            total += duration
            note = f"about {in_words(duration)}"
        if outcome.state != SKIPPED:
            report(f"{outcome.state:8}  {cell}" + (f": {note}" if note else ""))
    for line in skipped(runner.outcomes):
        report(f"{SKIPPED:8}  {line}")
    if total:
        for clips_per_second, basis in speeds.values():
            report(f"speed: {clips_per_second:.0f} clips of pre-training a second, {basis}")
        report("an evaluation's time is reckoned from that speed by its encoder passes")
    counts = Counter(outcome.state for outcome in runner.outcomes.values())
    said = ", ".join(f"{counts[name]} {name}" for name in (TO_DO, DONE, SKIPPED) if counts[name])
    report(f"{said}; about {in_words(total)} on this machine" if total else said)


def seconds(cell: Cell, runner: Runner, speeds: dict[Any, Speed]) -> float:
    """What a cell that has its data takes, or what is left of an interrupted pre-training.

    The speed of a model that is not among `speeds` is measured and put there.
    """
    options, trained = runner.asked[cell], runner.asked.get(cell.trained)
    data = runner.found[cell.split]
    passes = cell.kind.passes(options, data.train, data.test)
    if not passes:
        return START_SECONDS
    if _model(trained) not in speeds:
        speeds[_model(trained)] = calibrate(trained)
    if cell.mode == PRETRAINING:
        done = values(cell.folder(runner.options.out) / METRICS, "epoch")[-1:]
        passes *= max(0.0, 1 - sum(done) / options.training.epochs)
    return START_SECONDS + passes / PRETRAINING_PASSES / speeds[_model(trained)][0]


def measured(runner: Runner) -> dict[Any, Speed]:
    """The speeds that earlier runs of the selection have written down, by model."""
    speeds: dict[Any, Speed] = {}
    for cell, options in runner.asked.items():
        log = cell.folder(runner.options.out) / METRICS
        found = values(log, "clips_per_second")[-_NEWEST_ROWS:]
        if cell.mode == PRETRAINING and found:
            speeds.setdefault(_model(options), (statistics.median(found), f"measured in {log}"))
    return speeds


def _model(options: PretrainingOptions) -> Any:
    """What the speed of a pre-training depends on."""
    return options.encoder, options.contrast, options.training.batch_size, options.speed.precision


def values(log: Path, name: str) -> list[float]:
    """One number of each row of a metrics file that has it."""
    return [row[name] for row in read_rows(log) if name in row]


def calibrate(options: PretrainingOptions) -> Speed:
    """Take a few steps on noise, with the model and batch of a pre-training."""
    from moco import HiCo
    from tools.checkpoint import make_optimizer
    from tools.runtime import pick_device, set_precision
    from tools.training.step import random_views, training_step

    device, precision = pick_device(options.run.device), options.speed.precision
    set_precision(precision, device)
    model = HiCo(options.encoder, options.contrast).to(device)
    optimizer = make_optimizer(model, 1e-6, 0.9, 0.0)
    batch, steps = options.training.batch_size, []
    views = random_views(options.encoder, batch, device)
    for _ in range(1 + _CALIBRATION_STEPS):  # the first one warms up
        began = time.perf_counter()
        float(training_step(model, optimizer, views, views, precision).total)  # waits for it
        steps.append(time.perf_counter() - began)
    basis = f"calibrated on {_CALIBRATION_STEPS} steps of {options.encoder.kind} here"
    return batch / statistics.median(steps[1:]), basis


def in_words(seconds: float) -> str:
    """A duration in its two largest units."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    days, hours = divmod(minutes // 60, 24)
    parts = ((days, "d"), (hours, "h"), (minutes % 60, "min"))
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])
