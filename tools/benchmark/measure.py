"""One row of the table: ours, plain and the machine's rates, timed in turns."""

from dataclasses import dataclass
from typing import ClassVar

from tools.benchmark.floor import Machine, Work
from tools.benchmark.memory import peak_memory
from tools.benchmark.report import milliseconds
from tools.benchmark.sizes import Sizes
from tools.benchmark.timing import Side, interleave
from tools.runtime import set_precision


@dataclass(frozen=True)
class Row:
    """One work, measured."""

    table: ClassVar[str] = "rows"

    work: str  # what was done
    ours_ms: float  # median of ours
    plain_ms: float  # median of the plain oracle
    floor_ms: float  # least time at the machine's own rates
    memory_mib: float  # most memory held while ours ran
    product_rate: float  # floating-point operations a second, measured in the same turns
    copy_rate: float  # bytes a second, likewise
    precision: str = "fp32"  # of those products
    note: str = ""  # what the reader must know to read the figures

    @property
    def ratio(self) -> float:
        """How many times the plain oracle takes as long as ours."""
        return self.plain_ms / self.ours_ms

    @property
    def floors(self) -> float:
        """How many floors ours takes."""
        return self.ours_ms / self.floor_ms

    def __str__(self) -> str:
        return f"{self.work}: {self.ours_ms:.3g} ms, plain {self.plain_ms:.3g} ms"

    def cells(self) -> dict[str, str]:
        """The row's text by heading."""
        return {
            "work": self.work,
            "ours ms": milliseconds(self.ours_ms),
            "plain ms": milliseconds(self.plain_ms),
            "ratio": f"{self.ratio:.2f}",
            "floor ms": milliseconds(self.floor_ms),
            "x floor": f"{self.floors:.2f}",
            "memory MiB": f"{self.memory_mib:.0f}",
            "note": self.note,
        }


def measure(
    work: str,
    ours: Side,
    plain: Side,
    least: Work,
    sizes: Sizes,
    *,
    ours_per: float = 1.0,
    plain_per: float = 1.0,
    precision: str = "fp32",
    note: str = "",
) -> Row:
    """Warm both sides up, then time them in turns, and the machine's own rates with them.

    A call of ours does `ours_per` units of the `least` work, one of the oracle's `plain_per`, below
    1 where it does a part. Ours and the floor have the `precision`, the oracle's side float32.
    """
    ours = _in_precision(precision, sizes, ours)
    plain = _in_precision("fp32", sizes, plain)
    memory = peak_memory(ours, sizes.device)
    plain()
    # Only now: its operands are no part of the memory of ours.
    machine = Machine(sizes.device, precision)
    sides = {"ours": ours, "plain": plain, **machine.sides()}
    times = interleave(sides, sizes.device, sizes.repetitions, clock=sizes.clock)
    product_rate, copy_rate = machine.rates(times)
    return Row(
        work=work,
        ours_ms=1e3 * times["ours"] / ours_per,
        plain_ms=1e3 * times["plain"] / plain_per,
        floor_ms=1e3 * machine.floor(least, times),
        memory_mib=memory,
        product_rate=product_rate,
        copy_rate=copy_rate,
        precision=precision,
        note=note,
    )


def _in_precision(precision: str, sizes: Sizes, side: Side) -> Side:
    def _side() -> object:
        set_precision(precision, sizes.device)
        return side()

    return _side
