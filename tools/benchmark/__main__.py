"""`python -m tools.benchmark [WORK]`: one table on the screen, the same figures as JSON."""

import argparse
import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.errors import one_line_errors

if TYPE_CHECKING:  # both import torch
    from tools.benchmark.report import Row
    from tools.benchmark.settings import Settings

WORKS = ("prepare", "step", "train", "data", "load", "probe", "knn")
"""Preparation first: in a process that has grown large it takes a tenth longer."""


def parser() -> argparse.ArgumentParser:
    """The command line; imports nothing heavy."""
    result = argparse.ArgumentParser(
        prog="python -m tools.benchmark",
        description="Time each work against the plain oracle and against the machine's own floor: "
        "the operations and bytes it cannot avoid over the rate of matrix products and copies, "
        "measured in the same turns.",
    )
    result.add_argument("work", nargs="?", default="all", choices=[*WORKS, "all"], help="(all)")
    result.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (auto)")
    result.add_argument("--quick", action="store_true", help="fewer clips and turns, for a laptop")
    result.add_argument(
        "--json",
        type=Path,
        default=Path("runs/benchmark.json"),
        metavar="FILE",
        help="where the figures go (runs/benchmark.json)",
    )
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the JSON.

    Args:
        argv: the command line without the program's name.
    """
    options = parser().parse_args(argv)

    with one_line_errors():
        run(options.work, options.device, options.quick, options.json)


def run(work: str, device_name: str, quick: bool, path: Path) -> None:
    """Measure one work or all of them."""
    from tools.benchmark import report
    from tools.benchmark.settings import choose
    from tools.runtime import pick_device

    settings = choose(pick_device(device_name), quick)
    rows = []
    for row in _rows(WORKS if work == "all" else (work,), settings):
        print(f"{row.work}: {row.ours_ms:.3g} ms, plain {row.plain_ms:.3g} ms", flush=True)
        rows.append(row)
        report.save(path, settings.device, rows)  # each time: a later work may fail
    print(f"\n{report.summary(settings.device, rows)}\n\n{report.table(rows)}\n\nwritten to {path}")


def _rows(works: Sequence[str], settings: "Settings") -> Iterator["Row"]:
    for work in works:
        yield from importlib.import_module(f"tools.benchmark.{work}").rows(settings)


if __name__ == "__main__":
    main()
