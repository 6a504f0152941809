"""The tables that a benchmark prints and the JSON that it leaves."""

import json
import os
import platform
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch

from tools import runtime
from tools.files import write_whole


class Line(Protocol):
    """A dataclass that is one line of the table that it names."""

    table: str

    def cells(self) -> dict[str, str]:
        """Its text by heading."""


def report(device: torch.device, lines: Sequence[Line]) -> str:
    """The machine, then a table of each kind of line."""
    kinds = dict.fromkeys(line.table for line in lines)
    tables = [table([line for line in lines if line.table == kind]) for kind in kinds]
    return "\n\n".join([summary(device, lines), *tables])


def table(lines: Sequence[Line]) -> str:
    """Markdown table with aligned columns, numbers on the right."""
    cells = [line.cells() for line in lines]
    columns = []
    for heading in cells[0]:
        texts = [heading, *(row[heading] for row in cells)]
        width = max(map(len, texts))
        number = re.fullmatch(r"[\d,.e+-]+", texts[1])
        rule = "-" * (width - 1) + (":" if number else "-")
        aligned = [text.rjust(width) if number else text.ljust(width) for text in texts]
        columns.append([aligned[0], rule, *aligned[1:]])
    return "\n".join(f"| {' | '.join(row)} |" for row in zip(*columns, strict=True))


def summary(device: torch.device, lines: Sequence[Line]) -> str:
    """One line above the tables: the machine and the rates it showed in this run."""
    about = machine(device)
    name = about["device_name"] if device.type == "cuda" else about["processor"]
    where = f"{name}, {about['threads']} threads; torch {about['torch']}"
    rows: list[Any] = [line for line in lines if line.table == "rows"]
    if not rows:
        return where
    kinds = sorted({row.precision for row in rows}, reverse=True)
    best = {k: max(row.product_rate for row in rows if row.precision == k) / 1e9 for k in kinds}
    products = ", ".join(f"{kind} {rate:,.0f}" for kind, rate in best.items())
    copy = max(row.copy_rate for row in rows) / 1e9
    return f"{where}; products at {products} GFLOP/s, copies at {copy:.1f} GB/s"


def machine(device: torch.device) -> dict[str, Any]:
    """What computed: names, versions, threads."""
    threads = {"cores": os.cpu_count(), "threads": torch.get_num_threads()}
    return {**runtime.machine(device), "processor": _processor(), **threads}


def save(path: Path, device: torch.device, lines: Sequence[Line]) -> None:
    """Write the machine and a list of each kind of line as JSON, whole or not at all."""
    content: dict[str, Any] = {"machine": machine(device)}
    for line in lines:
        derived = {n: getattr(line, n) for n in ("ratio", "floors", "faster") if hasattr(line, n)}
        content.setdefault(line.table, []).append(asdict(line) | derived)
    write_whole(path, lambda file: file.write(json.dumps(content, indent=2).encode()))


def milliseconds(value: float) -> str:
    """A time as a table shows it: three digits, or all of them before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
