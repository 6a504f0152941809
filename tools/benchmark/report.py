"""The table that a benchmark prints and the JSON that it leaves."""

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from tools.evaluation.results import write_json

HEADINGS = ("work", "ours ms", "plain ms", "ratio", "floor ms", "x floor", "memory MiB", "note")


@dataclass(frozen=True)
class Row:
    """One work, measured.

    Attributes:
        work: what was done.
        ours_ms: median of ours.
        plain_ms: median of the plain oracle.
        floor_ms: least time at the machine's own rates.
        memory_mib: most memory held while ours ran.
        product_rate: floating-point operations a second, measured in the same turns.
        copy_rate: bytes a second, likewise.
        precision: of those products.
        note: what the reader must know to read the figures.
    """

    work: str
    ours_ms: float
    plain_ms: float
    floor_ms: float
    memory_mib: float
    product_rate: float
    copy_rate: float
    precision: str = "fp32"
    note: str = ""

    @property
    def ratio(self) -> float:
        """How many times the plain oracle takes as long as ours."""
        return self.plain_ms / self.ours_ms

    @property
    def floors(self) -> float:
        """How many floors ours takes."""
        return self.ours_ms / self.floor_ms

    def cells(self) -> tuple[str, ...]:
        """The row's text under HEADINGS."""
        return (
            self.work,
            _number(self.ours_ms),
            _number(self.plain_ms),
            f"{self.ratio:.2f}",
            _number(self.floor_ms),
            f"{self.floors:.2f}",
            f"{self.memory_mib:.0f}",
            self.note,
        )


def table(rows: Sequence[Row]) -> str:
    """Markdown table with aligned columns."""
    cells = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADINGS))]
    text = [_line(line, widths) for line in cells]
    rule = [f"{'-' * (w - 1)}{'-' if _is_text(i) else ':'}" for i, w in enumerate(widths)]
    return "\n".join([text[0], f"| {' | '.join(rule)} |", *text[1:]])


def machine(device: torch.device) -> dict[str, Any]:
    """What computed: names, versions, threads."""
    names = {"processor": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if device.type == "cuda":
        names["gpu"] = torch.cuda.get_device_name(device)
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return {"device": str(device), **names, **versions}


def summary(device: torch.device, rows: Sequence[Row]) -> str:
    """One line above the table: the machine and the rates it showed in this run."""
    copy = max(row.copy_rate for row in rows) / 1e9
    kinds = sorted({row.precision for row in rows}, reverse=True)
    best = {k: max(row.product_rate for row in rows if row.precision == k) / 1e9 for k in kinds}
    products = ", ".join(f"{kind} {rate:,.0f}" for kind, rate in best.items())
    about = machine(device)
    where = about.get("gpu") or f"{about['processor']}, {about['threads']} threads"
    rates = f"products at {products} GFLOP/s, copies at {copy:.1f} GB/s"
    return f"{where}; torch {about['torch']}; {rates}"


def save(path: Path, device: torch.device, rows: Sequence[Row]) -> None:
    """Write machine and rows as JSON, whole or not at all."""
    listed = [asdict(row) | {"ratio": row.ratio, "floors": row.floors} for row in rows]
    write_json(path, {"machine": machine(device), "rows": listed})


def _number(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _is_text(column: int) -> bool:
    return HEADINGS[column] in ("work", "note")


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [
        cell.ljust(width) if _is_text(i) else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return f"| {' | '.join(aligned)} |"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
