"""What would be run and how long it would take, printed; nothing is run and nothing is written.

The speed of a pre-training is what an earlier run of the same model wrote down, else it is measured
on a few steps. The time of an evaluation follows from it by its encoder passes.
"""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NamedTuple

from options.pretraining import PretrainingOptions
from options.reproduce import PRETRAINING
from tools.reproduce.cells import Cell
from tools.reproduce.run import DONE, SKIPPED, TO_DO, Runner, skipped
from tools.reproduce.scripts import PRETRAINING_PASSES
from tools.training.log import METRICS

START_SECONDS = 5.0
"""What a script takes before its work begins, roughly."""
_NEWEST_ROWS = 50
_CALIBRATION_STEPS = 3


class Speed(NamedTuple):
    """Clips of pre-training a second, and how that is known."""

    clips_per_second: float
    basis: str


def show(runner: Runner, report: Callable[[str], None] = print) -> None:
    """Print every cell with its state, an estimate for what is to do, and the sum.

    Args:
        runner: the selection; nothing of it is run.
        report: takes the lines.
    """
    speeds, total = Speeds(runner), 0.0
    for cell, outcome in runner.outcomes.items():
        note = outcome.note
        if outcome.state == TO_DO:
            seconds = speeds.seconds(cell)
            total += seconds
            note = f"about {in_words(seconds)}"
        if outcome.state != SKIPPED:
            report(f"{outcome.state:8}  {cell}" + (f": {note}" if note else ""))
    for line in skipped(runner.outcomes):
        report(f"{SKIPPED:8}  {line}")
    for speed in dict.fromkeys(speeds.used):
        report(f"speed: {speed.clips_per_second:.0f} clips of pre-training a second, {speed.basis}")
    if speeds.used:
        report("an evaluation's time is reckoned from that speed by its encoder passes")
    counts = Counter(outcome.state for outcome in runner.outcomes.values())
    said = ", ".join(f"{counts[name]} {name}" for name in (TO_DO, DONE, SKIPPED) if counts[name])
    report(f"{said}; about {in_words(total)} on this machine" if total else said)


class Speeds:
    """How long cells take; the speed of each model is found once."""

    def __init__(self, runner: Runner) -> None:
        """Read the speeds that earlier runs have written down."""
        self.used: list[Speed] = []
        self._runner, self._known = runner, dict[Any, Speed]()
        for cell, options in runner.asked.items():
            if cell.mode == PRETRAINING:
                log = cell.folder(runner.options.out) / METRICS
                speeds = [row["clips_per_second"] for row in rows(log)][-_NEWEST_ROWS:]
                if speeds:
                    speed = Speed(statistics.median(speeds), f"measured in {log}")
                    self._known.setdefault(_model(options), speed)

    def seconds(self, cell: Cell) -> float:
        """What a cell takes, or what is left of an interrupted pre-training."""
        if not cell.kind.passes:
            return START_SECONDS
        trained = self._runner.asked[Cell(cell.run, PRETRAINING)]
        model = _model(trained)
        if model not in self._known:
            self._known[model] = calibrate(trained)
        self.used.append(self._known[model])
        data, options = self._runner.found[cell.split], self._runner.asked[cell]
        passes = resolve_name(cell.kind.passes)(options, data.train, data.test)
        if cell.mode == PRETRAINING:
            passes *= share_left(cell.folder(self._runner.options.out) / METRICS, options)
        clips = passes / PRETRAINING_PASSES
        return START_SECONDS + clips / self._known[model].clips_per_second


def _model(options: PretrainingOptions) -> Any:
    """What the speed of a pre-training depends on."""
    return options.encoder, options.contrast, options.training.batch_size, options.speed.precision


def share_left(log: Path, options: PretrainingOptions) -> float:
    """The share of a pre-training that is still to do, by the last row of its metrics."""
    epochs = [row["epoch"] for row in rows(log)]
    return max(0.0, 1 - epochs[-1] / options.training.epochs) if epochs else 1.0


def rows(log: Path) -> list[dict[str, float]]:
    """The rows of a metrics file, except a last one that an interruption cut short."""
    found = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.is_file() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def calibrate(options: PretrainingOptions) -> Speed:
    """Take a few steps on noise, with the model and batch of a pre-training."""
    import torch

    from moco import HiCo, Views
    from tools.runtime import pick_device, set_precision
    from tools.training.trainer import training_step

    device, precision = pick_device(options.run.device), options.speed.precision
    set_precision(precision, device)
    model = HiCo(options.encoder, options.contrast).to(device)
    optimizer = torch.optim.SGD(model.learned(), lr=1e-6, momentum=0.9)
    batch, seconds = options.training.batch_size, []
    time_view = torch.randn(batch, 64, options.encoder.time_features, device=device)
    space_view = torch.randn(batch, 50, options.encoder.space_features, device=device)
    views = Views(time_view, space_view)
    for _ in range(1 + _CALIBRATION_STEPS):  # the first one warms up
        began = time.perf_counter()
        float(training_step(model, optimizer, views, views, precision).total)  # waits for it
        seconds.append(time.perf_counter() - began)
    basis = f"calibrated on {_CALIBRATION_STEPS} steps of {options.encoder.kind} here"
    return Speed(batch / statistics.median(seconds[1:]), basis)


def in_words(seconds: float) -> str:
    """A duration in its two largest units."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "under a minute"
    days, hours = divmod(minutes // 60, 24)
    parts = ((days, "d"), (hours, "h"), (minutes % 60, "min"))
    return " ".join([f"{count} {unit}" for count, unit in parts if count][:2])
