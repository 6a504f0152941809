"""One row of the table: ours, plain and the machine's rates, timed in turns."""

from tools.benchmark.floor import Machine, Work
from tools.benchmark.report import Row
from tools.benchmark.settings import Settings
from tools.benchmark.timing import Side, interleave, peak_memory


def measure(
    work: str,
    ours: Side,
    plain: Side,
    least: Work,
    settings: Settings,
    *,
    ours_per: float = 1.0,
    plain_per: float = 1.0,
    precision: str = "fp32",
    note: str = "",
) -> Row:
    """Warm both sides up, then time them in turns, and the machine's own rates with them.

    Args:
        work: name of the row.
        ours: our side; its first call is where memory is read.
        plain: the oracle's.
        least: what the unit of work cannot avoid.
        settings: device and turns.
        ours_per: units of work that one call of ours does.
        plain_per: likewise of the oracle; below 1 where it does a part.
        precision: of the floor's products.
        note: to the reader.

    Returns:
        Times for one unit of work.
    """
    memory = peak_memory(ours, settings.device)
    plain()
    # Only now: its operands are no part of the memory of ours.
    machine = Machine(settings.device, precision)
    sides = {"ours": ours, "plain": plain, **machine.sides()}
    times = interleave(sides, settings.device, settings.repetitions)
    ours_ms, plain_ms = 1e3 * times["ours"] / ours_per, 1e3 * times["plain"] / plain_per
    floor_ms = 1e3 * machine.floor(least, times)
    rates = machine.rates(times)
    return Row(work, ours_ms, plain_ms, floor_ms, memory, *rates, precision, note)
