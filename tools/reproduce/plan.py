"""What would be run and how long it would take, printed; nothing is run and nothing is written."""

from collections.abc import Callable

from tools.reproduce import estimate
from tools.reproduce.cells import PRETRAINING, Cell, Run
from tools.reproduce.estimate import Speed
from tools.reproduce.scripts import Settings
from tools.reproduce.work import DONE, SKIPPED, TO_DO, Work, skipped
from tools.training.log import METRICS


class Speeds:
    """The speed of each kind of pre-training, found once.

    It is measured in the run's own metrics, else in those of a run of the same model in the same
    folder, else calibrated.
    """

    def __init__(self, work: Work) -> None:
        """Nothing is measured yet.

        Args:
            work: the selection.
        """
        self._out = work.setup.out
        self._trainings = [cell for cell in work.cells if cell.mode == PRETRAINING]
        self._options = work.options
        self._calibrated: list[tuple[Settings, Speed]] = []

    def of(self, run: Run) -> Speed:
        """The speed of one run."""
        own = self._options[Cell(run, PRETRAINING)]
        for cell in (Cell(run, PRETRAINING), *self._trainings):
            if estimate.same_speed(own, self._options[cell]):
                speed = estimate.measured(cell.folder(self._out) / METRICS)
                if speed:
                    return speed
        for options, speed in self._calibrated:
            if estimate.same_speed(own, options):
                return speed
        self._calibrated.append((own, estimate.calibrate(own)))
        return self._calibrated[-1][1]


def show(work: Work, report: Callable[[str], None] = print) -> None:
    """Print every cell with its state, an estimate for what is to do, and the sum.

    Args:
        work: the selection; nothing of it is run.
        report: takes the lines.
    """
    speeds, total, bases, counts = Speeds(work), 0.0, {}, {}
    for cell, outcome in work.outcomes.items():
        counts[outcome.state] = counts.get(outcome.state, 0) + 1
        note = outcome.note
        if outcome.state == TO_DO:
            duration = _duration(work, cell, speeds, bases)
            total += duration
            note = f"about {estimate.in_words(duration)}"
        if outcome.state != SKIPPED:
            report(f"{outcome.state:8}  {cell}" + (f": {note}" if note else ""))
    for line in skipped(work.outcomes):
        report(f"{SKIPPED:8}  {line}")
    for basis, speed in bases.items():
        report(f"speed: {speed:.0f} clips of pre-training a second, {basis}")
    if bases:
        report("an evaluation's time is reckoned from that speed by its encoder passes")
    said = ", ".join(
        f"{counts[state]} {state}" for state in (TO_DO, DONE, SKIPPED) if state in counts
    )
    report(f"{said}; about {estimate.in_words(total)} on this machine" if total else said)


def _duration(work: Work, cell: Cell, speeds: Speeds, bases: dict[str, float]) -> float:
    if cell.mode == "ensemble":
        return estimate.START_SECONDS
    speed, options = speeds.of(cell.run), work.options[cell]
    bases[speed.basis] = speed.clips_per_second
    duration = estimate.seconds(cell, options, work.found[cell.split], speed)
    if cell.mode != PRETRAINING:
        return duration
    return duration * estimate.share_left(cell.folder(work.setup.out) / METRICS, options)
